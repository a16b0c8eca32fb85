"""`create_many` of more rows than one statement: inserted while others are still to come, all or none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

from farm_db import Database, Document, FarmDbError, Field, InvalidValueError, UniqueViolationError
from support import Counter, User, eventually, failure, opened, pauses, run_python

MANY = 5000
LATE = 4321


class Part(Document, table="parts"):
    """A row that names another."""

    id: int = Field(primary_key=True)
    whole: int | None = None


class Page(Document, table="pages"):
    """A row of any size."""

    id: int = Field(primary_key=True)
    text: str


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Counter, Page, Part, User]) as database:
        yield database


def records(count: int = MANY, at: int = -1, then: Callable[[], dict[str, Any]] | None = None) -> Iterator[Any]:
    """Users; `then` says what comes at one place."""
    for n in range(count):
        yield then() if n == at and then else {"id": n, "email": f"{n}@example.org", "name": f"user {n}"}


class OddError(Exception):
    """What the generator of a caller raises."""


def raises() -> dict[str, Any]:
    raise OddError


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], dict[str, Any]]] = {
    "refused by the model": (lambda: {"id": "x", "email": ""}, InvalidValueError, {"path": "id"}),
    "refused by the core": (lambda: User.model_construct(id="x", email="x"), InvalidValueError, {"row": LATE}),
    "taken key": (lambda: {"id": 7, "email": "new"}, UniqueViolationError, {"row": LATE}),
    "taken value": (lambda: {"id": -1, "email": "7@example.org"}, UniqueViolationError, {"row": LATE}),
    "a generator that raises": (raises, OddError, {}),
}


@pytest.mark.every_backend
@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_late_leaves_nothing(db: Database, wrong: str, in_transaction: bool) -> None:
    users = db.repository(User)
    then, kind, context = WRONG[wrong]
    # MongoDB ends a transaction with its first failed command.
    undone = db.capabilities["savepoints"] or kind is not UniqueViolationError
    if not in_transaction:
        with pytest.raises(kind) as caught:
            await users.create_many(records(MANY, LATE, then))
    else:
        async with db.transaction() as tx:
            await users.create({"id": -2, "email": "before"}, tx=tx)
            with pytest.raises(kind) as caught:
                await users.create_many(records(MANY, LATE, then), tx=tx)
            if undone:
                await users.create({"id": -3, "email": "after"}, tx=tx)
            else:
                await tx.rollback()
    if isinstance(caught.value, FarmDbError):
        if db.backend == "mysql" and kind is UniqueViolationError:
            context = {}  # it does not tell
        assert {name: caught.value.context.get(name) for name in context} == context
    assert await users.count() == (2 if in_transaction and undone else 0)
    assert len(await users.create_many(records(10))) == 10


@pytest.mark.every_backend
@pytest.mark.parametrize("in_transaction", [False, True])
async def test_many_rows_are_there_in_their_order(db: Database, in_transaction: bool) -> None:
    users = db.repository(User)
    if in_transaction:
        async with db.transaction() as tx:
            made = await users.create_many(records(), tx=tx)
            assert await users.count(tx=tx) == MANY
    else:
        made = await users.create_many(records())
    assert [one.id for one in made] == list(range(MANY))
    assert made == await users.find(sort="id")


@pytest.mark.every_backend
async def test_nothing_is_there_before_all_is(db: Database) -> None:
    users = db.repository(User)
    creating = asyncio.ensure_future(users.create_many(records(20_000)))
    seen = set()
    while not creating.done():
        seen.add(await users.count())
    await creating
    assert seen <= {0, 20_000}


@pytest.mark.every_backend
@pytest.mark.only("sqlite", "postgres", "mongodb")
@pytest.mark.parametrize("late", [600, 3000, 9990])
async def test_the_place_of_a_taken_key_is_told_however_many_rows_are_before_it(db: Database, late: int) -> None:
    users = db.repository(User)
    with pytest.raises(UniqueViolationError) as taken:
        await users.create_many(records(10_000, late, lambda: {"id": 7, "email": "new"}))
    assert taken.value.context["row"] == late
    assert await users.count() == 0


@pytest.mark.every_backend
@pytest.mark.parametrize("pause", [0.5, 0.002])
async def test_the_time_that_a_generator_takes_is_not_that_of_a_statement(url: str, pause: float) -> None:
    """Long pauses within a batch, and short ones that make every batch late."""

    def slow() -> Iterator[Any]:
        for number, record in enumerate(records(2000)):
            if pause < 0.1 or number in (600, 1300):
                time.sleep(pause)
            yield record

    async with opened(url, [User], statement_timeout=0.3) as database:
        users = database.repository(User)
        assert len(await users.create_many(slow())) == 2000
        assert await users.count() == 2000


@pytest.mark.every_backend
async def test_keys_that_the_database_counts(db: Database) -> None:
    counters = db.repository(Counter)
    made = await counters.create_many({"value": n} if n % 100 else {"value": n, "id": 100_000 + n} for n in range(3000))
    assert [one.value for one in made] == list(range(3000))
    assert len({one.id for one in made}) == 3000
    assert [one.id for one in made[::100]] == [100_000 + n for n in range(0, 3000, 100)]
    assert {one.id: one for one in made} == {one.id: one for one in await counters.find()}


@pytest.mark.every_backend
async def test_a_caller_who_goes_away_in_the_middle_leaves_nothing(db: Database) -> None:
    users = db.repository(User)

    def cancelled() -> Iterator[Any]:
        for number, record in enumerate(records()):
            if number == LATE:
                creating.cancel()
            yield record

    for _ in range(3):
        creating = asyncio.ensure_future(users.create_many(cancelled()))
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert await eventually(lambda: _in_use(db) == 0), db.pool_stats()
        assert await users.count() == 0
    assert len(await users.create_many(records())) == MANY


def _in_use(db: Database) -> int:
    def found(figures: dict[str, Any]) -> int:
        inner = sum(found(value) for value in figures.values() if isinstance(value, dict))
        return inner + int(figures.get("in_use", 0))

    return found(db.pool_stats())


@pytest.mark.every_backend
async def test_the_loop_goes_on_meanwhile(db: Database) -> None:
    users = db.repository(User)
    shares = []
    for turn in range(3):
        given = [{**one, "id": one["id"] + turn * 20_000, "email": f"{turn} {one['email']}"} for one in records(20_000)]
        async with pauses() as found:
            began = time.perf_counter()
            await users.create_many(given)
            took = time.perf_counter() - began
            # The last pause has its end in the next turn.
            await asyncio.sleep(0)
        shares.append(max(found) / took)
    # Slices of half a millisecond; the collector and other processes of the machine take their time as well.
    assert min(shares) < 0.25, f"the loop stood still for these shares of the time: {shares}"


@pytest.mark.every_backend
async def test_a_call_beside_it_needs_no_second_connection_before_there_are_rows(url: str) -> None:
    # A generator may wait for what other tasks do; nothing is held before the first rows are there.
    async with opened(url, [User], max_size=1) as database:
        users = database.repository(User)
        creating = asyncio.ensure_future(users.create_many(records(300)))
        await asyncio.sleep(0)
        assert await users.count() in (0, 300)
        assert len(await creating) == 300


@pytest.mark.every_backend
async def test_an_error_of_the_database_ends_the_taking(db: Database) -> None:
    users = db.repository(User)
    taken = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal taken
        while True:
            taken += 1
            yield {"id": 1, "email": "same"}

    assert isinstance(await failure(users.create_many(endless())), UniqueViolationError)
    assert taken < 1_000_000
    assert await users.count() == 0


FLAT = """
import asyncio, json, sys
from farm_db import Database, Document, Field

