"""Every type of value there and back: exact to the bit and the type, or refused; never changed silently."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_db import Database, Document, Field, InvalidValueError, ObjectId, Repository
from samples import EDGES, NAUGHTY, STRATEGIES, as_held, keys, nested, order, same
from support import opened

pytestmark = pytest.mark.every_backend


class Value(Document, table="values"):
    id: int | None = Field(default=None, primary_key=True, generated="auto_increment")
    int_: int | None = Field(default=None, column="int")
    float_: float | None = Field(default=None, column="float")
    decimal: Decimal | None = None
    text: str | None = None
    bytes_: bytes | None = Field(default=None, column="bytes")
    bool_: bool | None = Field(default=None, column="bool")
    uuid: UUID | None = None
    object_id: ObjectId | None = None
    datetime_: datetime | None = Field(default=None, column="datetime")
    date_: date | None = Field(default=None, column="date")
    time_: time | None = Field(default=None, column="time")
    any_: Any | None = Field(default=None, column="any")
    items: list[Any] = []
    map: dict[str, Any] = {}


class Texts(Document, table="texts"):
    id: str = Field(primary_key=True)


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Value, Texts]) as database:
        yield database


@pytest.fixture
def values(db: Database) -> Repository[Value]:
    return db.repository(Value)


def held(db: Database, value: Any) -> Any:
    """The value as the backend declares to give it back; `None` where it declares to refuse it."""
    return as_held(db.capabilities, value)


async def there_and_back(
    db: Database, values: Repository[Value], field: str, given_: Any, *, thorough: bool = True
) -> bool:
    """Stores a value on every way and reads it on every way; False where it was refused on all of them."""
    # A free place holds a value as JSON does.
    value, wanted = given_, (held(db, [given_]) or [None])[0] if field == "any_" else held(db, given_)
    ways: list[Any] = [
        lambda: values.create({field: value}),
        lambda: values.create(Value(**{field: value})),
        lambda: _one(values.create_many([Value(**{field: value})])),
        lambda: _updated(values, {field: value}),
        lambda: _updated(values, {"$set": {field: value}}),
        lambda: values.upsert({"id": 2**40, field: value}),
        lambda: _bulk(values, {field: value}),
    ]
    refusals = 0
    for way in ways if thorough else ways[1:4]:
        try:
            row = await way()
        except InvalidValueError:
            refusals += 1
            continue
        found = getattr(row, field)
        assert same(found, wanted), f"{value!r} came back from the write as {found!r}"
        stored = await values.get(row.id)
        assert same(getattr(stored, field), wanted), f"{value!r} was read as {getattr(stored, field)!r}"
        assert stored.model_dump() == row.model_dump(), "create() returns what get() returns"
        (listed,) = await values.find({"id": row.id})
        (plain,) = await values.find({"id": row.id}).dicts()
        assert same(getattr(listed, field), wanted)
        assert same(plain[field], wanted)
    assert refusals in (0, len(ways) if thorough else 3), "a value is refused on some ways in and taken on others"
    return refusals == 0


async def _one(rows: Any) -> Value:
    (row,) = await rows
    return row


async def _updated(values: Repository[Value], update: dict[str, Any]) -> Value:
    row = await values.create({})
    return await values.update(row.id, update)


async def _bulk(values: Repository[Value], update: dict[str, Any]) -> Value:
    row = await values.create({})
    assert await values.update_many({"id": row.id}, update) == 1
    return await values.get(row.id)


@pytest.mark.parametrize("field", EDGES)
async def test_every_edge_is_exact_or_refused_and_found_again(
    db: Database, values: Repository[Value], field: str
) -> None:
    refused = []
    for value in EDGES[field]:
        if not await there_and_back(db, values, field, value):
            refused.append(value)
            continue
        wanted = held(db, value)
        found = await values.find({field: wanted})
        assert any(same(getattr(row, field), wanted) for row in found), f"{value!r} is not found by equality"
        assert all(getattr(row, field) == wanted for row in found)
        assert await values.count({field: {"$in": [wanted]}}) == len(found)
    # NUL is refused everywhere; everything else is held, unless the backend declares otherwise.
    nul = [text for text in NAUGHTY if "\x00" in text and field == "text"]
    assert refused == nul + [value for value in EDGES[field] if value is not None and held(db, value) is None]


@pytest.mark.parametrize("field", STRATEGIES)
async def test_any_value_of_the_type_is_exact(db: Database, values: Repository[Value], field: str) -> None:
    examples: list[Any] = []

    @given(STRATEGIES[field])
    def collect(value: Any) -> None:
        examples.append(value)

    collect()
    for value in examples:
        taken = await there_and_back(db, values, field, value, thorough=False)
        assert taken is (value is None or held(db, value) is not None), f"{value!r} was refused"


@pytest.mark.parametrize("field", STRATEGIES)
async def test_equality_and_order_are_those_of_python(db: Database, values: Repository[Value], field: str) -> None:
    examples: list[Any] = []

    @given(STRATEGIES[field])
    def collect(value: Any) -> None:
        examples.append(value)

    collect()
    examples = [one for one in (held(db, value) for value in examples) if one is not None]
    rows = await values.create_many([Value(**{field: value}) for value in examples])
    expected = sorted(examples, key=order)
    found = [getattr(row, field) for row in await values.find({field: {"$ne": None}}, sort=(field, "id"))]
    assert found == expected
    for row, value in list(zip(rows, examples, strict=True))[:25]:
        assert row.id in {one.id for one in await values.find({field: value})}
        assert await values.count({field: value}) == sum(one == value for one in examples)
        assert await values.count({field: {"$lt": value}}) == sum(order(one) < order(value) for one in examples)
        assert await values.count({field: {"$gte": value}}) == sum(order(one) >= order(value) for one in examples)
    distinct = await values.distinct(field)
    assert [one for one in distinct if one is not None] == sorted(set(examples), key=order)


async def test_the_sign_of_zero_is_kept_where_the_engine_says_so(db: Database, values: Repository[Value]) -> None:
    row = await values.create({"float_": -0.0, "decimal": Decimal("-0.00"), "items": [-0.0]})
    signs = [math.copysign(1, zero) for zero in (row.float_, *row.items)]
    # A column of SQLite has one zero; JSON has two.
    assert signs == [-1 if db.capabilities["negative_zero"] else 1, -1]
    assert row.decimal.as_tuple().exponent == (-2 if db.capabilities["decimal_scale"] else 0)
    assert await values.get(row.id) == row
    for zero in (0, 0.0, -0.0):
        assert await values.count({"float_": zero, "decimal": Decimal(0)}) == 1


@pytest.mark.parametrize("field", ["any_", "items", "map"])
async def test_nested_values_are_exact(db: Database, values: Repository[Value], field: str) -> None:
    examples: list[Any] = []
    shapes = {
        "any_": nested,
        "items": st.lists(nested, max_size=4),
        "map": st.dictionaries(keys, nested, max_size=4),
    }

    @given(shapes[field])
    def collect(value: Any) -> None:
        examples.append(value)

    collect()
    for value in examples:
        taken = await there_and_back(db, values, field, value, thorough=False)
        # In a list, because the place is free whatever the value is.
        assert taken is (held(db, [value]) is not None), f"{value!r} was refused"


@pytest.mark.parametrize(
    "value",
    [
        {"null": None, "empty": {}, "list": [], "text": ""},
        {},
        {"b": 1, "a": 2, "é": 3, " ": 4, "__proto__": 5},
        {"1": 1.0, "2": 1, "3": Decimal(1), "4": True, "5": "1", "6": b"1"},
        {"deep": [[[[], [None, [1, "x", {"y": [False]}]]]]]},
        {"moment": datetime(1, 1, 1, tzinfo=UTC), "day": date(1, 1, 1), "time": time(0, 0, 0, 1)},
        {"long": [*range(1000)], "big": 2**63 - 1, "exact": 2**53 + 1},
        {"ids": [UUID(int=1), ObjectId(b"\x01" * 12)]},
        {"looks": {"like": "a tag"}, "dollar": "$oid"},
    ],
    ids=str,
)
async def test_maps_keep_order_types_nulls_and_emptiness(
    db: Database, values: Repository[Value], value: dict[str, Any]
) -> None:
    for field, given_ in (("map", value), ("any_", value), ("items", [value, [value]])):
        taken = await there_and_back(db, values, field, given_)
        assert taken is (held(db, given_) is not None), "refused"
    if held(db, value) is None:
        return
    row = (await values.find({"map": value}))[0]
    assert same(row.map, value), "not found by equality of the whole map"


@pytest.mark.parametrize("key", ["$oid", "$numberLong", "$date", "$x", "$", "", "a.b", "."])
async def test_a_key_that_looks_like_a_tag_or_a_path_is_refused_never_read_as_one(
    db: Database, values: Repository[Value], key: str
) -> None:
    for value in ({key: "59a47286cfa9a3a73e51e72c"}, {"in": [{key: "1"}]}):
        assert not await there_and_back(db, values, "map", value)
        assert not await there_and_back(db, values, "any_", value)
    assert await values.count({"map": {"$ne": {}}}) == 0


@pytest.mark.parametrize("value", [timedelta(seconds=1), 1j, range(3), Exception("x"), datetime], ids=str)
async def test_a_type_that_no_database_holds_is_refused_inside_free_values(
    db: Database, values: Repository[Value], value: Any
) -> None:
    """Stored as text it would come back as another type."""
    for field, given_ in (("any_", value), ("items", [value]), ("map", {"k": value})):
        assert not await there_and_back(db, values, field, given_)


async def test_missing_and_null_are_two_things_inside_a_map(values: Repository[Value]) -> None:
    null = await values.create({"map": {"k": None}})
    missing = await values.create({"map": {}})
    assert [row.id for row in await values.find({"map.k": {"$exists": True}})] == [null.id]
    assert [row.id for row in await values.find({"map.k": {"$exists": False}})] == [missing.id]
    assert {row.id for row in await values.find({"map.k": None})} == {null.id, missing.id}


async def test_a_field_of_any_type_holds_none(url: str) -> None:
    class Free(Document, table="free"):
        id: int = Field(primary_key=True)
        value: Any = None

    async with opened(url, [Free]) as database:
        rows = await database.repository(Free).create_many(
            [{"id": 1}, {"id": 2, "value": None}, {"id": 3, "value": [None]}]
        )
        assert [row.value for row in rows] == [None, None, [None]]
        assert await database.repository(Free).count({"value": None}) == 3


async def test_a_naive_moment_is_utc(values: Repository[Value]) -> None:
    row = await values.create({"datetime_": datetime(2024, 1, 1, 12)})
    assert row.datetime_ == datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert await values.count({"datetime_": datetime(2024, 1, 1, 12)}) == 1
    assert await values.count({"datetime_": datetime(2024, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))}) == 1


async def test_naughty_strings_are_keys_like_any_other(db: Database) -> None:
    names = db.repository(Texts)
    fits = db.capabilities["key_characters"]
    stored = [text for text in NAUGHTY if "\x00" not in text and len(text) <= fits]
    await names.create_many([{"id": text} for text in stored])
    for text in stored:
        assert (await names.get(text)).id == text
        assert [row.id for row in await names.find({"id": text})] == [text]
    assert sorted(await names.distinct("id")) == sorted(stored)
    assert [row.id for row in await names.find(sort="id")] == sorted(stored)
    after, seen = None, []
    while True:
        page = await names.page(sort="id", limit=3, after=after)
        seen += [row.id for row in page.items]
        if (after := page.next_cursor) is None:
            break
    assert seen == sorted(stored)
