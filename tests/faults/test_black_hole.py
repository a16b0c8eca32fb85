"""Packets that vanish without a FIN: every call fails by its deadline, and what it used is replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farm_db import Database, FarmDbError, Transaction
from faults.conftest import Wire
from faults.proxy import Proxy, unanswering_port
from faults.support import GRACE, SERVERS, Row, Wide, becomes, endpoint, failure, opened, through

pytestmark = [pytest.mark.alone, pytest.mark.every_backend, pytest.mark.only(*SERVERS)]

DEADLINE = 0.25
#: How long `close` may wait for work under way; it is a constant of the core.
CLOSING = 10.0
OPTIONS = {"statement_timeout": DEADLINE, "connect_timeout": DEADLINE, "acquire_timeout": 5, "max_size": 2}


@asynccontextmanager
async def warm(wire: Wire, **options: Any) -> AsyncGenerator[Database]:
    """A database with open connections and a row; its close is never waited for longer than it promises."""
    database = opened(wire.url, **{**OPTIONS, **options})
    await database.connect()
    try:
        await database.repository(Row).create({"id": "a", "value": 1})
        # Several connections.
        await asyncio.gather(*(database.repository(Row).count() for _ in range(4)))
        yield database
    finally:
        # Whoever still waits for an answer where a test has failed gets an end.
        wire.proxy.heal()
        wire.proxy.cut()
        async with asyncio.timeout(CLOSING + 2):
            try:
                await database.close()
            except FarmDbError as error:
                # What a failing test has left behind; close has its own test.
                print(f"close: {error}")


async def fails_in_time(awaitable: Awaitable[Any], deadline: float = DEADLINE) -> FarmDbError:
    """The error of a call, which must come by its deadline."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(deadline + 2):
            error = await failure(awaitable)
    except TimeoutError:
        raise AssertionError(f"no answer {deadline + 2:.1f} s after the call; its deadline is {deadline} s") from None
    took = time.monotonic() - began
    assert took < deadline + GRACE, f"{error.code} after {took:.2f} s; the deadline is {deadline} s"
    return error


async def assert_replaced(wire: Wire, database: Database) -> None:
    """The dead connections are gone and new ones work."""
    wire.proxy.heal()
    accepted = wire.proxy.accepted
    rows = database.repository(Row)
    end = time.monotonic() + 3
    while True:
        # One of the dead may still idle in the pool, and is found out by the next call.
        try:
            async with asyncio.timeout(DEADLINE + GRACE):
                assert (await rows.get("a")).id == "a"
                break
        except (FarmDbError, TimeoutError) as error:
            assert time.monotonic() < end, f"the pool does not come back: {error!r}"
    assert wire.proxy.accepted > accepted, "a dead connection was used again"
    # MongoDB's driver finds its own dead connections when its next look at the server fails.
    await becomes(lambda: database.pool_stats()["in_use"] == 0, 3, f"connections stay out: {database.pool_stats()}")


async def test_a_read_fails_by_its_deadline_and_its_connection_is_replaced(wire: Wire) -> None:
    async with warm(wire) as database:
        wire.proxy.black_hole()
        error = await fails_in_time(database.repository(Row).find({"value": 1}).to_list())
        assert error.code in ("statement_timeout", "connection_failed")
        assert error.retryable
        await assert_replaced(wire, database)


async def test_a_write_fails_by_its_deadline_as_of_unknown_outcome(wire: Wire) -> None:
    async with warm(wire) as database:
        wire.proxy.black_hole()
        error = await fails_in_time(database.repository(Row).create({"id": "b"}))
        assert error.code == "outcome_unknown"
        await assert_replaced(wire, database)


@pytest.mark.slow
async def test_begin_and_a_first_statement_fail_by_their_deadline(wire: Wire) -> None:
    async with warm(wire) as database:

        async def work() -> None:
            async with database.transaction() as tx:
                await database.repository(Row).get("a", tx=tx)

        wire.proxy.black_hole()
        await fails_in_time(work())
        await assert_replaced(wire, database)


async def test_a_statement_in_a_transaction_fails_by_its_deadline(wire: Wire) -> None:
    async with warm(wire) as database:
        native = await database._open().begin(None, False)
        tx = Transaction(native)
        rows = database.repository(Row)
        await rows.update("a", {"value": 2}, tx=tx)
        wire.proxy.black_hole()
        error = await fails_in_time(rows.update("a", {"value": 3}, tx=tx))
        assert error.code != "outcome_unknown", "nothing of an open transaction can have been done"
        # Nobody waits once more for a connection that is known to be dead.
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE + GRACE):
            await asyncio.gather(tx.rollback(), return_exceptions=True)
        assert time.monotonic() - began < DEADLINE + GRACE
        await assert_replaced(wire, database)