class Wide(Document, table="wide"):
    id: int = Field(primary_key=True)
    text: str

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))

async def main(url, count):
    async with Database(url, models=[Wide]) as db:
        wide = db.repository(Wide)
        await wide.create_many({"id": -n, "text": "x" * 1000} for n in range(1, 2000))
        before = memory("VmRSS")
        made = await wide.create_many({"id": n, "text": f"{n:01000}"} for n in range(count))
        peak, after = memory("VmHWM"), memory("VmRSS")
        assert len(made) == count
        print(json.dumps({"before": before, "peak": peak, "after": after}))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.every_backend
@pytest.mark.only("sqlite", "postgres")
def test_a_generator_of_100_000_rows_needs_no_memory_beside_the_rows_returned(url: str) -> None:
    done = run_python(FLAT, url, "100000", timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    rows = figures["after"] - figures["before"]
    # A kilobyte each and the instance around it.
    assert 100 < rows < 300, figures
    assert figures["peak"] - figures["after"] < 24, figures


@pytest.mark.every_backend
@pytest.mark.only("mongodb")
@pytest.mark.parametrize("in_transaction", [False, True])
async def test_more_bytes_than_one_command_takes(db: Database, in_transaction: bool) -> None:
    pages = db.repository(Page)
    text = "x" * 500_000

    async def create(rows: list[dict[str, Any]]) -> list[Page]:
        if not in_transaction:
            return await pages.create_many(rows)
        async with db.transaction() as tx:
            return await pages.create_many(rows, tx=tx)

    with pytest.raises(UniqueViolationError) as taken:
        await create([{"id": 0 if n == 10 else n, "text": text} for n in range(12)])
    assert taken.value.context["row"] == 10
    assert await pages.count() == 0
    made = await create([{"id": n, "text": f"{n}{text}"} for n in range(12)])
    assert made == await pages.find(sort="id")


@pytest.mark.every_backend
@pytest.mark.only("mongodb")
@pytest.mark.alone
async def test_a_document_that_is_too_large_is_told(db: Database) -> None:
    pages = db.repository(Page)
    largest = (16 << 20) - 29
    with pytest.raises(InvalidValueError, match="16 MiB"):
        await pages.create({"id": 0, "text": "x" * (largest + 1)})
    with pytest.raises(InvalidValueError, match="16 MiB") as caught:
        await pages.create_many([{"id": n, "text": "x" * (largest + 1 if n == 2 else 9)} for n in range(4)])
    assert caught.value.context["row"] == 2
    assert await pages.count() == 0
    await pages.create_many([{"id": n, "text": "x" * (largest if n == 2 else 9)} for n in range(4)])
    assert len((await pages.get(2)).text) == largest
