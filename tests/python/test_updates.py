"""Everything that changes rows which exist: fields, operators, bulk updates, replace, upsert, find and update."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from farm_db import (
    ALL,
    Database,
    Document,
    EmptyFilterError,
    Field,
    InvalidQueryError,
    InvalidValueError,
    NotFoundError,
    Repository,
    UniqueViolationError,
    UnknownFieldError,
)
from support import Address, Resource, User, failure, opened

pytestmark = pytest.mark.every_backend


class Change(BaseModel):
    """What an endpoint takes for a PATCH."""

    name: str | None = None
    rating: float | None = None
    tags: list[str] = []


class Visit(BaseModel):
    """An element whose fields are stored under other names."""

    place: str = Field(default="", column="where")
    paid: Decimal | None = None
    stars: list[int] = []


class Journey(Document, table="journeys"):
    id: int = Field(primary_key=True)
    visits: list[Visit] = Field(default=[], column="stops")
    days: list[date] = []


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Resource, User, Journey]) as database:
        yield database


@pytest.fixture
async def resources(db: Database) -> Repository[Resource]:
    repository = db.repository(Resource)
    await repository.create_many(
        [
            Resource(
                id=key,
                name=key,
                rating=1.0,
                stock=n,
                tags=["x", key],
                address=Address(city="Bonn", numbers=[1, 2]),
                attributes={"seen": n},
            )
            for n, key in enumerate("abcde")
        ]
    )
    return repository


async def test_update_changes_the_given_fields_only(resources: Repository[Resource]) -> None:
    before = await resources.get("a")
    after = await resources.update("a", {"name": "new", "stock": 7})
    assert (after.name, after.stock) == ("new", 7)
    assert after == before.model_copy(update={"name": "new", "stock": 7})
    assert await resources.get("a") == after
    assert (await resources.get("b")).name == "b"


async def test_update_by_a_schema_leaves_unset_fields_untouched(resources: Repository[Resource]) -> None:
    after = await resources.update("a", Change(name="new"))
    assert (after.name, after.rating, after.tags) == ("new", 1.0, ["x", "a"])
    after = await resources.update("a", Change(rating=None))
    assert (after.name, after.rating, after.tags) == ("new", None, ["x", "a"])
    assert await resources.update("a", Change()) == after


async def test_update_of_a_missing_row_is_not_found(resources: Repository[Resource]) -> None:
    with pytest.raises(NotFoundError):
        await resources.update("nobody", {"name": "n"})


@pytest.mark.parametrize(
    ("update", "field", "expected"),
    [
        ({"$set": {"stock": 5}}, "stock", 5),
        ({"$inc": {"stock": -3}}, "stock", -3),
        ({"$mul": {"rating": 2}}, "rating", 2.0),
        ({"$min": {"stock": -1}}, "stock", -1),
        ({"$max": {"stock": 9}}, "stock", 9),
        ({"$unset": {"rating": ""}}, "rating", None),
        ({"$push": {"tags": "new"}}, "tags", ["x", "a", "new"]),
        ({"$push": {"tags": {"$each": ["p", "q"], "$position": 0}}}, "tags", ["p", "q", "x", "a"]),
        ({"$push": {"tags": {"$each": ["p"], "$slice": -2}}}, "tags", ["a", "p"]),
        ({"$addToSet": {"tags": "x"}}, "tags", ["x", "a"]),
        ({"$addToSet": {"tags": {"$each": ["x", "y", "y"]}}}, "tags", ["x", "a", "y"]),
        ({"$pull": {"tags": "x"}}, "tags", ["a"]),
        ({"$pull": {"tags": {"$in": ["x", "a"]}}}, "tags", []),
        ({"$pullAll": {"tags": ["a", "z"]}}, "tags", ["x"]),
        ({"$pop": {"tags": 1}}, "tags", ["x"]),
        ({"$pop": {"tags": -1}}, "tags", ["a"]),
        ({"address.city": "Köln"}, "address", Address(city="Köln", numbers=[1, 2])),
        ({"$push": {"address.numbers": 3}}, "address", Address(city="Bonn", numbers=[1, 2, 3])),
        ({"$set": {"address.numbers.0": 9}}, "address", Address(city="Bonn", numbers=[9, 2])),
        ({"$set": {"address": None}}, "address", None),
        ({"$set": {"attributes.deep.er": [1]}}, "attributes", {"seen": 0, "deep": {"er": [1]}}),
        ({"$inc": {"attributes.seen": 2, "attributes.new": 1}}, "attributes", {"seen": 2, "new": 1}),
        ({"$unset": {"attributes.seen": 1}}, "attributes", {}),
        ({"$rename": {"attributes.seen": "attributes.known"}}, "attributes", {"known": 0}),
    ],
    ids=str,
)
async def test_an_operator_changes_its_field_and_nothing_else(
    resources: Repository[Resource], update: dict[str, object], field: str, expected: object
) -> None:
    before = await resources.get("a")
    after = await resources.update("a", update)
    assert getattr(after, field) == expected
    assert after == before.model_copy(update={field: expected})
    assert await resources.get("a") == after
    # The same by a filter, on all rows but one.
    others = await resources.find(Resource.id == "b")
    assert await resources.update_many({"id": {"$ne": "b"}}, update) == 4
    assert await resources.find(Resource.id == "b") == others


async def test_operators_can_be_combined_in_one_update(resources: Repository[Resource]) -> None:
    after = await resources.update("a", {"$set": {"name": "n"}, "$inc": {"stock": 1}, "$push": {"tags": "y"}})
    assert (after.name, after.stock, after.tags) == ("n", 1, ["x", "a", "y"])


async def test_two_operators_on_one_field_are_refused(resources: Repository[Resource]) -> None:
    error = await failure(resources.update("a", {"$set": {"stock": 1}, "$inc": {"stock": 1}}))
    assert error.code == "invalid_query"
    assert (await resources.get("a")).stock == 0


async def test_fields_and_operators_are_not_mixed(resources: Repository[Resource]) -> None:
    with pytest.raises(InvalidQueryError, match="both"):
        await resources.update("a", {"name": "n", "$inc": {"stock": 1}})


async def test_hundreds_of_increments_at_once_lose_none(resources: Repository[Resource]) -> None:
    await asyncio.gather(*(resources.update("a", {"$inc": {"stock": 1}}) for _ in range(300)))
    assert (await resources.get("a")).stock == 300


async def test_a_value_that_the_validators_refuse_changes_nothing(resources: Repository[Resource]) -> None:
    before = await resources.get("a")
    for update in (
        {"rating": 9},
        {"$set": {"rating": 9, "name": "n"}},
        {"$inc": {"rating": 9}},
        {"$mul": {"rating": 100}},
        {"name": "n" * 101},
        {"name": None},
        {"stock": "many"},
        {"stock": 1.5},
        {"$push": {"tags": 5}},
        {"address": {"street": "no city"}},
        {"address.city": 5},
        {"$unset": {"name": ""}},
    ):
        error = await failure(resources.update("a", update))
        assert isinstance(error, InvalidValueError), (update, error)
        assert error.context.get("path"), update
        error = await failure(resources.update_many({"id": "a"}, update))
        assert isinstance(error, InvalidValueError), (update, error)
    assert await resources.get("a") == before


async def test_the_key_cannot_be_changed(resources: Repository[Resource]) -> None:
    error = await failure(resources.update("a", {"id": "z"}))
    assert error.code in ("invalid_query", "invalid_value")
    assert await resources.get_or_none("a") is not None
    assert await resources.get_or_none("z") is None


async def test_update_one_changes_the_first_row_of_the_sort(resources: Repository[Resource]) -> None:
    assert await resources.update_one({"stock": {"$gte": 1}}, {"name": "first"}, sort="-stock") == 1
    assert (await resources.find_one({"name": "first"})).id == "e"
    assert await resources.update_one(Resource.stock > 99, {"name": "none"}) == 0


async def test_update_many_counts_matches_and_needs_a_filter(resources: Repository[Resource]) -> None:
    assert await resources.update_many(Resource.stock >= 2, {"name": "big"}) == 3
    assert await resources.count(Resource.name == "big") == 3
    for empty in ({}, [], [{}], {"$and": [{}]}, {"$or": [{}]}, {"$and": []}, {"$nor": []}):
        error = await failure(resources.update_many(empty, {"name": "all"}))
        assert error.code in ("empty_filter", "invalid_query"), empty
    with pytest.raises(EmptyFilterError):
        await resources.update_many({}, {"name": "all"})
    assert await resources.count(Resource.name == "all") == 0
    assert await resources.update_many(ALL, {"name": "all"}) == 5
    assert await resources.delete_many(ALL) == 5


async def test_update_many_is_all_or_nothing(db: Database) -> None:
    users = db.repository(User)
    await users.create_many([{"id": n, "email": str(n), "name": "x" * n} for n in range(20)])
    with pytest.raises(UniqueViolationError):
        await users.update_many({"id": {"$gte": 5}}, {"email": "same"})
    assert sorted(row.email for row in await users.find()) == sorted(str(n) for n in range(20))


async def test_find_one_and_update_returns_the_row_after_or_before(resources: Repository[Resource]) -> None:
    after = await resources.find_one_and_update({"stock": {"$lt": 3}}, {"$inc": {"stock": 10}}, sort="-stock")
    assert (after.id, after.stock) == ("c", 12)
    before = await resources.find_one_and_update({"id": "a"}, {"$inc": {"stock": 10}}, return_new=False)
    assert (before.id, before.stock) == ("a", 0)
    assert (await resources.get("a")).stock == 10
    assert await resources.find_one_and_update({"id": "zz"}, {"$inc": {"stock": 10}}) is None


async def test_find_one_and_update_gives_each_caller_another_row(resources: Repository[Resource]) -> None:
    """A work queue: nobody gets a job that someone else has."""
    await resources.create_many([{"id": f"job{n}", "name": "open"} for n in range(60)])

    async def worker(number: int) -> list[str]:
        taken = []
        while row := await resources.find_one_and_update({"name": "open"}, {"name": f"taken{number}"}, sort="id"):
            taken.append(row.id)
        return taken

    taken = await asyncio.gather(*(worker(number) for number in range(8)))
    assert sorted(row for rows in taken for row in rows) == sorted(f"job{n}" for n in range(60))


async def test_replace_sets_what_is_not_given_to_its_default(resources: Repository[Resource]) -> None:
    row = await resources.replace("a", {"id": "a", "name": "new"})
    assert row == Resource(id="a", name="new")
    assert await resources.get("a") == row
    with pytest.raises(NotFoundError):
        await resources.replace("nobody", {"id": "nobody", "name": "n"})
    error = await failure(resources.replace("a", {"id": "b", "name": "n"}))
    assert error.code in ("invalid_value", "invalid_query")
    assert (await resources.get("b")).name == "b"


async def test_upsert_inserts_and_then_changes(resources: Repository[Resource]) -> None:
    assert (await resources.upsert({"id": "new", "name": "one"})).name == "one"
    assert (await resources.upsert({"id": "new", "name": "two", "stock": 4})).stock == 4
    assert await resources.count() == 6
    assert (await resources.get("new")).name == "two"


async def test_upsert_on_a_unique_field_keeps_the_key_of_the_row(db: Database) -> None:
    users = db.repository(User)
    await users.create({"id": 1, "email": "ann@x", "name": "Ann"})
    row = await users.upsert({"id": 2, "email": "ann@x", "name": "Anna"}, on=[User.email])
    assert (row.id, row.name) == (1, "Anna")
    assert await users.count() == 1
    assert (await users.upsert({"id": 3, "email": "bob@x"}, on=["email"])).id == 3


async def test_upsert_needs_a_unique_index(db: Database) -> None:
    error = await failure(db.repository(User).upsert({"id": 1, "email": "e", "name": "n"}, on=["name"]))
    assert error.code in ("invalid_query", "invalid_schema")
    assert await db.repository(User).count() == 0


async def test_upserts_at_once_make_one_row(db: Database) -> None:
    users = db.repository(User)
    rows = await asyncio.gather(
        *(users.upsert({"id": n, "email": "same", "name": str(n)}, on=["email"]) for n in range(50))
    )
    assert len({row.id for row in rows}) == 1
    assert await users.count() == 1


async def test_unknown_fields_are_refused_wherever_they_stand(resources: Repository[Resource]) -> None:
    for update in ({"nope": 1}, {"$set": {"nope": 1}}, {"$inc": {"nope": 1}}, {"address.nope": 1}, {"stock.deeper": 1}):
        error = await failure(resources.update("a", update))
        assert error.code in ("unknown_field", "invalid_query", "invalid_value"), update
    with pytest.raises(UnknownFieldError, match="nope"):
        await resources.update_many({"id": "a"}, {"$inc": {"nope": 1}})


@pytest.fixture
async def journeys(db: Database) -> Repository[Journey]:
    repository = db.repository(Journey)
    rome, bonn = Visit(place="Rome", paid=Decimal("1.50"), stars=[1, 5]), Visit(place="Bonn", stars=[1])
    await repository.create({"id": 1, "visits": [rome, bonn], "days": [date(2024, 1, 31), date(2024, 2, 1)]})
    return repository


async def test_array_filters_choose_elements_by_attributes(journeys: Repository[Journey]) -> None:
    update = {"$set": {"visits.$[v].paid": Decimal("2.00")}, "$inc": {"visits.$[v].stars.$[s]": 10}}
    row = await journeys.update(1, update, array_filters=[{"v.place": "Rome"}, {"s": {"$lt": 3}}])
    assert row.visits[0] == Visit(place="Rome", paid=Decimal("2.00"), stars=[11, 5])
    assert row.visits[1] == Visit(place="Bonn", stars=[1])
    assert await journeys.get(1) == row


async def test_array_filters_of_every_verb(journeys: Repository[Journey]) -> None:
    update, bonn = {"$push": {"visits.$[v].stars": 0}}, [{"$or": [{"v.place": "Bonn"}, {"v.paid": {"$gt": 9}}]}]
    assert await journeys.update_one({"id": 1}, update, array_filters=bonn, sort="id") == 1
    assert await journeys.update_many(ALL, update, array_filters=bonn) == 1
    found = await journeys.find_one_and_update({"id": 1}, update, array_filters=bonn)
    assert found is not None
    assert [visit.stars for visit in found.visits] == [[1, 5], [1, 0, 0, 0]]
    row = await journeys.get(1)
    await row.update(update, array_filters=bonn)
    assert [visit.stars for visit in row.visits] == [[1, 5], [1, 0, 0, 0, 0]]


async def test_positional_paths_take_the_values_of_elements(journeys: Repository[Journey]) -> None:
    chosen = [{"d": date(2024, 2, 1)}]
    row = await journeys.update(1, {"$set": {"days.$[d]": date(2025, 1, 1)}}, array_filters=chosen)
    assert row.days == [date(2024, 1, 31), date(2025, 1, 1)]
    row = await journeys.update(1, {"visits.$[].place": "Kiel", "visits.$[].stars.$[]": 7})
    assert [(visit.place, visit.stars) for visit in row.visits] == [("Kiel", [7, 7]), ("Kiel", [7])]
    error = await failure(journeys.update(1, {"$set": {"visits.$[].stars": ["a"]}}))
    assert (error.code, error.context["path"]) == ("invalid_value", "stops.$[].stars.0")


async def test_a_wrong_result_names_its_element(journeys: Repository[Journey]) -> None:
    error = await failure(
        journeys.update(1, {"$unset": {"visits.$[v].stars.$[s]": ""}}, array_filters=[{"v.place": "Rome"}, {"s": 5}])
    )
    assert (error.code, error.context["path"]) == ("invalid_value", "stops.0.stars.1")


@pytest.mark.parametrize(
    ("update", "array_filters", "code"),
    [
        ({"$set": {"visits.$[v].place": "x"}}, [], "invalid_query"),
        ({"$set": {"visits.$[v].place": "x"}}, [{"w.place": "x"}], "invalid_query"),
        ({"$set": {"visits.$[v].place": "x"}}, [{"v.nope": "x"}], "unknown_field"),
        ({"$set": {"visits.$[v].place": "x"}}, [{"v.place": 5}], "invalid_value"),
        ({"$set": {"visits.$[v].place": "x"}}, [5], "invalid_query"),
        ({"$set": {"visits.$[v].place": "x"}}, {"v": 1}, "invalid_query"),
        ({"$set": {"visits.$[v].place": "x"}}, 5, "invalid_query"),
        ({"$set": {"visits.$.place": "x"}}, [], "invalid_query"),
        ({"days": []}, [{"v": 1}], "invalid_query"),
        ({"$pullAll": {"days": 5}}, [], "invalid_query"),
        ({"$push": {"days": {"$each": 5}}}, [], "invalid_query"),
    ],
)
async def test_array_filters_that_do_not_fit_are_refused(
    journeys: Repository[Journey], update: dict[str, Any], array_filters: Any, code: str
) -> None:
    before = await journeys.get(1)
    error = await failure(journeys.update(1, update, array_filters=array_filters))
    assert error.code == code
    assert error.context["path"]
    assert await journeys.get(1) == before