async def test_a_commit_fails_by_its_deadline_as_of_unknown_outcome(wire: Wire) -> None:
    async with warm(wire) as database:
        tx = Transaction(await database._open().begin(None, False))
        await database.repository(Row).create({"id": "b"}, tx=tx)
        wire.proxy.black_hole()
        error = await fails_in_time(tx.commit())
        assert error.code == "outcome_unknown"
        await assert_replaced(wire, database)


@pytest.mark.slow
async def test_a_stream_fails_by_its_deadline(wire: Wire) -> None:
    async with warm(wire) as database:
        # Far more than what is read ahead and what buffers on the way hold.
        wide = database.repository(Wide)
        for first in range(0, 4000, 500):
            await wide.create_many([{"id": first + number, "text": "x" * 5000} for number in range(500)])
        stream = wide.find(sort="id").stream(batch=10)
        seen = [await anext(stream)]

        async def rest() -> None:
            async for row in stream:
                seen.append(row)  # noqa: PERF401 - what came before the error counts

        wire.proxy.black_hole()
        await fails_in_time(rest())
        assert len(seen) < 4000, "it had everything already: this proves nothing"
        await assert_replaced(wire, database)


async def test_a_new_connection_fails_by_its_deadline(wire: Wire) -> None:
    """Where the server accepts and says nothing, and where not even the SYN is answered."""
    wire.proxy.black_hole()
    with unanswering_port() as silent:
        for port in (wire.proxy.port, silent):
            database = opened(through(wire.direct, port), **OPTIONS)
            error = await fails_in_time(database.connect())
            assert error.code == "connection_failed"


@pytest.mark.slow
async def test_a_pool_that_cannot_connect_any_more_says_so_by_its_deadline(wire: Wire) -> None:
    async with warm(wire, max_size=1) as database:
        rows = database.repository(Row)
        wire.proxy.black_hole(old=False)
        wire.proxy.cut()
        # The first ones may still meet the connections that were cut.
        error = await fails_in_time(rows.find().to_list(), 2 * DEADLINE)
        assert error.code in ("connection_failed", "statement_timeout", "pool_timeout")
        assert error.retryable
        errors = await asyncio.gather(*(fails_in_time(rows.find().to_list(), 5) for _ in range(20)))
        assert {one.code for one in errors} <= {"connection_failed", "pool_timeout", "statement_timeout"}
        await assert_replaced(wire, database)


@pytest.mark.slow
async def test_close_returns_by_its_own_deadline(wire: Wire) -> None:
    database = opened(wire.url, **OPTIONS)
    await database.connect()
    rows = database.repository(Row)
    await rows.create({"id": "a"})
    await asyncio.gather(*(rows.count() for _ in range(4)))
    wire.proxy.black_hole()
    under_way = [asyncio.ensure_future(rows.find().to_list()) for _ in range(2)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    async with asyncio.timeout(CLOSING + 2):
        await asyncio.gather(database.close(), return_exceptions=True)
    closed = time.monotonic() - began
    ended, going = await asyncio.wait(under_way, timeout=1)
    wire.proxy.heal()
    wire.proxy.cut()
    await asyncio.gather(*going, return_exceptions=True)
    assert not going, "calls go on after the database is closed"
    outcomes = [one.exception() for one in ended]
    assert all(isinstance(one, FarmDbError) for one in outcomes), outcomes
    # What is under way ends by its own deadline; what idles is closed, for which a driver has a second.
    assert closed < DEADLINE + 4 * GRACE, f"closed after {closed:.2f} s"


def _timers(port: int) -> list[str]:
    """What runs on our connections to a port: `02` is a keepalive timer (Documentation/networking/proc_net_tcp.rst)."""
    established, found = "01", []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) == port and fields[3] == established:
            found.append(fields[5].partition(":")[0])
    return found


async def test_idle_connections_are_kept_alive_by_tcp(url: str) -> None:
    """A port of our own, so that only our connections are seen: nobody else connects to the proxy."""
    async with Proxy(*endpoint(url)) as proxy, opened(through(url, proxy.port), max_size=2) as database:
        rows = database.repository(Row)
        await asyncio.gather(*(rows.count() for _ in range(4)))
        await asyncio.sleep(0.3)
        timers = _timers(proxy.port)
        assert timers
        assert set(timers) == {"02"}, f"timers of the connections: {timers}"
