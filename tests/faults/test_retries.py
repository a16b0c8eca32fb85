"""What `run_transaction` runs again: only what the server calls transient, with waits between that differ."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from farm_db import (
    Database,
    DatabaseBusyError,
    FarmDbError,
    StatementTimeoutError,
    Transaction,
    TransactionConflictError,
    UniqueViolationError,
)
from faults.conftest import Wire
from faults.support import Row, becomes, failure, idle, opened, watching

pytestmark = [pytest.mark.alone, pytest.mark.every_backend]


class Body:
    """A transaction's work that counts how often it ran, and may be told to go wrong at first."""

    def __init__(self, database: Database) -> None:
        self.rows = database.repository(Row)
        self.runs: list[float] = []

    async def __call__(self, tx: Transaction) -> None:
        self.runs.append(time.monotonic())
        await self.rows.update("a", {"$inc": {"value": 1}}, tx=tx)


@asynccontextmanager
async def with_row(url: str, **options: Any) -> AsyncGenerator[Database]:
    async with opened(url, **options) as database:
        await database.repository(Row).create_many([{"id": "a"}, {"id": "b"}])
        yield database
        await becomes(lambda: idle(database), 5, f"connections stay out: {database.pool_stats()}")


@pytest.mark.only("postgres", "mysql")
async def test_deadlocks_are_run_again(url: str) -> None:
    """40P01 and 1213: each of two has what the other wants."""
    async with with_row(url) as database:
        rows = database.repository(Row)
        runs = 0

        async def crossing(tx: Transaction, first: str, second: str) -> None:
            nonlocal runs
            runs += 1
            await rows.update(first, {"$inc": {"value": 1}}, tx=tx)
            await asyncio.sleep(0.1)
            await rows.update(second, {"$inc": {"value": 1}}, tx=tx)

        async with asyncio.timeout(20):
            await asyncio.gather(
                database.run_transaction(lambda tx: crossing(tx, "a", "b")),
                database.run_transaction(lambda tx: crossing(tx, "b", "a")),
            )
        assert runs >= 3, "there was no deadlock: this proves nothing"
        assert [row.value for row in await rows.find(sort="id")] == [2, 2]


@pytest.mark.only("postgres")
async def test_serialization_failures_are_run_again(url: str) -> None:
    """40001: each of two has read what the other writes."""
    async with with_row(url) as database:
        rows, runs = database.repository(Row), 0

        async def skewed(tx: Transaction, one: str) -> None:
            nonlocal runs
            runs += 1
            total = sum([row.value for row in await rows.find(tx=tx)])
            await asyncio.sleep(0.05)
            await rows.update(one, {"value": total + 1}, tx=tx)

        works = [
            database.run_transaction(lambda tx, one=one: skewed(tx, one), isolation="serializable") for one in "ab"
        ]
        async with asyncio.timeout(20):
            await asyncio.gather(*works)
        assert runs >= 3, "there was no conflict: this proves nothing"
        assert sorted([row.value for row in await rows.find()]) == [1, 2], "as if one had come after the other"


@pytest.mark.only("sqlite")
async def test_a_busy_file_is_tried_again(url: str) -> None:
    async with with_row(url, busy_timeout=0.05) as database, opened(url) as other:
        body = Body(database)

        async def hold() -> None:
            async with other.transaction():
                held.set()
                await asyncio.sleep(0.12)

        held = asyncio.Event()
        holder = asyncio.create_task(hold())
        await held.wait()
        await database.run_transaction(body, retries=10)
        await holder
        assert (await database.repository(Row).get("a")).value == 1
        async with other.transaction():
            began = time.monotonic()
            assert isinstance(await failure(database.run_transaction(body, retries=2)), DatabaseBusyError)
            assert time.monotonic() - began < 2


