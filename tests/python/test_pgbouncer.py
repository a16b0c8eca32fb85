"""PostgreSQL behind a proxy that gives each transaction another session of the server (`pgbouncer=true`)."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator

import pytest

from farm_db import Database, UniqueViolationError
from support import Counter, User, opened


@pytest.fixture
async def db() -> AsyncGenerator[Database]:
    schema = f"farm_{uuid.uuid4().hex}"
    proxy = f"{os.environ['FARM_TEST_PGBOUNCER_URL']}?pgbouncer=true&schema={schema}"
    async with opened(proxy, [Counter, User], max_size=8) as database:
        yield database
        await database.execute(f"DROP SCHEMA {schema} CASCADE")


async def test_every_kind_of_statement_works(db: Database) -> None:
    users, counters = db.repository(User), db.repository(Counter)
    rows = await users.create_many([{"id": n, "email": str(n), "name": "x" * (n % 20)} for n in range(100)])
    assert [row.id for row in rows] == list(range(100))
    assert (await counters.create({})).id == 1
    assert [row.id for row in await counters.create_many([{}, {}])] == [2, 3]
    assert (await users.get(7)).name == "x" * 7
    assert await users.update_many({"id": {"$lt": 10}}, {"name": "few"}) == 10
    assert (await users.upsert({"id": 1, "email": "new"})).email == "new"
    assert [row.id async for row in users.find(sort="id").stream(batch=7)] == list(range(100))
    with pytest.raises(UniqueViolationError):
        await users.create({"id": 1, "email": "again"})
    assert await users.delete_many({"id": {"$gte": 50}}) == 50
    assert await users.count() == 50


async def test_the_same_statements_run_at_once_on_whatever_session(db: Database) -> None:
    users = db.repository(User)
    await users.create_many([{"id": n, "email": str(n)} for n in range(20)])
    found = await asyncio.gather(*(users.get(n % 20) for n in range(400)))
    assert [row.id for row in found] == [n % 20 for n in range(400)]


async def test_a_transaction_stays_on_one_session(db: Database) -> None:
    users = db.repository(User)
    async with db.transaction() as tx:
        await users.create({"id": 1, "email": "a"}, tx=tx)
        with pytest.raises(UniqueViolationError):
            await users.create({"id": 1, "email": "a"}, tx=tx)
        assert await users.count(tx=tx) == 1
        assert await users.count() == 0
    assert await users.count() == 1
