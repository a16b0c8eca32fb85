"""Many who wait for few connections: cancelled at the hand-over, more than are served, more than the queue holds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from farm_db import ConnectionFailedError, Database, PoolQueueFullError, PoolTimeoutError, Transaction
from faults.conftest import Wire
from faults.support import FULL, SERVERS, Row, becomes, idle, often, opened

pytestmark = [pytest.mark.alone, pytest.mark.every_backend, pytest.mark.only(*SERVERS)]

POOL = 4


async def held(database: Database, count: int) -> list[Transaction]:
    """Transactions that have every connection."""
    rows = database.repository(Row)
    found = []
    for _ in range(count):
        tx = Transaction(await database._open().begin(None, False))
        await rows.get_or_none("nobody", tx=tx)
        found.append(tx)
    return found


@asynccontextmanager
async def holding(database: Database, count: int) -> AsyncGenerator[None]:
    """Every connection is taken for a block."""
    holders = await held(database, count)
    try:
        yield
    finally:
        for tx in holders:
            await tx.rollback()


async def test_waiters_cancelled_at_the_hand_over_lose_no_connection(url: str) -> None:
    chance = random.Random(1)
    async with opened(url, max_size=POOL) as database:
        rows = database.repository(Row)
        await rows.create({"id": "a"})
        for _ in range(often(200, 12)):
            holders = await held(database, POOL)
            waiters = [asyncio.ensure_future(rows.count({"id": "a"})) for _ in range(10 * POOL)]
            await asyncio.sleep(0)
            await becomes(lambda: database.pool_stats()["waiting"] == 10 * POOL, 2, "nobody waits")
            # Given back and cancelled in the same turn, or a moment later.
            ends = [asyncio.ensure_future(tx.rollback()) for tx in holders]
            if chance.random() < 0.7:
                await asyncio.sleep(chance.uniform(0, 0.002))
            doomed = chance.sample(waiters, len(waiters) * 3 // 4)
            for waiter in doomed:
                waiter.cancel()
            async with asyncio.timeout(5):
                await asyncio.gather(*ends)
                outcomes = await asyncio.gather(*waiters, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) or one == 1 for one in outcomes), outcomes
            # Full capacity within a second.
            async with asyncio.timeout(1):
                for tx in await held(database, POOL):
                    await tx.rollback()
        await becomes(lambda: idle(database), 1, f"connections stay out: {database.pool_stats()}")


async def test_wait_for_overshoots_by_less_than_50_ms_however_many_wait(url: str) -> None:
    async with opened(url, max_size=POOL) as database:
        rows = database.repository(Row)
        overshoots: list[float] = []
        plain: list[float] = []

        async def wait(seconds: float) -> None:
            began = time.perf_counter()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(rows.count({"id": "a"}), seconds)
            overshoots.append(time.perf_counter() - began - seconds)

        async def wait_for_nothing(seconds: float) -> None:
            """How late the loop is by itself, on a machine that is busy."""
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            plain.append(time.perf_counter() - began - seconds)

        async with holding(database, POOL):
            for _ in range(often(20, 2)):
                spans = [0.05 + number * 0.002 for number in range(10 * POOL)]
                await asyncio.gather(*map(wait, spans), *map(wait_for_nothing, spans))
            assert database.pool_stats()["waiting"] == 0, "who has gone still waits"
        late = max(overshoots) - max(plain)
        print(f"{max(overshoots) * 1000:.1f} ms late, the loop by itself {max(plain) * 1000:.1f} ms")
        assert late < 0.05, f"{late * 1000:.0f} ms later than the loop itself"


@pytest.mark.slow
async def test_thousands_of_waiters_make_few_connects_though_these_are_slow(wire: Wire) -> None:
    """Deadlines that are shorter than a handshake: who gives up waiting must not take the handshake along."""
    pool, waiters = 10, 5000
    span = 30.0 if FULL else 2.0
    async with opened(wire.url, max_size=pool, acquire_timeout=0.3) as database:
        rows = database.repository(Row)
        await rows.create({"id": "a"})
        wire.proxy.delay = 0.05
        wire.proxy.cut()
        base = wire.proxy.accepted
        end = time.monotonic() + span
        answered = refused = 0

        async def call() -> None:
            nonlocal answered, refused
            while time.monotonic() < end:
                try:
                    assert await rows.count({"id": "a"}) == 1
                    answered += 1
                except (PoolTimeoutError, ConnectionFailedError):
                    # The first ones meet connections that were cut.
                    refused += 1
                    # Who was refused does something else for a while: a loop that is always busy proves nothing.
                    await asyncio.sleep(1)

        await asyncio.gather(*(call() for _ in range(waiters)))
        connects = wire.proxy.accepted - base
        print(f"{answered} answered, {refused} refused, {connects} connects")
        assert refused > waiters / 10, "nobody waited in vain: this proves little"
        assert answered > 0
        assert connects <= 20
        wire.proxy.heal()
        await becomes(lambda: idle(database), 3, f"connections stay out: {database.pool_stats()}")


async def test_beyond_the_queue_everybody_is_refused_at_once(url: str) -> None:
    pool, limit, callers = 10, 1000, 5000
    async with opened(url, max_size=pool, queue_limit=limit) as database:
        rows = database.repository(Row)
        await rows.create({"id": "a"})
        loop, took = asyncio.get_running_loop(), []

        async def call() -> Any:
            began = loop.time()
            try:
                return await rows.count({"id": "a"})
            except PoolQueueFullError:
                took.append(loop.time() - began)
                return None

        async with holding(database, pool):
            began = loop.time()
            calls = [asyncio.ensure_future(call()) for _ in range(callers)]
            await becomes(lambda: len(took) == callers - limit, 3, f"{len(took)} were refused")
            assert loop.time() - began < 1.5
        async with asyncio.timeout(20):
            outcomes = await asyncio.gather(*calls)
        assert outcomes.count(1) == limit
        assert outcomes.count(None) == callers - limit
        assert database.pool_stats()["connects_total"] <= 2 * pool
