"""Bad input, item by item: a typed error with a stable code that says what and where; nothing half-written."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from farm_db import ALL, Database, Document, FarmDbError, Field, ObjectId, Repository, errors
from support import Address, Article, Resource, Seat, Stranger, User, failure, opened

pytestmark = pytest.mark.every_backend


class Loose(Document, table="loose"):
    """Every kind of field, nullable, so that a wrong value is the only thing wrong."""

    id: int = Field(primary_key=True)
    number: int | None = None
    real: float | None = None
    exact: Decimal | None = None
    text: str | None = None
    data: bytes | None = None
    flag: bool | None = None
    owner: ObjectId | None = None
    moment: datetime | None = None
    items: list[str] = []
    place: Address | None = None
    free: dict[str, Any] = {}


GOOD = {"id": 1, "text": "good", "items": ["a"], "place": {"city": "Bonn"}, "free": {"k": 1}}


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Loose, User, Resource, Seat, Article]) as database:
        await database.repository(Loose).create(GOOD)
        yield database


@pytest.fixture
def loose(db: Database) -> Repository[Loose]:
    return db.repository(Loose)


def check(error: FarmDbError, code: str, *words: str) -> None:
    """An error has the code, its class, a message and the words that say what and where."""
    assert error.code == code, error
    assert type(error) is errors.ERRORS[code]
    told = f"{error} {error.context}"
    for word in words:
        assert word in told, f"{word!r} is not in {told!r}"
    assert error.message == error.message.strip()
    assert not error.message[:1].isupper() or error.message.split()[0].isupper() or error.message.split()[0] in told
    assert "Traceback" not in told
    json.dumps(error.context, default=str)


async def everything(loose: Repository[Loose]) -> list[dict[str, Any]]:
    return [row.model_dump() for row in await loose.find(sort="id")]


# Unknown fields and operators.


@pytest.mark.parametrize(
    "filter",
    [
        {"nope": 1},
        {"nope": {"$gte": 1}},
        {"$or": [{"id": 1}, {"nope": 1}]},
        {"$and": [{"$nor": [{"nope": None}]}]},
        {"place.nope": 1},
        {"nope.deeper": 1},
        {"text ": "x"},
        {"TEXT": "x"},
        {'text" = "text" OR "1': 1},
        {"": 1},
    ],
    ids=str,
)
async def test_an_unknown_field_in_a_filter_is_named(loose: Repository[Loose], filter: dict[str, Any]) -> None:
    before = await everything(loose)
    work = [
        loose.find(filter).to_list(),
        loose.find_one(filter),
        loose.count(filter),
        loose.exists(filter),
        loose.page(filter),
        loose.update_many(filter, {"text": "x"}),
        loose.update_one(filter, {"text": "x"}),
        loose.find_one_and_update(filter, {"text": "x"}),
        loose.delete_many(filter),
        loose.find(filter).json(),
        loose.find(filter).dicts(),
        anext(loose.find(filter).stream()),
    ]
    for one in work:
        error = await failure(one)
        assert error.code in ("unknown_field", "invalid_query"), error
        assert error.context.get("path") is not None or error.context.get("field") is not None, error
    assert await everything(loose) == before


async def test_an_unknown_field_elsewhere_is_named_too(loose: Repository[Loose]) -> None:
    check(await failure(loose.find(sort="nope").to_list()), "unknown_field", "nope", "loose")
    check(await failure(loose.find(sort="-nope").to_list()), "unknown_field", "nope")
    check(await failure(loose.find(fields=["id", "nope"]).to_list()), "unknown_field", "nope")
    check(await failure(loose.distinct("nope")), "unknown_field", "nope")
    check(await failure(loose.page(sort="nope")), "unknown_field", "nope")
    check(await failure(loose.update(1, {"nope": 1})), "unknown_field", "nope")
    check(await failure(loose.update(1, {"$set": {"nope": 1}})), "unknown_field", "nope")
    check(await failure(loose.update(1, {"$push": {"nope": 1}})), "unknown_field", "nope")
    check(await failure(loose.upsert(GOOD, on=["nope"])), "unknown_field", "nope")


@pytest.mark.parametrize(
    "filter",
    [
        {"id": {"$near": 1}},
        {"id": {"$gte": 1, "$nope": 2}},
        {"$where": "1 == 1"},
        {"$expr": {"$eq": ["$id", 1]}},
        {"$text": {"$search": "x"}},
        {"$or": [{"id": {"$nope": 1}}]},
        {"items": {"$elemMatch": {"$nope": 1}}},
        {"text": {"$not": {"$nope": 1}}},
        {"id": {"$": 1}},
    ],
    ids=str,
)
async def test_an_unknown_operator_is_named(loose: Repository[Loose], filter: dict[str, Any]) -> None:
    error = await failure(loose.find(filter).to_list())
    assert error.code in ("unknown_operator", "unsupported"), error
    assert "$" in str(error)
    before = await everything(loose)
    assert (await failure(loose.delete_many(filter))).code == error.code
    assert (await failure(loose.update_many(filter, {"text": "x"}))).code == error.code
    assert await everything(loose) == before


async def test_an_unknown_update_operator_is_named_and_nothing_is_changed(loose: Repository[Loose]) -> None:
    before = await everything(loose)
    for update in ({"$nope": {"id": 1}}, {"$set": {"text": "x"}, "$nope": {"id": 1}}):
        check(await failure(loose.update(1, update)), "unknown_operator", "$nope")
        check(await failure(loose.update_many(ALL, update)), "unknown_operator", "$nope")
    assert await everything(loose) == before


# Values of the wrong type.


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("number", "many"),
        ("number", 1.5),
        ("number", [1]),
        ("real", "x"),
        ("exact", "x"),
        ("text", 5),
        ("text", b"\xff"),
        ("text", {"a": 1}),
        ("flag", "maybe"),
        ("flag", 7),
        ("owner", "no id"),
        ("moment", "yesterday"),
        ("items", "a"),
        ("items", [1]),
        ("place", "Bonn"),
        ("place", {"street": "no city"}),
        ("place", {"city": "Bonn", "numbers": ["x"]}),
        ("free", [1]),
        ("free", {"k": Stranger()}),
    ],
    ids=str,
)
async def test_a_value_of_the_wrong_type_is_refused_on_every_way_in(
    loose: Repository[Loose], field: str, wrong: Any
) -> None:
    before = await everything(loose)
    unchecked = Loose.model_construct(id=2, items=[], free={})
    unchecked.__dict__[field] = wrong
    calls = [
        lambda: loose.create({"id": 2, field: wrong}),
        lambda: loose.create_many([{"id": 2}, {"id": 3, field: wrong}]),
        lambda: loose.create(unchecked),
        lambda: loose.create_many([unchecked]),
        lambda: loose.update(1, {field: wrong}),
        lambda: loose.update_many(ALL, {"$set": {field: wrong}}),
        lambda: loose.replace(1, {"id": 1, field: wrong}),
        lambda: loose.upsert({"id": 1, field: wrong}),
    ]
    for call in calls:
        check(await failure(call()), "invalid_value", field)
    assert await everything(loose) == before


@pytest.mark.parametrize(
    ("filter", "code"),
    [
        ({"number": "many"}, "invalid_value"),
        ({"number": {"$gte": "many"}}, "invalid_value"),
        ({"number": {"$in": [1, "x"]}}, "invalid_value"),
        ({"number": {"$in": 5}}, "invalid_query"),
        ({"moment": {"$gt": "yesterday"}}, "invalid_value"),
        ({"owner": "no id"}, "invalid_value"),
        ({"text": {"$regex": "("}}, "invalid_query"),
        ({"text": {"$regex": 5}}, "invalid_query"),
        ({"text": {"$regex": "a", "$options": "q"}}, "invalid_query"),
        ({"items": {"$size": -1}}, "invalid_query"),
        ({"items": {"$size": "x"}}, "invalid_query"),
        ({"number": {"$mod": [0, 1]}}, "invalid_query"),
        ({"$and": {"id": 1}}, "invalid_query"),
        ({"$or": "x"}, "invalid_query"),
        ({"$or": [5]}, "invalid_query"),
        (5, "invalid_query"),
        ("text", "invalid_query"),
        (True, "invalid_query"),
        ([("id", 1)], "invalid_query"),
    ],
    ids=str,
)
async def test_a_malformed_filter_is_refused(loose: Repository[Loose], filter: Any, code: str) -> None:
    error = await failure(loose.update_many(filter, {"text": "x"}))
    assert error.code in (code, "invalid_query", "invalid_value"), error
    assert (await loose.get(1)).text == "good"


@pytest.mark.parametrize("sort", [5, ("text", 2), {"text": "up"}, "", "-", "$natural", [None]], ids=str)
async def test_a_malformed_sort_is_refused(loose: Repository[Loose], sort: Any) -> None:
    assert (await failure(_awaited(lambda: loose.find(sort=sort).to_list()))).code in ("invalid_query", "unknown_field")


async def _awaited(make: Any) -> Any:
    return await make()


@pytest.mark.parametrize("data", [None, 5, "text", [1], [("id", 2)], ALL, Address(city="x")], ids=str)
async def test_data_that_is_no_record_is_refused(loose: Repository[Loose], data: Any) -> None:
    for work in (_awaited(lambda: loose.create(data)), _awaited(lambda: loose.create_many([GOOD | {"id": 5}, data]))):
        error = await failure(work)
        assert error.code == "invalid_value", error
    assert await loose.count() == 1


# Text, numbers and times that no database holds.


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "a\udfffb"], ids=ascii)
async def test_nul_and_lone_surrogates_are_refused_wherever_text_stands(loose: Repository[Loose], text: str) -> None:
    before = await everything(loose)
    for place in (
        {"text": text},
        {"items": ["ok", text]},
        {"place": {"city": text}},
        {"free": {"k": text}},
        {"free": {text: 1}},
        {"free": {"deep": [{"er": {text: text}}]}},
    ):
        for work in (
            loose.create({"id": 5, **place}),
            loose.create_many([{"id": 4}, {"id": 5, **place}]),
            loose.update(1, place),
            loose.update_many(ALL, {"$set": place}),
            loose.replace(1, {"id": 1, **place}),
        ):
            check(await failure(work), "invalid_value", next(iter(place)))
    for filter in ({"text": text}, {"free": {"k": text}}, {"text": {"$regex": text}}, {"text": {"$in": ["a", text]}}):
        try:
            assert await loose.find(filter) == []
        except FarmDbError as error:
            check(error, error.code, "text" if "text" in filter else "free")
    assert await everything(loose) == before


async def test_nul_in_identifiers_and_paths_is_refused(loose: Repository[Loose]) -> None:
    for filter in ({"text\x00": 1}, {"free.a\ud800": 1}, {"\x00": 1}):
        error = await failure(loose.find(filter).to_list())
        assert error.code in ("unknown_field", "invalid_query", "invalid_value"), error
    with pytest.raises(FarmDbError):
        await loose.find(sort="\x00").to_list()
    with pytest.raises(FarmDbError):
        await loose.find(fields=["\ud800"]).to_list()
    with pytest.raises(FarmDbError):
        await loose.page(after="\ud800")


@pytest.mark.parametrize("value", [float("nan"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")], ids=str)
async def test_nan_is_refused_or_exact(loose: Repository[Loose], value: Any) -> None:
    field = "real" if isinstance(value, float) else "exact"
    for data in ({field: value}, {"free": {"k": value}}, {"free": {"k": [value]}}):
        for work in (loose.create({"id": 5, **data}), loose.update(1, data), loose.update_many(ALL, data)):
            error = await failure(work)
            check(error, "invalid_value", next(iter(data)))
    assert await loose.get_or_none(5) is None
    row = await loose.get(1)
    assert (row.real, row.exact, row.free) == (None, None, {"k": 1})
    assert (await failure(loose.update(1, {"$inc": {field: value}}))).code == "invalid_value"


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**40], ids=str)
async def test_an_integer_past_64_bits_is_refused_everywhere(loose: Repository[Loose], number: int) -> None:
    for data in (
        {"number": number},
        {"free": {"k": number}},
        {"free": {"k": [{"x": number}]}},
        {"place": {"city": "x", "numbers": [number]}},
    ):
        for work in (
            loose.create({"id": 5, **data}),
            loose.create_many([{"id": 4}, {"id": 5, **data}]),
            loose.update(1, data),
            loose.update_many(ALL, data),
            loose.find(data).to_list(),
        ):
            check(await failure(work), "invalid_value", "64 bits", next(iter(data)))
    check(await failure(loose.get(number)), "invalid_value", "64 bits")
    check(await failure(loose.delete(number)), "invalid_value", "64 bits")
    assert await loose.count() == 1


async def test_an_increment_past_64_bits_is_refused_and_changes_nothing(loose: Repository[Loose]) -> None:
    await loose.update(1, {"number": 2**63 - 1})
    for update in ({"$inc": {"number": 1}}, {"$mul": {"number": 2}}):
        check(await failure(loose.update(1, update)), "invalid_value", "number")
        check(await failure(loose.update_many(ALL, update)), "invalid_value", "number")
    assert (await loose.get(1)).number == 2**63 - 1


async def test_moments_and_decimals_out_of_range_are_refused(loose: Repository[Loose]) -> None:
    east, west = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
    for data in (
        {"moment": datetime(1, 1, 1, tzinfo=east)},
        {"moment": datetime(9999, 12, 31, 23, 59, tzinfo=west)},
        {"exact": Decimal("1" * 35)},
        {"exact": Decimal("1E+7000")},
        {"free": {"k": time(1, tzinfo=east)}},
    ):
        check(await failure(loose.create({"id": 5, **data})), "invalid_value", next(iter(data)))
    assert await loose.count() == 1


async def test_containers_that_are_too_deep_or_hold_themselves_are_refused(loose: Repository[Loose]) -> None:
    circle: dict[str, Any] = {}
    circle["me"] = circle
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    for value in (circle, {"deep": deep}):
        unchecked = Loose.model_construct(id=5, items=[], free=value)
        error = await failure(_awaited(lambda: loose.create(unchecked)))  # noqa: B023
        assert error.code == "invalid_value"
    for filter in ({"free": circle}, {"free.k": deep}):
        assert isinstance(await failure(_awaited(lambda: loose.find(filter).to_list())), FarmDbError)  # noqa: B023
    nested: dict[str, Any] = {"id": 1}
    for _ in range(5000):
        nested = {"$and": [nested]}
    assert isinstance(await failure(_awaited(lambda: loose.find(nested).to_list())), FarmDbError)
    assert await loose.count() == 1
