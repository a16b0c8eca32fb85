"""Conditions on related rows mean what they mean where the related rows stand inside the row: mongod is the oracle."""

from __future__ import annotations

import random
from typing import Any

import pytest

from farm_db import Database, Document, Field, InvalidQueryError, many_to_many, many_to_one
from support import opened

pytestmark = pytest.mark.every_backend

CASES = 150


class Owner(Document, table="owners"):
    id: int = Field(primary_key=True)
    name: str | None = None
    age: int | None = None
    marks: list[int] = []


class Label(Document, table="labels"):
    id: int = Field(primary_key=True)
    name: str | None = None
    rank: int | None = None
    marks: list[int] = []


class Thing(Document, table="things"):
    id: int = Field(primary_key=True)
    size: int = 0
    owner_id: int | None = None
    owner = many_to_one(Owner)
    labels = many_to_many(Label, lambda: ThingLabel)


class ThingLabel(Document, table="thing_labels"):
    thing_id: int = Field(primary_key=True)
    label_id: int = Field(primary_key=True)
    thing = many_to_one(Thing)
    label = many_to_one(Label)


def values(rng: random.Random) -> list[int]:
    return [rng.randrange(4) for _ in range(rng.randrange(3))]


def row(rng: random.Random, number: int, count: str) -> dict[str, Any]:
    name = rng.choice(["x", "y", "z", None])
    return {"id": number, "name": name, count: rng.choice([0, 1, 2, 3, None]), "marks": values(rng)}


async def fill(db: Database, mongod: Database, rng: random.Random) -> None:
    """The same rows apart, and as documents with the others inside."""
    owners = [row(rng, number, "age") for number in range(5)]
    labels = [row(rng, number, "rank") for number in range(6)]
    things = [{"id": n, "size": rng.randrange(3), "owner_id": rng.choice([0, 1, 2, 3, 4, None])} for n in range(24)]
    chosen = {n: sorted(rng.sample(range(6), rng.randrange(4))) for n in range(24)}
    await db.repository(Owner).create_many(owners)
    await db.repository(Label).create_many(labels)
    await db.repository(Thing).create_many(things)
    pairs = [{"thing_id": n, "label_id": label} for n, several in chosen.items() for label in several]
    await db.repository(ThingLabel).create_many(pairs)
    documents = []
    for thing in things:
        owner = next(({"owner": one} for one in owners if one["id"] == thing["owner_id"]), {})
        documents.append({"_id": thing["id"], **thing, **owner, "labels": [labels[n] for n in chosen[thing["id"]]]})
    await mongod.execute({"insert": "things", "documents": documents})


def test_of(rng: random.Random, field: str) -> Any:
    """A condition on one field."""
    literal = rng.choice(["x", "y", "z"]) if field == "name" else rng.randrange(4)
    literals = [rng.choice(["x", "y"]) if field == "name" else rng.randrange(4) for _ in range(rng.randrange(1, 3))]
    orders = ["$gt", "$gte", "$lt", "$lte"]
    kinds: list[Any] = [
        literal,
        {rng.choice(["$eq", "$ne", *orders]): literal},
        {rng.choice(["$in", "$nin", "$all"]): literals},
        {rng.choice(orders): literal, rng.choice(["$ne", "$lt"]): literals[0]},
        {"$not": {rng.choice(orders): literal}},
        {"$not": {"$gte": literal, "$lte": literals[0]}},
        None,
        {"$ne": None},
        {"$in": [literal, None]},
    ]
    if field == "name":
        kinds += [{"$regex": "^[xy]"}, {"$not": {"$regex": "X", "$options": "i"}}]
    if field == "marks":
        kinds += [{"$size": rng.randrange(3)}, {"$elemMatch": {"$gt": 0, "$lt": 3}}]
    return rng.choice(kinds)


def condition(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    kind = rng.randrange(8 if depth < 2 else 5)
    if kind == 0:
        return {"size": rng.randrange(3)}
    if kind in (1, 2):
        field = rng.choice(["name", "age", "marks"])
        return {f"owner.{field}": test_of(rng, field)}
    if kind == 3:
        field = rng.choice(["name", "rank", "marks"])
        return {f"labels.{field}": test_of(rng, field)}
    if kind == 4:
        return {"labels": {"$elemMatch": {"rank": {"$gte": rng.randrange(4)}, "name": rng.choice(["x", "y"])}}}
    return {rng.choice(["$and", "$or", "$nor"]): [condition(rng, depth + 1) for _ in range(2)]}


test_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", [1, 2])
async def test_related_rows_match_as_documents_inside_do(url: str, mongod: Database, seed: int) -> None:
    rng = random.Random(seed)
    refused = 0
    async with opened(url, [Owner, Label, Thing, ThingLabel]) as db:
        await fill(db, mongod, rng)
        things = db.repository(Thing)
        for _ in range(CASES):
            filter = condition(rng)
            try:
                found = [thing.id for thing in await things.find(filter, sort="id")]
            except InvalidQueryError as error:
                if "null" not in str(error):
                    raise
                refused += 1
                continue
            command = {"find": "things", "filter": filter, "sort": {"_id": 1}, "projection": {"_id": 1}}
            wanted = await mongod.execute(command)
            documents = wanted["cursor"]["firstBatch"] if isinstance(wanted, dict) else wanted
            assert found == [document["_id"] for document in documents], filter
    print(f"{CASES - refused} compared, {refused} refused")
    assert refused < CASES / 4
