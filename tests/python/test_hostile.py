"""Hostile names, paths, keys and operators: no statement changes its shape, nothing reaches another column or table."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_db import Database, Document, FarmDbError, Field, InvalidSchemaError, Repository
from samples import keys
from support import User, failure, opened

pytestmark = pytest.mark.every_backend

NAUGHTY_NAMES = [
    'a"b',
    "a'b",
    "a`b",
    "a]b[",
    "a;b",
    "a--b",
    "a/*b*/",
    "select",
    "order by",
    "ü",
    "名前",
    "a b",
    " a",
    "a?b",
    ":a",
    "@a",
    "$1",
    "a%sb",
    "a\\b",
    "rowid",
    "x' OR '1'='1",
    '"); DROP TABLE users; --',
]


class Counts(Document, table="counts"):
    id: int = Field(primary_key=True)
    by_key: dict[str, int] = {}
    texts: dict[str, str] = {}
    secret: str = "hidden"


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Counts, User]) as database:
        await database.repository(User).create({"id": 1, "email": "witness"})
        yield database


@pytest.fixture
def counts(db: Database) -> Repository[Counts]:
    return db.repository(Counts)


async def untouched(db: Database) -> None:
    assert [row.email for row in await db.repository(User).find()] == ["witness"]
    assert await db.ensure_schema() == []


async def test_any_key_of_a_map_can_be_reached_by_its_path_and_reaches_nothing_else(
    db: Database, counts: Repository[Counts]
) -> None:
    examples: list[str] = []

    @given(keys)
    def collect(key: str) -> None:
        examples.append(key)

    collect()
    names = {name for name in (*NAUGHTY_NAMES, *examples) if not name.startswith("$") and name != "other"}
    for number, key in enumerate(names):
        row = await counts.create({"id": number, "by_key": {key: 7, "other": 1}, "texts": {key: key}})
        path, text_path = f"by_key.{key}", f"texts.{key}"
        assert [one.id for one in await counts.find({path: 7})] == [number], key
        assert [one.id for one in await counts.find({path: {"$gte": 7, "$lt": 8}})] == [number], key
        assert [one.id for one in await counts.find(Counts.by_key[key] == 7)] == [number], key
        assert [one.id for one in await counts.find({text_path: key})] == [number], key
        assert [one.id for one in await counts.find({path: {"$exists": True}})] == [number], key
        assert await counts.find({path: 8}) == []
        assert (await counts.find_one({}, sort=(f"-{path}", "id"))).id == number
        assert await counts.distinct(path) == [7]
        changed = await counts.update(number, {"$inc": {path: 1}})
        assert changed.by_key == {key: 8, "other": 1}
        assert (await counts.update(number, {"$unset": {path: ""}})).by_key.get(key) is None
        assert changed.secret == row.secret
        await counts.delete(number)
    await untouched(db)


@pytest.mark.parametrize("name", NAUGHTY_NAMES)
async def test_a_naughty_column_or_table_works_or_is_refused_before_anything_is_made(
    url: str, tmp_path: Path, name: str
) -> None:
    annotations = {"id": int, "value": str}
    namespace = {
        "__annotations__": annotations,
        "__module__": __name__,
        "id": Field(primary_key=True),
        "value": Field(column=name, index=True),
    }
    model = type(Document)("Naughty", (Document,), namespace, table=name)
    database = Database(url, models=[User, model])
    if not _is_name(database):
        error = await failure(database.connect())
        assert error.code == "invalid_schema"
        assert os.listdir(tmp_path) == []
        return
    async with database:
        repository = database.repository(model)
        await repository.create_many([{"id": 1, "value": "a"}, {"id": 2, "value": "b"}])
        assert [row.id for row in await repository.find({"value": "b"}, sort="-value")] == [2]
        assert (await repository.update(1, {"value": "c"})).value == "c"
        assert (await repository.upsert({"id": 1, "value": "d"})).value == "d"
        assert await repository.distinct("value") == ["b", "d"]
        assert [row.id for row in (await repository.page(sort="value", limit=1)).items] == [2]
        assert await repository.find(sort="id").json() == b'[{"id":1,"value":"d"},{"id":2,"value":"b"}]'
        assert await repository.delete_many({"value": "b"}) == 1
        assert await database.repository(User).count() == 0


def _is_name(database: Database) -> bool:
    """Whether the core takes the names of the models."""
    try:
        return bool(database.contract)
    except InvalidSchemaError:
        return False


names = st.one_of(
    st.sampled_from(
        ["id", "by_key", "texts", "secret", "by_key.other", "texts.", ".secret", "secret.x", "id.0", "_id"]
    ),
    st.sampled_from(NAUGHTY_NAMES),
    st.text(max_size=12),
)
KNOWN = """
$eq $ne $gt $gte $lt $lte $in $nin $and $or $nor $not $exists $size $type $regex $options $mod $all $elemMatch $where
$set $unset $inc $mul $min $max $rename $push $addToSet $pull $pullAll $pop $currentDate $each $slice $expr
"""
operators = st.one_of(st.sampled_from(KNOWN.split()), st.text(max_size=6).map(lambda text: f"${text}"))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(names, operators), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


async def _typed(work: Any) -> None:
    """A result, or an error that has a code and is no defect of ours."""
    (outcome,) = await asyncio.gather(work, return_exceptions=True)
    if isinstance(outcome, BaseException):
        assert isinstance(outcome, FarmDbError), repr(outcome)
        assert outcome.code not in ("internal_error", "backend_error", "connection_failed"), outcome


async def test_fuzzed_filters_sorts_fields_and_updates_answer_or_are_refused(
    db: Database, counts: Repository[Counts]
) -> None:
    rows = [{"id": n, "by_key": {"other": n}, "texts": {"k": str(n)}} for n in range(5)]
    examples: list[tuple[Any, Any, Any]] = []

    @given(st.dictionaries(st.one_of(names, operators), documents, max_size=3), names, documents)
    def collect(filter: Any, name: str, value: Any) -> None:
        examples.append((filter, name, value))

    for _ in range(2):
        collect()
    await counts.create_many(rows)
    for filter, name, value in examples:
        everything = await counts.find(sort="id")
        await _typed(counts.find(filter).to_list())
        await _typed(counts.count(filter))
        await _typed(counts.find(filter).explain())
        await _typed(counts.find(sort=name or "id").to_list())
        await _typed(counts.find(fields=[name]).to_list())
        await _typed(counts.distinct(name))
        await _typed(counts.page(filter, sort=name or "id", after=name))
        assert await counts.find(sort="id") == everything, "a read changed something"
        async with db.transaction() as tx:
            await _typed(counts.update_many({"id": 1}, {name: value}, tx=tx))
            await _typed(counts.update_many({"id": 1}, filter, tx=tx))
            others = [row for row in await counts.find(sort="id", tx=tx) if row.id != 1]
            assert others == [row for row in everything if row.id != 1], "another row was changed"
            await tx.rollback()
    await untouched(db)
