"""`Database.introspect`: what farm_db made is found again, and what others made is adopted."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from farm_db import BaseDocument, Database, DatabaseClosedError, Document, Field, Index, ObjectId
from legacy import LEGACY
from support import MODELS, Resource, Seat, User, opened
from test_cases import Engine

pytestmark = pytest.mark.every_backend


class Kind(StrEnum):
    A = "a"
    B = "b"


class Part(BaseModel):
    name: str
    weight: float | None = None


class Everything(BaseDocument, table="everything"):
    """Every type, with defaults, limits and indexes."""

    key: UUID = Field(index=True)
    owner: ObjectId | None = None
    kind: Kind = Kind.A
    count: int = 7
    price: Decimal = Decimal("1.5")
    flag: bool = True
    day: date = date(2024, 1, 31)
    hour: time | None = None
    moment: datetime | None = None
    data: bytes = b"\x00\xff"
    parts: list[Part] = []
    tags: list[str] = Field(default=[], index=True)
    prices: dict[str, Decimal] = {}
    anything: Any = None
    score: float = Field(default=0.5, ge=0, lt=10)
    code: str = Field(default="it's \\ x", min_length=1, max_length=20, unique=True)

    class Settings:
        indexes = [Index("kind", "-score")]


ALL = [*MODELS, Everything]
KEY = UUID(int=7)


async def fill(database: Database) -> None:
    """Rows of every model that matters here."""
    await database.repository(User).create_many([User(id=1, email="a"), User(id=2, email="b", name="Bo")])
    await database.repository(Seat).create(Seat(row=1, place="x"))
    await database.repository(Resource).create(Resource(id="r", name="n", tags=["t"], rating=1.5))
    moment = datetime(2024, 1, 31, 12, 0, 0, 1000, tzinfo=UTC)
    one = Everything(key=KEY, hour=time(1, 2, 3), moment=moment, anything={"a": [1, "x"]}, parts=[Part(name="p")])
    two = Everything(key=KEY, code="y", owner=ObjectId(), prices={"x": Decimal("2.25")}, anything=None)
    await database.repository(Everything).create_many([one, two])


def in_order(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {name: sorted(rows, key=lambda row: repr(sorted(row.items()))) for name, rows in found.items()}


async def rows(url: str, contract: str, mode: str = "check", create: bool = False) -> dict[str, list[dict[str, Any]]]:
    """All rows of all entities of a contract, by those entities, sorted."""
    engine = Engine(url, json.loads(contract))
    await engine.native.connect(mode, create, 0)
    try:
        found = {name: await engine.rows(name) for name in engine.columns}
    finally:
        await engine.close()
    return in_order(found)


def entities(contract: str) -> dict[str, dict[str, Any]]:
    return {entity["name"]: entity for entity in json.loads(contract)["entities"]}


def kinds(contract: str, entity: str) -> dict[str, str]:
    return {field["name"]: field["type"]["kind"] for field in entities(contract)[entity]["fields"]}


async def introspect(url: str) -> tuple[str, list[str]]:
    async with Database(url, models=[], contract="off") as database:
        found = await database.introspect()
        return found.contract, found.notes


async def make_legacy(url: str) -> str:
    """Makes the database of others; the name of its backend."""
    async with Database(url, models=[], contract="off") as database:
        if database.backend == "postgres":
            await database.execute(f"CREATE SCHEMA {url.partition('schema=')[2]}")
        for statement in LEGACY[database.backend].statements:
            await database.execute(statement)
        return database.backend


async def test_an_empty_database_has_an_empty_contract(url: str) -> None:
    async with Database(url, models=[], contract="off") as database:
        found = await database.introspect()
        assert json.loads(found.contract) == {"version": 1, "entities": []}
        assert found.notes == []
    with pytest.raises(DatabaseClosedError):
        await database.introspect()


async def test_what_farm_db_made_is_found_again(url: str) -> None:
    async with opened(url, ALL) as database:
        await fill(database)
        contract = database.contract
    found, notes = await introspect(url)
    assert found == contract
    assert notes == []
    assert await rows(url, found, create=True) == await rows(url, contract)


#: What a column without its stored contract is read as, where that is another type.
LOOSER = {
    "sqlite": dict.fromkeys(("uuid", "object_id", "datetime", "date", "time"), "text"),
    "postgres": {"object_id": "text"},
    "mysql": {},
    "mongodb": {"date": "text", "time": "text"},
}


async def test_without_the_stored_contract_the_catalog_says_most_of_it(url: str) -> None:
    async with opened(url, ALL) as database:
        await fill(database)
        contract, backend = database.contract, database.backend
        await database.execute({"drop": "_farm_meta"} if backend == "mongodb" else "DROP TABLE _farm_meta")
    found, notes = await introspect(url)
    nested = ("list", "map", "model", "any")
    for name, declared in ((name, kinds(contract, name)) for name in entities(found)):
        for field, kind in kinds(found, name).items():
            if backend == "mongodb":
                # The key of documents has no other name, and a sample shows only what was there.
                continue
            wanted = LOOSER[backend].get(declared[field], declared[field])
            # MySQL's text holds what its JSON functions do not read, and nothing tells it from other text.
            free = {"any", "text"} if backend == "mysql" else {"any"}
            assert kind in (free if declared[field] in nested else {wanted}), (name, field, notes)
    before, after = await rows(url, contract), await rows(url, found)
    same = {
        name: kind for name, kind in kinds(found, "everything").items() if kinds(contract, "everything")[name] == kind
    }
    assert len(same) >= 7
    for name in ("everything", "users", "seats", "resources"):
        assert len(before[name]) == len(after[name]) > 0
        assert notes or after[name] == before[name]
    pick = lambda row: {name: row[name] for name in same}  # noqa: E731
    assert sorted(map(repr, map(pick, before["everything"]))) == sorted(map(repr, map(pick, after["everything"])))
    if backend != "mongodb":
        fields = {field["name"]: field for field in entities(found)["everything"]["fields"]}
        assert fields["count"]["default"] == 7
        assert fields["code"]["default"] == "it's \\ x"
        assert fields["score"]["default"] == 0.5
        assert [fields["flag"]["default"], fields["kind"]["default"]] == [True, "a"]
        assert fields["price"]["default"] == {"$numberDecimal": "1.5"}
        assert fields["data"]["default"] == {"$binary": {"base64": "AP8=", "subType": "00"}}
    indexes = {index["name"]: index for index in entities(found)["everything"].get("indexes", [])}
    assert indexes["ix_everything_kind_desc_score"]["fields"] == ["kind", "-score"]


async def test_a_database_of_others_is_adopted(url: str) -> None:
    legacy = LEGACY[await make_legacy(url)]
    found, notes = await introspect(url)
    shown = entities(found)
    assert sorted(shown) == sorted(legacy.kinds)
    for name, expected in legacy.kinds.items():
        assert kinds(found, name) == expected, notes
    for name, expected in legacy.fields.items():
        entity, field = name.split(".")
        (actual,) = (one for one in shown[entity]["fields"] if one["name"] == field)
        assert {key: value for key, value in actual.items() if key not in ("name", "type")} == expected, name
    for name, expected in legacy.indexes.items():
        assert {one["name"]: one for one in shown[name]["indexes"]} == {one["name"]: one for one in expected}
    for name, expected in legacy.relations.items():
        assert shown[name]["relations"] == expected
    for text in legacy.notes:
        assert any(note.startswith(text) for note in notes), (text, notes)
    assert await rows(url, found) == in_order(legacy.rows)
    for text in legacy.silent:
        assert not any(text in note for note in notes), (text, notes)


#: A record that goes into the books of each legacy database.
BOOK = {
    "sqlite": {"author_id": 1, "title": "Two", "price": 2.5},
    "postgres": {"author_id": 1, "title": "Two"},
    "mysql": {"author_id": 1, "title": "Two"},
    "mongodb": {"id": 2, "title": "Two", "pages": 5, "price": 1.5},
}


async def test_an_adopted_database_is_written(url: str) -> None:
    """What no note says that `ensure_schema` refuses it takes, and new rows get counted keys."""
    backend = await make_legacy(url)
    found, notes = await introspect(url)
    refused = {note.split(".")[0] for note in notes if "ensure_schema refuses" in note}
    kept = [entity for name, entity in entities(found).items() if name not in refused]
    for entity in kept:
        relations = entity.pop("relations", [])
        entity["relations"] = [one for one in relations if one["target"] not in refused]
    assert kept or backend == "mysql"
    engine = Engine(url, {"version": 1, "entities": kept})
    await engine.native.connect("check", True, 0)
    await engine.close()
    engine = Engine(url, json.loads(found))
    await engine.native.connect("off", False, 0)
    try:
        await engine.repositories["books"].call("create", {"record": BOOK[backend]}, None)
        (row,) = await engine.rows("books", filter={"title": "Two"})
        assert row["id"] == 2
    finally:
        await engine.close()


@pytest.mark.only("mongodb")
async def test_a_large_collection_is_sampled(url: str) -> None:
    async with Database(url, models=[], contract="off") as database:
        documents = [{"_id": float(number), "n": number, "often": number % 2 or None} for number in range(1500)]
        await database.execute({"insert": "many", "documents": documents})
        await database.execute({"insert": "pairs", "documents": [{"_id": {"b": 1, "a": 2}}]})
        await database.execute({"insert": "odd", "documents": [{"_id": 1.5}]})
        await database.execute({"insert": "lists", "documents": [{"_id": {}}]})
    found, notes = await introspect(url)
    assert kinds(found, "many") == {"id": "int", "n": "int", "often": "int"}
    assert kinds(found, "pairs") == {"a": "int", "b": "int"}
    assert sorted(entities(found)) == ["many", "pairs"]
    assert "many: read from a sample of 1000 of about 1500 documents; others may differ" in notes
    for text in ("many._id: holds floats", "pairs: the parts of _id", "odd: left out", "lists._id: holds map"):
        assert any(note.startswith(text) for note in notes), (text, notes)
    assert len((await rows(url, found))["many"]) == 1500


@pytest.mark.only("sqlite", "postgres", "mysql")
async def test_a_table_that_changed_meanwhile_is_read_as_it_is(url: str) -> None:
    async with opened(url, [User]) as database:
        await database.repository(User).create(User(id=1, email="a"))
        await database.execute("ALTER TABLE users ADD COLUMN age INTEGER")
        added = await database.introspect()
        assert added.contract == database.contract
        assert added.notes == ["users.age: is not in the stored contract, left out"]
        await database.execute("ALTER TABLE users DROP COLUMN name")
        dropped = await database.introspect()
    assert sorted(kinds(dropped.contract, "users")) == ["age", "email", "id"]
    assert dropped.notes[0].startswith("users.name: is not what the stored contract says")


class Note(Document, table="notes"):
    id: int = Field(primary_key=True)


async def test_models_may_be_open_beside_it(url: str) -> None:
    """The models of the app play no part."""
    async with opened(url, [Note], create_missing=False, contract="off") as database:
        assert json.loads((await database.introspect()).contract)["entities"] == []
        await database.ensure_schema()
        assert (await database.introspect()).contract == database.contract
