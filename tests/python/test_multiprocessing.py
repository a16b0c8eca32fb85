"""Children of `multiprocessing`, however they are started, and subinterpreters: the right answer or a clear error."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from farm_db import Database
from support import User, opened, run_python

pytestmark = [pytest.mark.every_backend, pytest.mark.slow]

METHODS = ("fork", "spawn", "forkserver")


async def _visit(url: str, number: int) -> list[tuple[int, str]]:
    async with Database(url, models=[User], max_size=2) as database:
        users = database.repository(User)
        await users.create({"id": number, "email": f"{number}"})
        async with database.transaction() as tx:
            await users.update(number, {"name": f"child {number}"}, tx=tx)
        rows = await asyncio.gather(*(users.get(number) for _ in range(5)))
        return [(row.id, row.name) for row in rows]


def visit(url: str, number: int) -> tuple[int, list[tuple[int, str]]]:
    """What a child does."""
    return os.getpid(), asyncio.run(_visit(url, number))


def row_of(url: str, number: int) -> User:
    """A row made in a child, which is pickled on its way back."""

    async def work() -> User:
        async with Database(url, models=[User]) as database:
            return await database.repository(User).create({"id": number, "email": "made in a child"})

    return asyncio.run(work())


@pytest.mark.parametrize("method", METHODS)
def test_children_have_databases_of_their_own(url: str, method: str) -> None:
    async def parent() -> None:
        async with opened(url, [User], max_size=3) as database:
            users = database.repository(User)
            await users.create({"id": 0, "email": "parent"})
            await asyncio.gather(*(users.get(0) for _ in range(5)))
            with warnings.catch_warnings():
                # Python 3.12 warns of forks in processes with threads: that is what is tested here.
                warnings.simplefilter("ignore", DeprecationWarning)
                with ProcessPoolExecutor(3, multiprocessing.get_context(method)) as pool:
                    loop = asyncio.get_running_loop()
                    answers = await asyncio.gather(
                        *(loop.run_in_executor(pool, visit, url, number) for number in range(1, 7))
                    )
                    made = await loop.run_in_executor(pool, row_of, url, 50)
            for number, (process, rows) in enumerate(answers, 1):
                assert process != os.getpid()
                assert rows == [(number, f"child {number}")] * 5
            assert made == await users.get(50)
            assert await users.count() == 8
            assert database.pool_stats()["in_use"] == 0

    asyncio.run(parent())


async def use(users: Any, number: int) -> None:
    await users.create({"id": number, "email": f"{number}"})
    assert (await users.get(number)).email == f"{number}"


def used(users: Any, number: int) -> None:
    """What a forked child does with a repository of its parent."""
    asyncio.run(use(users, number))


def test_a_fork_inherits_an_open_repository(url: str) -> None:
    database = Database(url, models=[User], max_size=3)
    users = database.repository(User)

    async def start() -> None:
        await database.connect()
        await use(users, 0)

    async def end() -> int:
        await use(users, 10)
        count = await users.count()
        await database.close()
        return count

    asyncio.run(start())
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        processes = [context.Process(target=used, args=(users, number)) for number in (1, 2, 3)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert asyncio.run(end()) == 5


@pytest.mark.only("sqlite")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
async def test_a_database_does_not_travel_to_a_child_and_says_so(url: str, method: str) -> None:
    async with opened(url, [User]) as database:
        context = multiprocessing.get_context(method)
        with pytest.raises(TypeError, match="cannot be pickled: make one in each process"):
            context.Process(target=used, args=(database, 1)).start()
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(database.repository(User))


SUBINTERPRETER = """
import sys
try:
    import _interpreters as interpreters
    create = lambda: interpreters.create("legacy")
    def run(id, code):
        failed = interpreters.exec(id, code)
        return None if failed is None else failed.formatted
except ImportError:
    import _xxsubinterpreters as interpreters
    create = lambda: interpreters.create(isolated=False)
    def run(id, code):
        try:
            interpreters.run_string(id, code)
        except Exception as error:
            return str(error)

WORK = '''
import asyncio, sys
sys.path[:0] = {path!r}
from support import Database, User
async def main():
    async with Database({url!r}, models=[User]) as database:
        users = database.repository(User)
        await users.upsert({{"id": 1, "email": "a"}})
        assert (await users.get(1)).email == "a"
asyncio.run(main())
'''.format(path=sys.path, url=sys.argv[1])

def main_works():
    exec(WORK, {})
    print("main: works", flush=True)

if sys.argv[2] == "main first":
    main_works()
for _ in range(2):
    error = run(create(), WORK)
    print("sub:", "works" if error is None else error, flush=True)
if sys.argv[2] == "main first":
    main_works()
"""


@pytest.mark.only("sqlite")
@pytest.mark.parametrize("order", ["main first", "sub alone"])
def test_a_subinterpreter_answers_rightly_or_says_that_it_cannot(url: str, order: str, tmp_path: Path) -> None:
    code = tmp_path / "subinterpreter.py"
    code.write_text(SUBINTERPRETER)
    done = run_python(f"import runpy, sys; runpy.run_path({str(code)!r}, run_name='__main__')", url, order)
    assert done.returncode == 0, (sys.version, done.stdout, done.stderr)
    answers = done.stdout.splitlines()
    main = [line for line in answers if line.startswith("main:")]
    subs = [line for line in answers if line.startswith("sub:")]
    assert main == (["main: works"] * 2 if order == "main first" else [])
    assert len(subs) == 2
    for line in subs:
        assert line == "sub: works" or "ImportError" in line, done.stdout
