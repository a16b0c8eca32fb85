"""Deadlines, queues and interruptions: what happens when connections are short and statements long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from farm_db import (
    Database,
    FarmDbError,
    PoolQueueFullError,
    PoolTimeoutError,
    StatementTimeoutError,
)
from support import Counter, User, eventually, failure, opened

pytestmark = [pytest.mark.alone, pytest.mark.every_backend]

COUNTING = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n WHERE x < 0"
JOINING = "SELECT count(*) FROM " + ", ".join(f"information_schema.collations AS c{n}" for n in range(4))
SLEEPING = {"find": "counters", "filter": {"$where": "sleep(600000) || true"}}


def forever(db: Database) -> Any:
    """A native statement that takes minutes."""
    return {"mongodb": SLEEPING, "mysql": JOINING}.get(db.backend, COUNTING)


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Counter, User], max_size=2) as database:
        await database.repository(Counter).create_many([{} for _ in range(20)])
        yield database


async def test_a_cancelled_long_statement_is_interrupted_and_frees_its_connection(db: Database) -> None:
    for _ in range(3):
        task = asyncio.ensure_future(db.execute(forever(db)))
        await asyncio.sleep(0.1)
        assert db.pool_stats()["in_use"] == 1
        before = time.perf_counter()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert time.perf_counter() - before < 0.1
        assert await eventually(lambda: db.pool_stats()["in_use"] == 0, 2), "the statement still runs"
    assert await db.repository(Counter).count() == 20
    async with asyncio.timeout(3):
        await db.repository(Counter).create({})


async def test_a_long_statement_in_a_transaction_can_be_cancelled(db: Database) -> None:
    async def work() -> None:
        async with db.transaction() as tx:
            await db.repository(Counter).create({}, tx=tx)
            await asyncio.wait_for(db.execute(forever(db), tx=tx), 0.1)

    with pytest.raises(TimeoutError):
        await work()
    async with asyncio.timeout(3):
        await db.repository(Counter).create({})
    assert await db.repository(Counter).count() == 21


async def test_a_statement_that_runs_longer_than_its_deadline_is_ended(url: str) -> None:
    async with opened(url, [Counter], statement_timeout=0.2) as database:
        await database.repository(Counter).create({})
        before = time.perf_counter()
        error = await failure(database.execute(forever(database)))
        assert isinstance(error, StatementTimeoutError)
        assert time.perf_counter() - before < 2
        await database.repository(Counter).create({})
        assert await database.repository(Counter).count() == 2
        assert database.pool_stats()["in_use"] == 0


async def test_closing_interrupts_or_waits_for_a_long_statement(url: str) -> None:
    async with opened(url, [Counter], statement_timeout=0.5) as database:
        await database.repository(Counter).create({})
        task = asyncio.ensure_future(database.execute(forever(database)))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await database.close()
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], FarmDbError)


async def _hold(database: Database, streams: list[Any]) -> None:
    """Takes every reader."""
    for _ in range(2):
        rows = database.repository(Counter).find().stream(batch=1)
        await anext(rows)
        streams.append(rows)


async def test_waiting_for_a_connection_ends_at_its_deadline(url: str) -> None:
    async with opened(url, [Counter], max_size=2, acquire_timeout=0.2) as database:
        await database.repository(Counter).create_many([{} for _ in range(20)])
        streams: list[Any] = []
        await _hold(database, streams)
        before = time.perf_counter()
        errors = await asyncio.gather(*(failure(database.repository(Counter).count()) for _ in range(20)))
        took = time.perf_counter() - before
        assert {type(error) for error in errors} == {PoolTimeoutError}
        assert all(error.retryable for error in errors)
        assert 0.15 < took < 1.5
        for stream in streams:
            await stream.aclose()
        assert await database.repository(Counter).count() == 20
        assert database.pool_stats()["acquire_timeouts_total"] == 20


async def test_a_full_queue_refuses_at_once(url: str) -> None:
    async with opened(url, [Counter], max_size=2, queue_limit=5) as database:
        await database.repository(Counter).create_many([{} for _ in range(20)])
        streams: list[Any] = []
        await _hold(database, streams)
        waiting = [asyncio.ensure_future(database.repository(Counter).count()) for _ in range(30)]
        refused, queued = await asyncio.wait(waiting, timeout=0.5)
        assert {type(task.exception()) for task in refused} == {PoolQueueFullError}
        assert len(queued) == 5
        assert database.pool_stats()["waiting"] == 5
        for stream in streams:
            await stream.aclose()
        assert await asyncio.gather(*queued) == [20] * 5


@pytest.mark.only("sqlite", "postgres")
async def test_waiters_are_served_in_their_order(db: Database) -> None:
    order: list[int] = []
    async with db.transaction():

        async def write(number: int) -> None:
            await db.repository(User).create({"id": number, "email": str(number)})
            order.append(number)

        tasks = []
        for number in range(30):
            tasks.append(asyncio.ensure_future(write(number)))
            await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)
    assert order == list(range(30))


@pytest.mark.only("sqlite")
async def test_waiters_that_are_cancelled_at_the_hand_over_lose_no_connection(db: Database) -> None:
    """A connection that is handed to someone who has just gone must go to the next."""
    for _ in range(40):
        streams: list[Any] = []
        await _hold(db, streams)
        waiters = [asyncio.ensure_future(db.repository(Counter).count()) for _ in range(20)]
        await asyncio.sleep(0)
        for stream in streams:
            await stream.aclose()
        for waiter in waiters[:10]:
            waiter.cancel()
        async with asyncio.timeout(5):
            assert await asyncio.gather(*waiters[10:]) == [20] * 10
        await asyncio.gather(*waiters, return_exceptions=True)
    assert await eventually(lambda: db.pool_stats()["in_use"] == 0)
    assert db.pool_stats()["readers"]["size"] <= 2


@pytest.mark.only("sqlite")
async def test_thousands_of_calls_wait_on_few_connections_and_are_all_answered(db: Database) -> None:
    counters = db.repository(Counter)
    counts = await asyncio.gather(*(counters.count() for _ in range(3000)))
    assert counts == [20] * 3000
    stats = db.pool_stats()["readers"]
    assert stats["size"] <= 2
    assert stats["connects_total"] <= 4
    assert stats["waiting"] == 0


async def test_cancelled_connects_and_closes_leave_a_usable_database(url: str) -> None:
    database = Database(url, models=[Counter, User])
    for delay in (0, 0, 0.0005, 0.001, 0.002, 0.005, 0.01):
        task = asyncio.ensure_future(database.connect())
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        task = asyncio.ensure_future(database.close())
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(10):
        await database.connect()
        await database.repository(Counter).create({})
        assert await database.repository(Counter).count() == 1
        await database.close()


@pytest.mark.only("sqlite")
async def test_connecting_twice_at_once_opens_once(url: str) -> None:
    database = Database(url, models=[Counter])
    await asyncio.gather(*(database.connect() for _ in range(10)))
    assert database.pool_stats()["writer"]["connects_total"] == 1
    await asyncio.gather(*(database.close() for _ in range(10)))
    assert not database.connected
