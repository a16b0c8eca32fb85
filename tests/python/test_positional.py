"""The positional operator `$`: the element that the filter has met, as in mongod; refused where it is not clear."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import BaseModel

from farm_db import Database, Document, FarmDbError, Field, Repository
from support import opened

pytestmark = pytest.mark.every_backend

CASES = 120


class Visit(BaseModel):
    place: str
    stars: int = 0
    marks: list[int] = []


class Home(BaseModel):
    rooms: list[Visit] = []


class Trip(Document, table="trips"):
    id: int = Field(primary_key=True)
    size: int = 0
    tags: list[str] = []
    visits: list[Visit] = Field(default=[], column="stops")
    home: Home = Home()
    anything: Any = None


@pytest.fixture
async def trips(url: str) -> AsyncGenerator[Repository[Trip]]:
    async with opened(url, [Trip]) as database:
        repository = database.repository(Trip)
        visits = [Visit(place="Rome", stars=1), Visit(place="Bonn", stars=2), Visit(place="Rome", stars=3)]
        await repository.create(Trip(id=1, tags=["a", "b"], visits=visits, home=Home(rooms=visits)))
        await repository.create(Trip(id=2, tags=["b"], visits=visits[1:]))
        yield repository


def stars(trip: Trip) -> list[int]:
    return [visit.stars for visit in trip.visits]


async def test_the_first_element_that_the_filter_met_is_changed(trips: Repository[Trip]) -> None:
    assert await trips.update_many({"visits.place": "Rome"}, {"$inc": {"visits.$.stars": 10}}) == 2
    assert [stars(trip) for trip in await trips.find(sort="id")] == [[11, 2, 3], [2, 13]]
    found = await trips.find_one_and_update(
        {"id": 1, "visits": {"$elemMatch": {"place": "Rome", "stars": {"$lt": 10}}}},
        {"$set": {"visits.$.place": "Oslo"}},
    )
    assert found is not None
    assert [visit.place for visit in found.visits] == ["Rome", "Bonn", "Oslo"]
    assert await trips.update_one({"tags": "b"}, {"$set": {"tags.$": "c"}}, sort="id") == 1
    assert (await trips.get(1)).tags == ["a", "c"]
    assert await trips.update_one({"home.rooms.stars": {"$gte": 2}}, {"home.rooms.$.stars": 0}) == 1
    assert [room.stars for room in (await trips.get(1)).home.rooms] == [1, 0, 3]
    assert await trips.update_many({"visits.place": "nowhere"}, {"$inc": {"visits.$.stars": 10}}) == 0


@pytest.mark.parametrize(
    ("filter", "update", "code"),
    [
        ({"id": 1}, {"$set": {"visits.$.place": "x"}}, "invalid_query"),
        ({"tags": "a", "visits.place": "Rome"}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"visits.place": "Rome", "visits.stars": 3}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"visits.stars": {"$gt": 0, "$lt": 3}}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"visits.place": {"$ne": "Bonn"}}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"visits.place": {"$not": {"$gt": "C"}}}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"$or": [{"visits.place": "Rome"}]}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"$nor": [{"visits.place": "Oslo"}]}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"tags": ["a", "b"]}, {"$set": {"tags.$": "x"}}, "unsupported"),
        ({"tags": {"$size": 2}}, {"$set": {"tags.$": "x"}}, "unsupported"),
        ({"tags": "a"}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"visits.marks": 1}, {"$set": {"visits.$.place": "x"}}, "unsupported"),
        ({"visits.marks": 1}, {"$set": {"visits.$.marks.$": 1}}, "invalid_query"),
        ({"anything": 1}, {"$set": {"anything.$": 1}}, "unsupported"),
        ({"visits.place": "Rome"}, {"$set": {"visits.$.nope": 1}}, "unknown_field"),
        ({"visits.place": "Rome"}, {"$set": {"visits.$.stars": "x"}}, "invalid_value"),
        ({"visits.place": "Rome"}, {"$set": {"visits.$.stars": 1, "visits.0.stars": 2}}, "invalid_query"),
        ({"visits.place": "Rome"}, {"$set": {"$.stars": 1}}, "invalid_query"),
        ({"visits.place": "Rome", "home.rooms": []}, {"$set": {"home.rooms.$.stars": 1}}, "unsupported"),
    ],
)
async def test_what_is_not_clear_is_refused(
    trips: Repository[Trip], filter: dict[str, Any], update: dict[str, Any], code: str
) -> None:
    before = await trips.find(sort="id")
    with pytest.raises(FarmDbError) as caught:
        await trips.update_many(filter, update)
    assert caught.value.code == code
    assert await trips.find(sort="id") == before


async def test_an_update_by_key_has_no_filter(trips: Repository[Trip]) -> None:
    with pytest.raises(FarmDbError, match="needs a filter") as caught:
        await trips.update(1, {"$set": {"visits.$.place": "x"}})
    assert caught.value.code == "invalid_query"


# mongod is the oracle.


def visit(rng: random.Random) -> dict[str, Any]:
    return {"place": rng.choice("xyz"), "stars": rng.randrange(4), "marks": [rng.randrange(3) for _ in range(2)]}


def document(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "size": rng.randrange(2),
        "tags": [rng.choice("abc") for _ in range(rng.randrange(4))],
        "visits": [visit(rng) for _ in range(rng.randrange(4))],
    }


def condition(rng: random.Random) -> tuple[str, dict[str, Any]]:
    number, letter = rng.randrange(4), rng.choice("xyz")
    order = rng.choice(["$gt", "$gte", "$lt", "$lte", "$eq"])
    return rng.choice(
        [
            ("tags", {"tags": rng.choice("abc")}),
            ("tags", {"tags": {"$in": ["a", "b"]}}),
            ("tags", {"tags": {"$regex": "^[bc]"}}),
            ("tags", {"tags": {"$elemMatch": {"$gte": "b", "$ne": "c"}}}),
            ("visits", {"visits.place": letter}),
            ("visits", {"visits.stars": {order: number}}),
            ("visits", {"visits.stars": {"$mod": [2, 1]}}),
            ("visits", {"visits": {"$elemMatch": {"place": letter, "stars": {order: number}}}}),
            ("visits", {"visits": {"$elemMatch": {"place": {"$ne": letter}}}}),
            ("visits", {"visits": {"$elemMatch": {"marks": number, "stars": {"$not": {"$gt": number}}}}}),
        ]
    )


def change(rng: random.Random, field: str) -> dict[str, Any]:
    if field == "tags":
        return rng.choice([{"$set": {"tags.$": "new"}}, {"$max": {"tags.$": "b"}}])
    return rng.choice(
        [
            {"$set": {"visits.$.place": "new", "visits.$.stars": 9}},
            {"$inc": {"visits.$.stars": 5}, "$set": {"size": 7}},
            {"$push": {"visits.$.marks": 8}},
            {"$pull": {"visits.$.marks": 1}},
            {"$set": {"visits.$": {"place": "whole", "stars": 1, "marks": []}}},
        ]
    )


async def test_the_element_is_that_of_mongod(trips: Repository[Trip], mongod: Database) -> None:
    rng = random.Random(7)
    await trips.delete_many({"id": {"$gte": 0}})
    documents = [document(rng, number) for number in range(12)]
    for _ in range(CASES):
        await mongod.execute({"delete": "trips", "deletes": [{"q": {}, "limit": 0}]})
        await mongod.execute({"insert": "trips", "documents": [{"_id": one["id"], **one} for one in documents]})
        await trips.delete_many({"id": {"$gte": 0}})
        await trips.create_many(documents)
        field, filter = condition(rng)
        update = change(rng, field)
        if rng.randrange(2):
            filter = {"size": rng.randrange(2), "$and": [filter]}
        count = await trips.update_many(filter, update)
        answer = await mongod.execute({"update": "trips", "updates": [{"q": filter, "u": update, "multi": True}]})
        assert count == answer["n"], (filter, update)
        found = await mongod.execute({"find": "trips", "sort": {"_id": 1}, "projection": {"_id": 0}})
        wanted = found["cursor"]["firstBatch"] if isinstance(found, dict) else found
        rows = [
            {"id": row.id, "size": row.size, "tags": row.tags, "visits": [dict(one) for one in row.visits]}
            for row in await trips.find(sort="id")
        ]
        assert rows == wanted, (filter, update)
