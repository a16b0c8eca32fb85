"""Lazy queries: filters, sorts, limits, projections, streams, counts and explanations on real SQLite files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta, timezone

import pytest

from farm_db import (
    Database,
    Document,
    Field,
    InvalidQueryError,
    Repository,
    ResidualLimitError,
    TransactionStateError,
    UnknownFieldError,
    col,
)
from support import Address, Resource, eventually, failure, opened

pytestmark = pytest.mark.every_backend

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
CITIES = ["Bonn", "Berlin", None, "Köln"]
ROWS = [
    Resource(
        id=f"r{n:02}",
        name=f"name {n}" if n % 3 else f"Name_{n}%",
        rating=None if n % 5 == 0 else (n % 11) / 2 if n % 11 <= 10 else 0,
        stock=n % 7,
        tags=[tag for tag, step in (("two", 2), ("three", 3)) if n % step == 0],
        address=None if CITIES[n % 4] is None else Address(city=CITIES[n % 4], numbers=[n, n + 1]),
        attributes={"n": n, "deep": {"even": n % 2 == 0}},
        made_at=START + timedelta(hours=n),
    )
    for n in range(40)
]


class Verbs(Document, table="verbs"):
    """Fields that are called as verbs and column methods are."""

    id: int = Field(primary_key=True)
    count: int = 0
    find: str = ""


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Resource, Verbs]) as database:
        await database.repository(Resource).create_many(ROWS)
        yield database


@pytest.fixture
def resources(db: Database) -> Repository[Resource]:
    return db.repository(Resource)


def ids(rows: list[Resource]) -> list[str]:
    return sorted(row.id for row in rows)


def city(row: Resource) -> str | None:
    return row.address.city if row.address else None


CONDITIONS = [
    pytest.param(Resource.stock == 3, lambda row: row.stock == 3, id="equal"),
    pytest.param(Resource.stock != 3, lambda row: row.stock != 3, id="unequal"),
    pytest.param(Resource.rating >= 4, lambda row: row.rating is not None and row.rating >= 4, id="at least"),
    pytest.param(Resource.rating < 1, lambda row: row.rating is not None and row.rating < 1, id="less"),
    pytest.param(col(Resource.stock).between(2, 4), lambda row: 2 <= row.stock <= 4, id="between"),
    pytest.param(col(Resource.stock).in_([1, 5, 99]), lambda row: row.stock in (1, 5), id="one of"),
    pytest.param(col(Resource.stock).not_in([1, 5]), lambda row: row.stock not in (1, 5), id="none of"),
    pytest.param(col(Resource.rating).is_null(), lambda row: row.rating is None, id="null"),
    pytest.param(col(Resource.rating).is_not_null(), lambda row: row.rating is not None, id="not null"),
    pytest.param(col(Resource.tags).contains("two"), lambda row: "two" in row.tags, id="list contains"),
    pytest.param(
        col(Resource.tags).contains_all(["two", "three"]), lambda row: len(row.tags) == 2, id="list contains all"
    ),
    pytest.param(col(Resource.tags).size(0), lambda row: not row.tags, id="empty list"),
    pytest.param(Resource.tags == ["two"], lambda row: row.tags == ["two"], id="whole list"),
    pytest.param(Resource.address.city == "Bonn", lambda row: city(row) == "Bonn", id="nested"),
    pytest.param(Resource.address.city == "Köln", lambda row: city(row) == "Köln", id="nested not ascii"),
    pytest.param(Resource.address == None, lambda row: row.address is None, id="no address"),  # noqa: E711
    pytest.param(
        Resource.address.numbers == 7, lambda row: bool(row.address) and 7 in row.address.numbers, id="nested list"
    ),
    pytest.param(Resource.attributes["n"] == 12, lambda row: row.attributes["n"] == 12, id="key of a map"),
    pytest.param(
        Resource.attributes["deep"]["even"] == True,  # noqa: E712
        lambda row: row.attributes["deep"]["even"],
        id="deep key of a map",
    ),
    pytest.param(Resource.made_at >= START + timedelta(hours=38), lambda row: int(row.id[1:]) >= 38, id="moment"),
    pytest.param(
        Resource.made_at == (START + timedelta(hours=5)).astimezone(timezone(timedelta(hours=9))),
        lambda row: row.id == "r05",
        id="moment in another zone",
    ),
    pytest.param(
        col(Resource.name).like("name _"), lambda row: row.name[:5] == "name " and len(row.name) == 6, id="like"
    ),
    pytest.param(col(Resource.name).like(r"Name\_%\%"), lambda row: row.name.startswith("Name_"), id="like escaped"),
    pytest.param(col(Resource.name).ilike("NAME%"), lambda row: True, id="ilike"),
    pytest.param(col(Resource.name).startswith("Name_"), lambda row: row.name.startswith("Name_"), id="startswith"),
    pytest.param(col(Resource.name).endswith("%"), lambda row: row.name.endswith("%"), id="endswith"),
    pytest.param(col(Resource.name).contains("_3"), lambda row: "_3" in row.name, id="text contains"),
    pytest.param(
        col(Resource.name).regex(r"^name \d$"), lambda row: row.name[:5] == "name " and len(row.name) == 6, id="regex"
    ),
    pytest.param(
        (Resource.stock == 1) & (Resource.address.city == "Bonn"),
        lambda row: row.stock == 1 and city(row) == "Bonn",
        id="and",
    ),
    pytest.param(
        (Resource.stock == 1) | (Resource.address.city == "Bonn"),
        lambda row: row.stock == 1 or city(row) == "Bonn",
        id="or",
    ),
    pytest.param(~(Resource.rating >= 2), lambda row: row.rating is None or row.rating < 2, id="not"),
    pytest.param(
        ~((Resource.stock < 2) | (Resource.stock > 4)) & ~(Resource.rating == None),  # noqa: E711
        lambda row: 2 <= row.stock <= 4 and row.rating is not None,
        id="nested logic",
    ),
    pytest.param({"stock": {"$gte": 2, "$ne": 4}}, lambda row: row.stock >= 2 and row.stock != 4, id="dict"),
    pytest.param(
        {"$or": [{"stock": 1}, {"$and": [{"tags": "two"}, {"tags": "three"}]}]},
        lambda row: row.stock == 1 or len(row.tags) == 2,
        id="dict with logic",
    ),
    pytest.param({"address.city": {"$in": ["Bonn", None]}}, lambda row: city(row) in ("Bonn", None), id="path or null"),
    pytest.param({"stock": {"$mod": [3, 1]}}, lambda row: row.stock % 3 == 1, id="remainder"),
    pytest.param(
        {"address.numbers": {"$elemMatch": {"$gt": 10, "$lt": 12}}},
        lambda row: bool(row.address) and 11 in row.address.numbers,
        id="element match",
    ),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
async def test_a_condition_finds_the_rows_that_python_finds(
    resources: Repository[Resource], condition: object, expected: object
) -> None:
    found = await resources.find(condition)
    wanted = [row.id for row in ROWS if expected(row)]
    assert ids(found) == wanted
    assert len(wanted) > 0, "a condition that finds nothing proves nothing"
    assert await resources.count(condition) == len(wanted)
    assert await resources.exists(condition) is True
    assert ids([row async for row in resources.find(condition)]) == wanted


async def test_filters_given_together_must_all_hold(resources: Repository[Resource]) -> None:
    expected = [row.id for row in ROWS if row.stock == 2 and "two" in row.tags]
    assert ids(await resources.find(Resource.stock == 2, {"tags": "two"})) == expected
    assert ids(await resources.find(Resource.stock == 2).find({"tags": "two"})) == expected


async def test_a_query_is_not_changed_by_narrowing_it(resources: Repository[Resource]) -> None:
    everything = resources.find()
    narrow = everything.find(Resource.stock == 1).sort("-id").limit(2).skip(1).fields("id")
    assert len(await everything) == len(ROWS)
    expected = sorted((row.id for row in ROWS if row.stock == 1), reverse=True)[1:3]
    assert [row.id for row in await narrow] == expected


async def test_a_query_runs_again_each_time_it_is_awaited(resources: Repository[Resource]) -> None:
    query = resources.find(Resource.stock == 1)
    before = len(await query)
    await resources.create({"id": "new", "name": "n", "stock": 1})
    assert len(await query) == before + 1


@pytest.mark.parametrize(
    ("sort", "key", "reverse"),
    [
        ("id", lambda row: row.id, False),
        ("-made_at", lambda row: row.made_at, True),
        (("stock", "-id"), None, False),
        ([("stock", 1), ("id", -1)], None, False),
        ({"stock": 1, "id": -1}, None, False),
        (-col(Resource.made_at), lambda row: row.made_at, True),
        (("made_at", -1), lambda row: row.made_at, True),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_every_form_of_a_sort_orders_as_python_does(
    resources: Repository[Resource], sort: object, key: object, reverse: bool
) -> None:
    found = [row.id for row in await resources.find(sort=sort)]
    expected = sorted(ROWS, key=lambda row: row.id, reverse=key is None)
    expected = sorted(expected, key=key or (lambda row: row.stock), reverse=reverse)
    assert found == [row.id for row in expected]


async def test_null_sorts_first_and_text_by_code_point(resources: Repository[Resource]) -> None:
    ratings = [row.rating for row in await resources.find(sort="rating")]
    assert ratings == sorted(ratings, key=lambda rating: -1 if rating is None else rating)
    assert ratings[0] is None
    names = [row.name for row in await resources.find(sort="name")]
    assert names == sorted(names)


async def test_nested_paths_sort(resources: Repository[Resource]) -> None:
    found = await resources.find({"address": {"$ne": None}}, sort=("-address.city", "id"))
    expected = sorted((row for row in ROWS if row.address), key=lambda row: row.id)
    expected = sorted(expected, key=lambda row: city(row) or "", reverse=True)
    assert [row.id for row in found] == [row.id for row in expected]


async def test_limit_and_skip_cut_a_sorted_result(resources: Repository[Resource]) -> None:
    everything = [row.id for row in await resources.find(sort="id")]
    assert [row.id for row in await resources.find(sort="id", limit=5)] == everything[:5]
    assert [row.id for row in await resources.find(sort="id", skip=35)] == everything[35:]
    assert [row.id for row in await resources.find(sort="id", limit=5, skip=10)] == everything[10:15]
    assert await resources.find(limit=0) == []
    assert await resources.find().limit(5).count() == 5
    assert await resources.find().skip(38).count() == 2
    assert await resources.find().skip(100).exists() is False


@pytest.mark.parametrize("wrong", [-1, True, "5", 1.5])
async def test_a_limit_that_is_no_number_from_zero_is_refused(resources: Repository[Resource], wrong: object) -> None:
    with pytest.raises(InvalidQueryError, match="limit"):
        await resources.find(limit=wrong)
    with pytest.raises(InvalidQueryError, match="skip"):
        await resources.find(skip=wrong)


async def test_fields_reads_only_these(resources: Repository[Resource]) -> None:
    (row,) = await resources.find(Resource.id == "r01", fields=["id", Resource.stock])
    assert row.model_fields_set == {"id", "stock"}
    assert (row.id, row.stock) == ("r01", 1)
    with pytest.raises(AttributeError):
        _ = row.name
    assert await resources.find(Resource.id == "r01").fields("id", "tags").dicts() == [{"id": "r01", "tags": []}]
    assert await resources.find(Resource.id == "r01").fields("id").json() == b'[{"id":"r01"}]'


async def test_a_projection_of_an_unknown_field_is_refused(resources: Repository[Resource]) -> None:
    with pytest.raises(UnknownFieldError, match="nope"):
        await resources.find(fields=["nope"])


async def test_dicts_are_what_models_dump(resources: Repository[Resource]) -> None:
    models = await resources.find(sort="id")
    assert await resources.find(sort="id").dicts() == [model.model_dump() for model in models]


async def test_first_and_find_one_give_one_row_or_none(resources: Repository[Resource]) -> None:
    assert (await resources.find(sort="-id").first()).id == "r39"
    assert (await resources.find_one(sort="id")).id == "r00"
    assert await resources.find_one(Resource.stock == 99) is None
    assert await resources.find(Resource.stock == 99).first() is None


async def test_distinct_values_come_sorted_and_list_elements_one_by_one(resources: Repository[Resource]) -> None:
    assert await resources.distinct("stock") == list(range(7))
    assert await resources.distinct(Resource.tags) == ["three", "two"]
    assert await resources.distinct("address.city") == ["Berlin", "Bonn", "Köln"]
    assert await resources.distinct("stock", Resource.address.city == "Bonn") == sorted(
        {row.stock for row in ROWS if city(row) == "Bonn"}
    )
    moments = await resources.distinct("made_at", Resource.stock == 0)
    assert moments == [row.made_at for row in ROWS if row.stock == 0]


async def test_a_stream_gives_every_row_once_whatever_its_batches(resources: Repository[Resource]) -> None:
    everything = [row.id for row in await resources.find(sort="id")]
    for batch in (1, 7, 40, 1000):
        assert [row.id async for row in resources.find(sort="id").stream(batch=batch)] == everything
    assert [row.id async for row in resources.find(sort="id", skip=3, limit=4).stream(batch=2)] == everything[3:7]


async def test_a_stream_left_early_gives_its_connection_back(db: Database, resources: Repository[Resource]) -> None:
    for _ in range(20):
        async for _row in resources.find().stream(batch=1):
            break
    for _ in range(20):
        rows = resources.find().stream(batch=1)
        await anext(rows)
        await rows.aclose()
    assert await eventually(lambda: db.pool_stats()["in_use"] == 0)


async def test_a_stream_in_a_transaction_sees_its_writes(db: Database, resources: Repository[Resource]) -> None:
    async with db.transaction() as tx:
        await resources.create({"id": "z", "name": "n"}, tx=tx)
        assert len([row async for row in resources.find(tx=tx).stream(batch=3)]) == 41
        async for _row in resources.find(tx=tx).stream(batch=3):
            break
        assert await resources.count(tx=tx) == 41


async def test_other_work_of_a_transaction_is_refused_while_its_stream_is_open(
    db: Database, resources: Repository[Resource]
) -> None:
    async with db.transaction() as tx:
        rows = resources.find(tx=tx).stream(batch=1)
        await anext(rows)
        try:
            async with asyncio.timeout(5):
                error = await failure(resources.count(tx=tx))
        finally:
            await rows.aclose()
        assert isinstance(error, TransactionStateError)
        assert "stream" in str(error)
        assert await resources.count(tx=tx) == 40


async def test_an_error_inside_a_stream_of_a_transaction_rolls_back(
    db: Database, resources: Repository[Resource]
) -> None:
    async def work() -> None:
        async with db.transaction() as tx:
            await resources.create({"id": "z", "name": "n"}, tx=tx)
            async for _row in resources.find(tx=tx).stream(batch=1):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(work(), 5)
    assert await resources.count() == 40


async def test_explain_names_the_index_and_keeps_values_out_of_the_statement(resources: Repository[Resource]) -> None:
    plan = await resources.find(Resource.name == "secret'; --", sort="id").explain()
    assert "secret" not in plan["statement"]
    assert plan["residual"] is None
    assert "ix_resources_name" in str(plan["plan"])


@pytest.mark.only("sqlite", "postgres", "mysql")
async def test_a_filter_that_the_database_cannot_answer_is_answered_by_the_core(
    resources: Repository[Resource],
) -> None:
    condition = (Resource.attributes["n"] > 20) & (Resource.stock != 3)
    plan = await resources.find(condition).explain()
    assert "attributes.n" in str(plan["residual"]), "this test needs a condition that is not pushed down"
    expected = sorted((row.id for row in ROWS if row.attributes["n"] > 20 and row.stock != 3), reverse=True)
    found = await resources.find(condition, sort="-id", limit=3, skip=1)
    assert [row.id for row in found] == expected[1:4]
    assert await resources.count(condition) == len(expected)
    assert [row.id async for row in resources.find(condition, sort="-id")] == expected
    assert await resources.update_many(condition, {"name": "found"}) == len(expected)
    assert ids(await resources.find(Resource.name == "found")) == sorted(expected)
    assert await resources.delete_many(condition) == len(expected)
    assert await resources.count() == len(ROWS) - len(expected)


@pytest.mark.only("sqlite", "postgres", "mysql")
async def test_too_many_rows_for_the_core_to_filter_are_refused(url: str) -> None:
    async with opened(url, [Resource], residual_limit=10) as database:
        resources = database.repository(Resource)
        await resources.create_many(ROWS)
        condition = Resource.attributes["n"] > 20
        for work in (resources.find(condition).to_list(), resources.count(condition), resources.delete_many(condition)):
            error = await failure(work)
            assert isinstance(error, ResidualLimitError)
            assert error.code == "residual_limit"
        assert await resources.count() == len(ROWS)
        assert len(await resources.find(condition, Resource.stock == 1)) > 0


async def test_fields_may_be_called_as_verbs_are(db: Database) -> None:
    verbs = db.repository(Verbs)
    await verbs.create_many([{"id": n, "count": n, "find": "x"} for n in range(3)])
    assert [row.id for row in await verbs.find(Verbs.count >= 1, Verbs.find == "x", sort="-count")] == [2, 1]
