"""Processes: forks with an open database, several writers of one file. Exits and real servers are in test_hosts."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from farm_db import Database
from support import Counter, User, environment, failure, opened, run_python

#: The child of each opens a database of its own, which costs half a second.
FORKS = 40
pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


def in_child(work: Callable[[], Any], deadline: float = 20) -> Any:
    """What `work` gives in a forked child, as JSON; fails when the child crashes or hangs."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks in processes with threads: that is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            try:
                answer: Any = {"ok": work()}
            except BaseException as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            os.write(writing, json.dumps(answer).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    try:
        end = time.monotonic() + deadline
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise AssertionError("the child hung")
            time.sleep(0.005)
        assert status == 0, f"the child ended with {status}"
        answer = json.loads(os.read(reading, 1 << 20))
    finally:
        os.close(reading)
    assert "error" not in answer, answer
    return answer["ok"]


def fresh_loop(work: Any) -> Any:
    """Runs a coroutine in a child, whose inherited loop belongs to the parent."""
    asyncio.events._set_running_loop(None)
    return asyncio.run(work)


async def test_a_child_of_a_fork_uses_the_database_that_its_parent_opened(url: str) -> None:
    async with opened(url, [Counter]) as database:
        counters = database.repository(Counter)
        await counters.create_many([{}, {}])

        async def child(number: int) -> list[int]:
            before = await counters.count()
            await counters.create({"value": number})
            async with database.transaction() as tx:
                await counters.create({"value": number}, tx=tx)
            return [before, await counters.count({"value": number})]

        for number in range(1, 4):
            before, own = in_child(lambda: fresh_loop(child(number)))  # noqa: B023
            assert (before, own) == (2 * number, 2)
            assert await counters.count() == 2 * number + 2
            await counters.find().to_list()
        assert database.pool_stats()["in_use"] == 0


async def test_a_child_may_close_the_database_without_disturbing_its_parent(url: str) -> None:
    async with opened(url, [Counter]) as database:
        counters = database.repository(Counter)
        await counters.create({})

        async def child() -> int:
            await counters.create({})
            await database.close()
            async with opened(url, [Counter]) as own:
                return await own.repository(Counter).count()

        assert in_child(lambda: fresh_loop(child())) == 2
        assert await counters.count() == 2
        await counters.create({})
        assert await counters.count() == 3


async def test_a_fork_in_the_middle_of_queries_disturbs_nobody(url: str) -> None:
    async with opened(url, [Counter]) as database:
        await database.repository(Counter).create_many([{"value": n} for n in range(500)])
    # Often, because a fork must not meet a lock that some thread holds for a microsecond; and each time with a new
    # database, whose connections are being opened meanwhile.
    for number in range(FORKS):
        async with opened(url, [Counter]) as database:
            await _fork_in_the_middle(database, number % 5 * 0.0003)


async def _fork_in_the_middle(database: Database, delay: float) -> None:
    counters = database.repository(Counter)

    async def child() -> bool:
        rows = await counters.find(sort="id")
        return [row.value for row in rows] == list(range(500))

    async with database.transaction() as tx, aclosing(counters.find(sort="id").stream(batch=10)) as stream:
        await anext(stream)
        await counters.create({"value": -1}, tx=tx)
        work = [asyncio.ensure_future(counters.find(sort="id").to_list()) for _ in range(8)]
        await asyncio.sleep(delay)
        assert in_child(lambda: fresh_loop(child())), "the child must not see the parent's transaction"
        for rows in await asyncio.gather(*work):
            assert [row.value for row in rows] == list(range(500))
        assert len([row async for row in stream]) == 499
        await tx.rollback()


FORKING = """
import asyncio, os, sys, threading, warnings
import farm_db

warnings.simplefilter("ignore")

class Counter(farm_db.Document, table="counters"):
    id: int = farm_db.Field(primary_key=True)

def fork():
    for _ in range(100):
        if not (child := os.fork()):
            os._exit(0)
        os.waitpid(child, 0)

async def main():
    async with farm_db.Database(sys.argv[1], models=[Counter]) as db:
        counters = db.repository(Counter)
        await counters.create({"id": 1})
        thread = threading.Thread(target=fork)
        thread.start()
        while thread.is_alive():
            assert (await counters.get(1)).id == 1
        thread.join()

asyncio.run(main())
"""


def test_a_thread_that_forks_beside_the_loop_stops_nobody(url: str) -> None:
    done = run_python(FORKING, url, timeout=60)
    assert done.returncode == 0, done.stderr


def test_multiprocessing_by_fork_works_with_a_database_of_the_parent(url: str) -> None:
    database = Database(url, models=[Counter])
    counters = database.repository(Counter)

    async def start() -> None:
        await database.connect()
        await counters.create({})

    asyncio.run(start())
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        processes = [context.Process(target=_create, args=(counters, 25)) for _ in range(3)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]

    async def end() -> int:
        count = await counters.count()
        await database.close()
        return count

    assert asyncio.run(end()) == 76


def _create(counters: Any, count: int) -> None:
    async def work() -> None:
        for _ in range(count):
            await counters.create({})

    asyncio.run(work())


WRITER = """
import asyncio, sys
from support import Counter, Database, User
url, number, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

async def main():
    async with Database(url, models=[Counter, User], busy_timeout=30) as database:
        counters, users = database.repository(Counter), database.repository(User)
        for n in range(count):
            await counters.update(1, {"$inc": {"value": 1}})
            await users.create({"id": number * 100000 + n, "email": f"{number} {n}"})
            async with database.transaction() as tx:
                row = await counters.get(2, tx=tx)
                await counters.update(2, {"value": row.value + 1}, tx=tx)
        await asyncio.gather(*(counters.update(3, {"$inc": {"value": 1}}) for _ in range(count)))

asyncio.run(main())
"""


def test_eight_processes_that_write_one_file_lose_nothing(url: str) -> None:
    count = 25

    async def start() -> None:
        async with opened(url, [Counter, User]) as database:
            await database.repository(Counter).create_many([{"id": n} for n in (1, 2, 3)])

    asyncio.run(start())
    command = [sys.executable, "-c", WRITER, url]
    processes = [
        subprocess.Popen([*command, str(number), str(count)], stderr=subprocess.PIPE, text=True, env=environment())
        for number in range(8)
    ]
    errors = [process.communicate(timeout=90)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, errors

    async def end() -> tuple[list[int], int]:
        async with opened(url, [Counter, User]) as database:
            rows = await database.repository(Counter).find(sort="id")
            return [row.value for row in rows], await database.repository(User).count()

    assert asyncio.run(end()) == ([8 * count] * 3, 8 * count)


def test_processes_that_open_a_new_file_at_once_all_succeed(url: str, tmp_path: Path) -> None:
    code = """
import asyncio, sys
from support import Database, MODELS, User
async def main():
    async with Database(sys.argv[1], models=MODELS) as database:
        await database.repository(User).create({"id": int(sys.argv[2]), "email": sys.argv[2]})
asyncio.run(main())
"""
    command = [sys.executable, "-c", code, url]
    processes = [
        subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE, text=True, env=environment())
        for number in range(6)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, errors

    async def count() -> int:
        async with opened(url, [User]) as database:
            return await database.repository(User).count()

    assert asyncio.run(count()) == 6
    assert {path.name for path in tmp_path.iterdir()} <= {"app.db", "app.db-wal", "app.db-shm"}


async def test_a_writer_that_waits_too_long_for_another_process_gets_a_typed_error(url: str) -> None:
    code = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
    async with opened(url, [User], busy_timeout=0.2) as database:
        command = [sys.executable, "-c", code, url.removeprefix("sqlite:///")]
        holder = subprocess.Popen(  # noqa: ASYNC220 - a pipe is all that is read
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            users = database.repository(User)
            before = time.monotonic()
            async with asyncio.timeout(10):
                error = await failure(users.create({"id": 1, "email": "e"}))
            assert error.code == "database_busy"
            assert error.retryable
            assert 0.15 < time.monotonic() - before < 2
            assert await users.count() == 0, "readers go on"
        finally:
            holder.communicate()
        await users.create({"id": 1, "email": "e"})
