"""Gets of one turn of the loop, and gets that find every connection busy, are answered together: each its own row, its
own failure, its own deadline.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from farm_db import Database, DatabaseClosedError, FarmDbError, NotFoundError, PoolQueueFullError, PoolTimeoutError
from support import Counter, Seat, User, eventually, opened

pytestmark = pytest.mark.every_backend

MODELS = [Counter, Seat, User]
SIZE = 2


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, MODELS, max_size=SIZE) as database:
        await database.repository(Counter).create_many([{} for _ in range(200)])
        yield database


@asynccontextmanager
async def busy(db: Database) -> AsyncGenerator[None]:
    """Every connection that reads is in a transaction."""
    async with AsyncExitStack() as stack:
        for _ in range(SIZE):
            tx = await stack.enter_async_context(db.transaction(read_only=True))
            await db.repository(Counter).count(tx=tx)
        yield


async def together(db: Database, *calls: Awaitable[Any]) -> list[Any]:
    """What calls answer that begin while every connection is busy."""
    async with busy(db):
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in tasks)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def grouped(db: Database) -> dict[str, int]:
    return dict((await db.get_stats())["group_reads"])


async def keys_of(db: Database, count: int) -> list[Any]:
    return [row["id"] for row in await db.repository(Counter).find(sort="id", limit=count).dicts()]


async def test_each_get_has_its_own_row_or_none(db: Database) -> None:
    keys = await keys_of(db, 200)
    wanted = [*keys, *keys[:20], -1, -2]
    found = await together(db, *map(db.repository(Counter).get_or_none, wanted))
    assert [one and one.id for one in found] == [*keys, *keys[:20], None, None]
    assert await grouped(db) == {"statements": 1, "gets": 222}


async def test_many_are_several_statements(db: Database) -> None:
    keys = await keys_of(db, 200) * 4
    assert [one.id for one in await together(db, *map(db.repository(Counter).get, keys))] == keys
    assert await grouped(db) == {"statements": 4, "gets": 800}


async def test_one_that_is_not_there_fails_alone(db: Database) -> None:
    [key] = await keys_of(db, 1)
    found = await together(db, *map(db.repository(Counter).get, [key, -1] * 50))
    assert [type(one) for one in found] == [Counter, NotFoundError] * 50


async def test_keys_of_several_fields_gather_too(db: Database) -> None:
    seats = db.repository(Seat)
    await seats.create_many({"row": n, "place": place, "guest": f"{n}{place}"} for n in range(20) for place in "ab")
    keys = [{"row": n % 25, "place": "ab"[n % 2]} for n in range(60)]
    found = await together(db, *map(seats.get_or_none, keys))
    expected = [None if key["row"] > 19 else f"{key['row']}{key['place']}" for key in keys]
    assert [one and one.guest for one in found] == expected
    assert await grouped(db) == {"statements": 1, "gets": 60}


async def test_they_can_be_switched_off(url: str) -> None:
    async with opened(url, MODELS, max_size=SIZE, group_reads=False) as db:
        keys = [row.id for row in await db.repository(Counter).create_many([{} for _ in range(50)])]
        assert [one.id for one in await together(db, *map(db.repository(Counter).get, keys))] == keys
        assert await grouped(db) == {"statements": 0, "gets": 0}


async def test_a_get_that_need_not_wait_goes_alone(db: Database) -> None:
    before = await grouped(db)
    for key in await keys_of(db, 10):
        await db.repository(Counter).get(key)
    assert await grouped(db) == before


# SQLite answers them one after the other on the loop's thread.
@pytest.mark.only("postgres", "mysql", "mongodb")
async def test_gets_of_one_turn_go_together_though_connections_are_free(db: Database) -> None:
    keys = await keys_of(db, 200)
    get = db.repository(Counter).get
    for _ in range(20):
        assert [one.id for one in await asyncio.gather(*map(get, keys))] == keys
        figures = await grouped(db)
        # A get goes alone while no other is under way, and a server that is fast enough answers each before the next.
        if figures["gets"] > 100:
            assert figures["statements"] <= 20
            return
    raise AssertionError(figures)


@pytest.mark.only("postgres", "mysql", "mongodb")
def test_the_turn_of_one_loop_does_not_hold_up_another(url: str) -> None:
    database = Database(url, models=MODELS, max_size=5)
    deferred, looked = threading.Event(), threading.Event()

    async def busy_loop(key: int) -> None:
        gets = [asyncio.ensure_future(database.repository(Counter).get(key)) for _ in range(10)]
        # Runs in the turn in which they ask, after them, and lasts.
        asyncio.get_running_loop().call_soon(lambda: (deferred.set(), looked.wait(10)))
        assert [one.id for one in await asyncio.gather(*gets)] == [key] * 10

    async def other_loop(key: int) -> None:
        assert deferred.wait(10)
        async with asyncio.timeout(5):
            await asyncio.gather(*(database.repository(Counter).get(key) for _ in range(10)))
        looked.set()

    async def begin() -> int:
        await database.connect()
        return int((await database.repository(Counter).create({})).id or 0)

    key = asyncio.run(begin())
    threads = [threading.Thread(target=asyncio.run, args=(work(key),)) for work in (busy_loop, other_loop)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert looked.is_set()
    asyncio.run(database.close())


async def test_a_get_in_a_transaction_goes_alone(db: Database) -> None:
    [key] = await keys_of(db, 1)
    before = await grouped(db)
    async with db.transaction() as tx, asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(db.repository(Counter).get(key, tx=tx))
    assert await grouped(db) == before


async def test_what_is_written_before_the_call_is_seen(db: Database) -> None:
    users = db.repository(User)

    async def write_and_read(number: int) -> bool:
        await users.create({"id": number, "name": f"n{number}", "email": f"{number}@x.example"})
        await users.update(number, {"name": f"changed {number}"})
        return (await users.get(number)).name == f"changed {number}"

    assert all(await asyncio.gather(*map(write_and_read, range(60))))


@pytest.mark.parametrize("step", [1, 2, 3])
async def test_whoever_goes_away_takes_nobody_along(db: Database, step: int) -> None:
    keys = await keys_of(db, 60)
    async with busy(db):
        tasks = [asyncio.ensure_future(db.repository(Counter).get(key)) for key in keys]
        await asyncio.sleep(0.01)
        # The first that gathers waits for all: it goes as well.
        for task in tasks[::step]:
            task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    for place, (key, one) in enumerate(zip(keys, found, strict=True)):
        assert isinstance(one, asyncio.CancelledError) if place % step == 0 else one.id == key
    assert await eventually(lambda: db.pool_stats()["in_use"] == db.pool_stats()["waiting"] == 0, 5)


async def test_going_away_at_any_moment_loses_nothing(db: Database) -> None:
    keys = await keys_of(db, 60)
    for turn in range(40):
        tasks = [asyncio.ensure_future(db.repository(Counter).get(key)) for key in keys]
        await asyncio.sleep(turn / 10_000)
        for task in tasks[:: 1 + turn % 3]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for key, one in zip(keys, found, strict=True):
            assert isinstance(one, asyncio.CancelledError) or one.id == key
    assert await eventually(lambda: db.pool_stats()["in_use"] == db.pool_stats()["waiting"] == 0, 5)


@pytest.mark.only("sqlite", "postgres", "mysql")
async def test_where_the_one_statement_fails_each_is_tried_alone(db: Database) -> None:
    keys = await keys_of(db, 50)
    get = db.repository(Counter).get
    await db.execute("ALTER TABLE counters RENAME TO elsewhere")
    found = await asyncio.gather(*map(get, keys), return_exceptions=True)
    assert all(isinstance(one, FarmDbError) and "counters" in str(one) for one in found), found
    await db.execute("ALTER TABLE elsewhere RENAME TO counters")
    assert [one.id for one in await together(db, *map(get, keys))] == keys


@pytest.mark.alone
async def test_each_has_its_own_deadline(url: str) -> None:
    async with opened(url, MODELS, max_size=SIZE, acquire_timeout=0.4) as db:
        key = (await db.repository(Counter).create({})).id

        async def timed(pause: float) -> float:
            await asyncio.sleep(pause)
            started = time.perf_counter()
            with pytest.raises(PoolTimeoutError):
                await db.repository(Counter).get(key)
            return time.perf_counter() - started

        async with busy(db):
            waited = await asyncio.gather(*(timed(0.1 * n) for n in range(6)))
        # Late by what the machine is late, never by another's wait.
        assert all(0.35 < one < 0.75 for one in waited), waited
        assert (await db.repository(Counter).get(key)).id == key


async def test_the_limit_of_the_queue_holds_for_those_who_gather(url: str) -> None:
    async with opened(url, MODELS, max_size=SIZE, queue_limit=5) as db:
        key = (await db.repository(Counter).create({})).id
        async with busy(db):
            tasks = [asyncio.ensure_future(db.repository(Counter).get(key)) for _ in range(50)]
            await asyncio.sleep(0.05)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        refused = sum(isinstance(one, PoolQueueFullError) for one in found)
        assert refused >= 35, refused
        assert refused + sum(isinstance(one, Counter) for one in found) == 50


async def test_closing_tells_all_who_wait(url: str) -> None:
    async with opened(url, MODELS, max_size=1) as db:
        key = (await db.repository(Counter).create({})).id
        tasks = [asyncio.ensure_future(db.repository(Counter).get(key)) for _ in range(100)]
        await asyncio.sleep(0)
        await db.close()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in found} <= {Counter, DatabaseClosedError}
        await db.connect()
