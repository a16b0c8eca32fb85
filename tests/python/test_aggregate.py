"""Groups and measures: exact numbers, one type each, whatever order the rows come in."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from farm_db import Document, Field, Repository
from support import failure, opened

pytestmark = pytest.mark.every_backend


class Place(BaseModel):
    city: str | None = None


class Order(Document, table="orders"):
    id: int = Field(primary_key=True)
    customer: str = Field(column="who")
    place: Place | None = None
    pieces: int | None = None
    price: Decimal | None = None
    weight: float | None = None
    made_at: datetime | None = None
    tags: list[str] = []


ORDERS: list[dict[str, Any]] = [
    {"id": 1, "customer": "a", "place": {"city": "Bonn"}, "pieces": 2, "price": Decimal("1.11"), "weight": 0.1},
    {"id": 2, "customer": "a", "place": {"city": None}, "pieces": 3, "price": Decimal("2.2"), "weight": 0.2},
    {"id": 3, "customer": "b", "place": None, "pieces": None, "price": None, "weight": 0.3},
    {"id": 4, "customer": "b", "place": {"city": "Bonn"}, "pieces": 2, "price": Decimal("-1.11"), "weight": None},
]


@pytest.fixture
async def orders(url: str) -> AsyncGenerator[Repository[Order]]:
    async with opened(url, [Order]) as db:
        repository = db.repository(Order)
        await repository.create_many(random.sample(ORDERS, len(ORDERS)))
        yield repository


async def test_groups_have_exact_sums_of_their_type(orders: Repository[Order]) -> None:
    measures = {
        "rows": {"$count": True},
        "values": {"$count": "pieces"},
        "pieces": {"$sum": "pieces"},
        "price": {"$sum": Order.price},
        "weight": {"$sum": "weight"},
        "mean": {"$avg": "price"},
    }
    found = await orders.aggregate(group={"customer": "customer"}, measures=measures)
    assert [repr(list(row.values())) for row in found] == [
        repr(["a", 2, 2, 5, Decimal("3.31"), 0.1 + 0.2, Decimal("1.655")]),
        repr(["b", 2, 1, 2, Decimal("-1.11"), 0.3, Decimal("-1.11")]),
    ]


async def test_without_groups_there_is_one_row_of_totals(orders: Repository[Order]) -> None:
    measures = {"n": {"$count": True}, "sum": {"$sum": "pieces"}, "mean": {"$avg": "pieces"}, "most": {"$max": "price"}}
    assert await orders.aggregate(measures=measures) == [{"n": 4, "sum": 7, "mean": 7 / 3, "most": Decimal("2.2")}]
    nothing = await orders.aggregate(Order.id > 9, measures=measures)
    assert nothing == [{"n": 0, "sum": 0, "mean": None, "most": None}]


async def test_null_and_missing_are_one_group_and_null_comes_first(orders: Repository[Order]) -> None:
    found = await orders.aggregate(group={"city": "place.city"}, measures={"n": {"$count": True}})
    assert found == [{"city": None, "n": 2}, {"city": "Bonn", "n": 2}]


async def test_distinct_values_first_and_last(orders: Repository[Order]) -> None:
    measures = {"kinds": {"$countDistinct": "pieces"}, "first": {"$first": "id"}, "last": {"$last": "id"}}
    found = await orders.aggregate(group={"who": "customer"}, measures=measures, order=["-id"])
    assert found == [
        {"who": "a", "kinds": 2, "first": 2, "last": 1},
        {"who": "b", "kinds": 1, "first": 4, "last": 3},
    ]
    assert (await failure(orders.aggregate(measures={"x": {"$first": "id"}}))).code == "invalid_query"


async def test_having_sort_limit_and_skip_are_about_the_result(orders: Repository[Order]) -> None:
    async def groups(**options: Any) -> list[Any]:
        found = await orders.aggregate(group={"w": "customer"}, measures={"n": {"$sum": "pieces"}}, **options)
        return [row["w"] for row in found]

    assert await groups(sort=["-n"]) == ["a", "b"]
    assert await groups(sort=["n"]) == ["b", "a"]
    assert await groups(having={"n": {"$gte": 3}}) == ["a"]
    assert await groups(sort=["w"], limit=1, skip=1) == ["b"]
    assert (await failure(groups(having={"nothing": 1}))).code == "unknown_field"
    assert (await failure(groups(limit=-1))).code == "invalid_query"


async def test_parts_of_moments_are_those_of_utc(orders: Repository[Order]) -> None:
    moment = datetime(2024, 12, 31, 23, 59, 58, tzinfo=UTC)
    await orders.update(1, {"made_at": moment})
    parts = ["year", "month", "dayOfMonth", "dayOfYear", "dayOfWeek", "hour", "minute", "second", "date"]
    group = {part: {f"${part}": "made_at"} for part in parts}
    (found,) = await orders.aggregate(Order.id == 1, group=group)
    expected = [2024, 12, 31, 366, 3, 23, 59, 58, date(2024, 12, 31)]
    assert found == dict(zip(parts, expected, strict=True))
    (nothing,) = await orders.aggregate(Order.id == 2, group={"year": {"$year": "made_at"}})
    assert nothing == {"year": None}


async def test_sums_do_not_depend_on_the_order_of_rows(orders: Repository[Order]) -> None:
    numbers = [1e100, 1.0, -1e100, 0.1, 1e-300]
    await orders.create_many({"id": 10 + i, "customer": "c", "weight": number} for i, number in enumerate(numbers))
    (row,) = await orders.aggregate(Order.customer == "c", measures={"sum": {"$sum": "weight"}})
    assert row == {"sum": 1.1}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "invalid_query"),
        ({"measures": {"x": {"$sum": "customer"}}}, "invalid_query"),
        ({"measures": {"x": {"$sum": "nothing"}}}, "unknown_field"),
        ({"measures": {"x": {"$median": "pieces"}}}, "unknown_operator"),
        ({"measures": {"x": "pieces"}}, "invalid_query"),
        ({"group": {"x": "tags"}}, "invalid_query"),
        ({"group": {"x": {"$hour": "price"}}}, "invalid_query"),
        ({"group": {"x": "id"}, "measures": {"x": {"$count": True}}}, "invalid_query"),
    ],
)
async def test_what_has_no_one_meaning_is_refused(
    orders: Repository[Order], arguments: dict[str, Any], code: str
) -> None:
    assert (await failure(orders.aggregate(**arguments))).code == code


async def test_a_sum_that_its_type_cannot_hold_is_refused(orders: Repository[Order]) -> None:
    await orders.create_many({"id": 20 + i, "customer": "d", "pieces": 2**63 - 1} for i in range(2))
    error = await failure(orders.aggregate(Order.customer == "d", measures={"x": {"$sum": "pieces"}}))
    assert (error.code, error.context["path"]) == ("invalid_value", "x")
    (row,) = await orders.aggregate(Order.customer == "d", measures={"x": {"$avg": "pieces"}})
    assert row == {"x": float(2**63 - 1)}
