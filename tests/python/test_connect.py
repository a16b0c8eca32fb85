"""Waiting for a database that is not there yet."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import farm_db
from farm_db import Database
from support import failure


async def test_connect_waits_for_a_database_that_is_starting(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    asyncio.get_running_loop().call_later(0.3, folder.mkdir)
    database = await farm_db.connect(f"sqlite:///{folder / 'app.db'}", wait=20)
    assert database.connected
    await database.close()


async def test_without_waiting_a_failure_is_told_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    error = await failure(Database(f"sqlite:///{tmp_path / 'missing' / 'app.db'}").connect())
    assert error.code == "connection_failed"
    assert time.monotonic() - began < 1


async def test_waiting_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    error = await failure(Database(f"sqlite:///{tmp_path / 'missing' / 'app.db'}").connect(wait=0.5))
    assert (error.code, error.context["waited_seconds"]) == ("connection_failed", 0.5)
    assert time.monotonic() - began < 5


async def test_a_wait_that_is_no_span_is_refused(url: str) -> None:
    for wait in (-1.0, float("nan"), 1e9):
        assert (await failure(Database(url).connect(wait=wait))).code == "invalid_configuration"
