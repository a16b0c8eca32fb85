"""`close()` while others hold and use connections: it ends by its deadline, and the server has nothing left of us."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest

from farm_db import Database, FarmDbError, Transaction
from faults.support import FULL, SERVERS, Row, Watcher, Wide, becomes, opened, watching

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.every_backend, pytest.mark.only(*SERVERS)]

#: What the core lets work under way take, in seconds, and what ending it by force may take (MongoDB is asked thrice).
CLOSING, FORCE = 10.0, 3.5
SLEEPING = {
    "postgres": "SELECT pg_sleep(60)",
    "mysql": "SELECT SLEEP(60)",
    "mongodb": {"find": "wide", "filter": {"$where": "sleep(60000) || true"}},
}


async def _a_transaction(database: Database) -> Any:
    tx = Transaction(await database._open().begin(None, False))
    await database.repository(Row).update("a", {"value": 1}, tx=tx)
    return tx


async def _a_statement(database: Database) -> Any:
    task = asyncio.ensure_future(database.execute(SLEEPING[database.backend]))
    await asyncio.sleep(0.2)
    return task


async def _a_stream(database: Database) -> Any:
    rows = database.repository(Wide).find(sort="id").stream(batch=1)
    await anext(rows)
    return rows


HELD = {"a transaction": _a_transaction, "a statement": _a_statement, "a stream": _a_stream}


@pytest.mark.parametrize("held", HELD if FULL else ["a transaction"])
async def test_close_ends_by_its_deadline_and_leaves_no_session(url: str, held: str) -> None:
    async with watching(url) as watcher:
        database = opened(url, max_size=4)
        await database.connect()
        await database.repository(Row).create({"id": "a"})
        await database.repository(Wide).create_many([{"id": number, "text": "x" * 5000} for number in range(300)])
        what = await HELD[held](database)
        assert await watcher.sessions() > 0
        try:
            await _close_leaves_nothing(database, watcher)
        finally:
            await watcher.end_all()
            await _forget(what)
        async with opened(url) as again, asyncio.timeout(5):
            row = await again.repository(Row).update("a", {"$inc": {"value": 10}})
            assert row.value == 10, "what was not committed is not there"


async def _close_leaves_nothing(database: Database, watcher: Watcher) -> None:
    began = time.monotonic()
    try:
        async with asyncio.timeout(CLOSING + FORCE + 2):
            await database.close()
    except FarmDbError as error:
        assert error.code == "pool_timeout"
    took = time.monotonic() - began
    assert took < CLOSING + FORCE, f"closed after {took:.1f} s"

    async def gone() -> bool:
        return await watcher.sessions() == await watcher.transactions() == 0

    # What had the connection still has it: nobody but close has ended it.
    await becomes(gone, 1, "sessions or transactions are left on the server")


async def _forget(what: Any) -> None:
    if isinstance(what, asyncio.Future):
        (outcome,) = await asyncio.gather(what, return_exceptions=True)
        assert isinstance(outcome, FarmDbError)
    elif isinstance(what, Transaction):
        with pytest.raises(FarmDbError):
            await what.commit()
    else:
        # What was read ahead may still come.
        with suppress(FarmDbError):
            async for _ in what:
                pass
