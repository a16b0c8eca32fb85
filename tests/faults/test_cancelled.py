"""Callers that go away in the middle: nothing stays open on the server, no answer reaches somebody else."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from farm_db import Database, DatabaseBusyError
from faults.conftest import Wire
from faults.support import Row, Wide, becomes, idle, often, opened, token_on_every_connection, watching

pytestmark = [pytest.mark.alone, pytest.mark.every_backend]

POOL = 4
#: After which the server must have nothing left, in seconds.
AT_REST = 1.0


async def cancelled_at_random(
    make: Callable[[], Any], count: int, longest: float, together: int = 40, seed: int = 1
) -> int:
    """Starts `count` calls, each cancelled after 0 to `longest` seconds; how many of them were."""
    chance, loop, cancelled = random.Random(seed), asyncio.get_running_loop(), 0
    for _ in range(-(-count // together)):
        tasks = [asyncio.ensure_future(make()) for _ in range(together)]
        for task in tasks:
            loop.call_later(chance.uniform(0, longest), task.cancel)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, asyncio.CancelledError):
                cancelled += 1
            elif isinstance(outcome, BaseException):
                raise AssertionError("a call failed because others were cancelled") from outcome
    return cancelled


async def test_cancelled_begins_leave_no_transaction_open(url: str) -> None:
    count = often(10_000, 400)
    async with opened(url, max_size=POOL) as database:
        rows = database.repository(Row)
        await rows.create({"id": "a"})

        async def begin() -> None:
            async with database.transaction() as tx:
                # Only now does MySQL show it among its transactions.
                await rows.get("a", tx=tx)
                await asyncio.sleep(0.002)

        async def settled() -> None:
            cancelled = await cancelled_at_random(begin, count, 0.005)
            assert cancelled > count * 0.5, "hardly anything was cancelled: this proves little"

        if database.backend == "sqlite":
            await settled()
            await _nobody_holds_the_lock(url)
        else:
            # Open before the calls, so that nothing but the looking itself counts.
            async with watching(url) as watcher:
                await watcher.transactions()
                await settled()
                await becomes(_none(watcher.transactions), AT_REST, "transactions are left open on the server")
                await becomes(_none(watcher.working), 1, "statements go on")
        await becomes(lambda: idle(database), 1, f"connections stay out: {database.pool_stats()}")
        # An aborted transaction would show itself here (SQLSTATE 25P02).
        for _ in range(3 * POOL):
            await token_on_every_connection(database, POOL if database.backend != "sqlite" else 2)


def _none(count: Callable[[], Any]) -> Callable[[], Any]:
    async def is_none() -> bool:
        return await count() == 0

    return is_none


async def _nobody_holds_the_lock(url: str) -> None:
    # By the same library: another one in this process would drop its locks (sqlite.org/howtocorrupt.html, 2.2).
    async with opened(url, [], contract="off", busy_timeout=0.001) as beside:

        async def is_free() -> bool:
            try:
                async with beside.transaction() as tx:
                    await tx.rollback()
            except DatabaseBusyError:
                return False
            return True

        await becomes(is_free, AT_REST, "the lock of the file is held")


@pytest.mark.only("mongodb")
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
async def test_the_place_of_a_transaction_comes_back_after_its_end(wire: Wire, part: float) -> None:
    """Else whoever gets it next meets the locks of one who has left."""
    delay = 0.1
    async with opened(wire.url, max_size=1) as database, watching(wire.direct) as watcher:
        rows = database.repository(Row)
        await rows.create_many([{"id": "a"}, {"id": "b"}])
        await watcher.transactions()
        began, changed = asyncio.Event(), asyncio.Event()

        async def leave() -> None:
            async with database.transaction() as tx:
                await rows.update("a", {"value": 1}, tx=tx)
                began.set()
                await rows.update("b", {"value": 1}, tx=tx)
                changed.set()

        wire.proxy.delay = delay
        leaving = asyncio.ensure_future(leave())
        await began.wait()
        # The answer to the second update comes after two delays.
        await asyncio.sleep(2 * delay * part)
        assert not changed.is_set()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        # One's own begins on the server with its first command only.
        async with database.transaction() as tx:
            assert await watcher.transactions() == 0
            wire.proxy.delay = 0
            assert [one.value for one in await rows.find(tx=tx)] == [0, 0]


async def test_large_reads_cancelled_in_their_middle_leave_nothing(url: str) -> None:
    count = often(10_000, 240)
    async with opened(url, max_size=POOL) as database:
        wide = database.repository(Wide)
        await wide.create_many([{"id": number, "text": f"{number:04}" * 250} for number in range(300)])
        # Connections and what they have prepared.
        await token_on_every_connection(database, POOL if database.backend != "sqlite" else 2)
        # The shortest of several, because the first makes a plan, and the machine may be busy.
        whole = 1.0
        for _ in range(5):
            began = time.monotonic()
            right = [row.id for row in await wide.find(sort="id")]
            whole = min(whole, time.monotonic() - began)
        figures = (await database.get_stats())["pool"]
        assert right == list(range(300))
        serial = iter(range(10**9))

        async def read() -> None:
            kind = next(serial) % 3
            if kind == 0:
                found = [row.id for row in await wide.find(sort="id")]
            elif kind == 1:
                found = [row["id"] for row in await wide.find(sort="id").dicts()]
            else:
                async with aclosing(wide.find(sort="id").stream(batch=20)) as rows:
                    found = [row.id async for row in rows]
            assert found == right, "an answer of somebody else"

        before = await _cursors(url, database)
        # Eight wait for four connections, so that as many are cancelled while they wait as while they read.
        cancelled = await cancelled_at_random(read, count, 2 * whole, together=8)
        assert cancelled > count * 0.2, "hardly anything was cancelled: this proves little"
        await becomes(lambda: idle(database), 5, f"connections stay out: {database.pool_stats()}")
        for _ in range(3):
            await token_on_every_connection(database, POOL if database.backend != "sqlite" else 2)
        if database.backend != "sqlite":
            async with watching(url) as watcher:
                await becomes(_none(watcher.transactions), AT_REST, "transactions are left open on the server")
                await becomes(_none(watcher.working), AT_REST, "statements go on")
        await _at_start(database, figures)
        assert await _cursors(url, database) <= before, "cursors are left open on the server"


async def _cursors(url: str, database: Database) -> int:
    if database.backend != "mongodb":
        return 0
    async with watching(url) as watcher:
        # The watcher's own is over before the next is counted.
        return await watcher.cursors()


#: Figures that stand for now, not for what has been.
NOW = ("in_use", "waiting", "connecting", "closing")


async def _at_start(database: Database, figures: dict[str, Any]) -> None:
    """The figures of the moment are those from before, and of connections there are not more than there may be."""

    def flat(figures: dict[str, Any], path: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in figures.items():
            found |= flat(value, f"{path}{name}.") if isinstance(value, dict) else {f"{path}{name}": value}
        return found

    def now(figures: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in flat(figures).items() if name.rpartition(".")[2] in NOW}

    async def same() -> bool:
        return now((await database.get_stats())["pool"]) == now(figures)

    after = (await database.get_stats())["pool"]
    await becomes(same, 3, f"figures of the pool before {now(figures)} and after {now(after)}")
    sizes = {name: value for name, value in flat(database.pool_stats()).items() if name.rpartition(".")[2] == "size"}
    # SQLite has a writer beside the readers.
    assert all(0 <= size <= POOL + (database.backend == "sqlite") for size in sizes.values()), sizes