async def test_what_is_not_transient_is_not_run_again(url: str) -> None:
    async with with_row(url, statement_timeout=0.3) as database:
        rows, runs = database.repository(Row), 0
        sleeping: Any = {
            "postgres": "SELECT pg_sleep(5)",
            "mysql": "SELECT SLEEP(5)",
            "mongodb": {"find": "rows", "filter": {"$where": "sleep(5000) || true"}},
            "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
        }[database.backend]

        async def twice(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await rows.create({"id": "a"}, tx=tx)

        async def slow(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            if database.backend == "mongodb":
                # A transaction of MongoDB takes no $where; its statement is as slow beside it.
                await database.execute(sleeping)
            await database.execute(sleeping, tx=tx)

        assert isinstance(await failure(database.run_transaction(twice)), UniqueViolationError)
        assert runs == 1
        error = await failure(database.run_transaction(slow))
        assert isinstance(error, StatementTimeoutError)
        assert runs == 2


async def test_the_waits_between_runs_are_short_and_differ(url: str) -> None:
    async with with_row(url) as database:
        waits: list[float] = []
        for _ in range(4):
            runs: list[float] = []

            async def loses(tx: Transaction, runs: list[float] = runs) -> None:
                runs.append(time.monotonic())
                raise TransactionConflictError("lost")

            began = time.monotonic()
            with pytest.raises(TransactionConflictError):
                await database.run_transaction(loses, retries=3)
            assert len(runs) == 4
            assert time.monotonic() - began < 2
            waits.append(runs[1] - runs[0])
        assert all(wait > 0.001 for wait in waits), "no wait at all"
        assert len({round(wait, 5) for wait in waits}) > 1, "everybody would meet again"


@pytest.mark.only("postgres", "mysql")
async def test_a_connection_that_breaks_in_a_transaction_is_not_a_reason_to_run_it_again(wire: Wire) -> None:
    """The server has not called it transient; who wants may do it, for it is retryable."""
    async with with_row(wire.url) as database:
        rows, runs = database.repository(Row), 0

        async def cut(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await rows.update("a", {"$inc": {"value": 1}}, tx=tx)
            wire.proxy.cut()
            await rows.update("a", {"$inc": {"value": 1}}, tx=tx)

        error = await failure(database.run_transaction(cut))
        assert (error.code, error.retryable, runs) == ("connection_failed", True, 1)
        assert (await rows.get("a")).value == 0


@asynccontextmanager
async def failing(url: str, times: int, **data: Any) -> AsyncGenerator[None]:
    """Commands of a MongoDB that fail as they are told to (the server's failpoint `failCommand`)."""
    async with watching(url) as watcher:
        point = {"configureFailPoint": "failCommand", "mode": {"times": times}, "data": {**data, "appName": "doomed"}}
        await watcher.database.execute(point)
        try:
            yield
        finally:
            await watcher.database.execute({"configureFailPoint": "failCommand", "mode": "off"})
            # A commit that has never reached the server leaves its transaction open there for a minute.
            await watcher.database.execute({"killAllSessions": []})


@pytest.mark.only("mongodb")
async def test_transient_labels_run_the_body_again(url: str) -> None:
    async with with_row(url, application_name="doomed") as database:
        body = Body(database)
        labels = ["TransientTransactionError"]
        async with failing(url, 2, failCommands=["update", "findAndModify"], errorCode=251, errorLabels=labels):
            await database.run_transaction(body)
        assert len(body.runs) == 3
        assert (await database.repository(Row).get("a")).value == 1


@pytest.mark.only("mongodb")
@pytest.mark.parametrize("code", [64, 50, 10107], ids=["WriteConcernFailed", "MaxTimeMSExpired", "election"])
async def test_a_commit_of_unknown_result_is_sent_again_alone(url: str, code: int) -> None:
    async with with_row(url, application_name="doomed") as database:
        body = Body(database)
        labels = ["UnknownTransactionCommitResult"] + (["RetryableWriteError"] if code == 10107 else [])
        async with failing(url, 1, failCommands=["commitTransaction"], errorCode=code, errorLabels=labels):
            try:
                await database.run_transaction(body)
                told = "done"
            except FarmDbError as error:
                told = error.code
        assert told in ("done", "outcome_unknown"), told
        assert len(body.runs) == 1, "the body ran again"
        # Of these the server itself gives up only the one whose time is over.
        value = (await database.repository(Row).get("a")).value
        assert value == 1 or (told != "done" and code == 50), f"{told}, but {value}"
        body.runs.clear()
        async with failing(url, 100, failCommands=["commitTransaction"], errorCode=code, errorLabels=labels):
            began = time.monotonic()
            async with asyncio.timeout(20):
                assert (await failure(database.run_transaction(body))).code == "outcome_unknown"
            assert time.monotonic() - began < 15
        assert len(body.runs) == 1
