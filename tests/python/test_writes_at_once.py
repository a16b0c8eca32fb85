"""Short writes of SQLite that are made on the loop's thread: where nothing is waited for, and never in halves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from farm_db import Database, Document, Field, ForeignKeyViolationError, UniqueViolationError
from support import opened

pytestmark = [pytest.mark.every_backend, pytest.mark.only("sqlite")]


class Note(Document, table="prompt_notes"):
    id: int = Field(primary_key=True)
    text: str = Field(unique=True)
    count: int = 0


#: A trigger whose work takes some ten milliseconds, which is too much for a turn of a loop.
SLOW = """
CREATE TRIGGER slow AFTER UPDATE ON prompt_notes BEGIN
    INSERT INTO seen SELECT count(*) FROM (
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i FROM n
    );
END
"""


def size_of_log(db: Database) -> int:
    return Path(str(db.url).removeprefix("sqlite:///").partition("?")[0] + "-wal").stat().st_size


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Note], max_size=1) as database:
        yield database


@pytest.fixture
async def slow(url: str) -> AsyncGenerator[Database]:
    async with Database(url, models=[Note]) as database:
        await database.execute("CREATE TABLE seen (rows INTEGER)")
        await database.execute(SLOW)
        await database.repository(Note).create_many({"id": n, "text": f"n{n}"} for n in range(100))
        yield database


class Watched:
    """Awaits a coroutine and counts how often it waits. Turns of the loop would not tell it: the thread's result may
    come while the bridge looks for one in the turn that asked."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine
        self.waits = 0

    def __await__(self) -> Generator[Any, None, Any]:
        while True:
            try:
                waits_for = self.coroutine.send(None)
            except StopIteration as done:
                return done.value
            self.waits += 1
            yield waits_for


async def is_made_at_once(db: Database, call: Callable[[int], Coroutine[Any, Any, Any]], tries: int) -> bool:
    """Whether one of the calls waits for nothing. A busy machine needs more of them: what takes long is left to the
    thread for a while."""
    for n in range(tries):
        # A result of another thread, in whose turn of the loop this goes on.
        await db.repository(Note).count()
        watched = Watched(call(n))
        await watched
        if watched.waits == 0:
            return True
    return False


@pytest.mark.alone
@pytest.mark.parametrize("synchronous", ["off", "normal", "full"])
async def test_what_would_not_wait_is_made_at_once(url: str, synchronous: str) -> None:
    async with opened(url, [Note], synchronous=synchronous) as db:
        notes = db.repository(Note)
        await notes.create_many({"id": n, "text": f"n{n}"} for n in range(5000))
        calls: list[Callable[[int], Coroutine[Any, Any, Any]]] = [
            lambda n: notes.create({"id": 5000 + n, "text": f"n{5000 + n}"}),
            lambda n: notes.update(n, {"text": f"m{n}"}),
            lambda n: notes.replace(n, {"id": n, "text": f"l{n}"}),
            lambda n: notes.delete(n),
        ]
        # With `full` each commit waits for the disk.
        for call in calls:
            assert await is_made_at_once(db, call, 50 if synchronous == "full" else 5000) == (synchronous != "full")


@pytest.mark.alone
async def test_those_of_a_transaction_are_made_at_once(db: Database) -> None:
    notes = db.repository(Note)
    await notes.create({"id": 0, "text": "n"})

    async def change(n: int) -> None:
        async with db.transaction() as tx:
            assert (await notes.get(0, tx=tx)).id == 0
            await notes.update(0, {"text": f"n{n}"}, tx=tx)

    assert await is_made_at_once(db, change, 5000)


async def test_a_transaction_of_many_statements_is_whole(db: Database) -> None:
    notes = db.repository(Note)
    async with db.transaction() as tx:
        for n in range(100):
            await notes.create({"id": n, "text": f"n{n}"}, tx=tx)
    assert await notes.count() == 100

    async def fail() -> None:
        async with db.transaction() as tx:
            for n in range(30):
                await notes.update(n, {"text": f"m{n}"}, tx=tx)
            await notes.create({"id": 500, "text": "m0"}, tx=tx)

    with pytest.raises(UniqueViolationError):
        await fail()
    assert {note.text for note in await notes.find()} == {f"n{n}" for n in range(100)}


async def test_each_takes_effect_once(db: Database) -> None:
    notes = db.repository(Note)
    await notes.create({"id": 0, "text": "n", "count": 0})

    async def count() -> None:
        for _ in range(500):
            await notes.update(0, {"$inc": {"count": 1}})

    await count()
    await asyncio.gather(*(count() for _ in range(8)))
    assert (await notes.get(0)).count == 4500


async def test_a_lock_of_another_connection_is_waited_for_beside_the_loop(db: Database, url: str) -> None:
    notes = db.repository(Note)
    for n in range(50):
        await notes.create({"id": n, "text": f"n{n}"})

    async def transaction() -> None:
        async with db.transaction() as tx:
            await notes.update(1, {"text": "in a transaction"}, tx=tx)

    async with Database(url, models=[Note]) as other, other.transaction():
        waiting = [asyncio.ensure_future(notes.update(0, {"text": "alone"})), asyncio.ensure_future(transaction())]
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert not any(one.done() for one in waiting)
    await asyncio.gather(*waiting)
    assert [(await notes.get(n)).text for n in range(2)] == ["alone", "in a transaction"]


async def test_the_log_is_copied_into_the_file_when_it_is_full(db: Database) -> None:
    notes = db.repository(Note)
    await notes.create({"id": 0, "text": "n"})
    sizes = []
    for n in range(5000):
        await notes.update(0, {"text": f"{n}" * 200})
        sizes.append(size_of_log(db))
    # A thousand pages of four kibibytes, and what one more write adds.
    assert max(sizes) < 5 * 1024 * 1024


async def test_what_takes_too_long_is_undone_and_made_once_by_the_thread(slow: Database) -> None:
    notes = slow.repository(Note)
    for n in range(30):
        assert (await notes.update(n, {"text": f"m{n}"})).text == f"m{n}"
    assert await slow.execute("SELECT rows FROM seen") == [{"rows": 200_000}] * 30


async def test_what_takes_long_in_a_transaction_is_made_once(slow: Database) -> None:
    notes = slow.repository(Note)
    for n in range(10):
        async with slow.transaction() as tx:
            await notes.update(n, {"text": f"m{n}"}, tx=tx)
            await notes.update(n, {"text": f"l{n}"}, tx=tx)
    assert await slow.execute("SELECT count(*) AS count FROM seen") == [{"count": 20}]
    assert {(await notes.get(n)).text for n in range(10)} == {f"l{n}" for n in range(10)}


async def test_a_fault_that_shows_at_the_commit_undoes_the_transaction(url: str) -> None:
    async with opened(url, [], contract="off") as db:
        await db.execute("CREATE TABLE others (id INTEGER PRIMARY KEY) STRICT")
        await db.execute(
            "CREATE TABLE prompt_notes (id INTEGER PRIMARY KEY REFERENCES others DEFERRABLE INITIALLY DEFERRED, "
            "text TEXT NOT NULL UNIQUE, count INTEGER NOT NULL) STRICT"
        )
    async with Database(url, models=[Note], contract="off") as db:
        notes = db.repository(Note)
        for n in range(30):
            with pytest.raises(ForeignKeyViolationError):
                async with db.transaction() as tx:
                    await notes.create({"id": n, "text": "nobody's"}, tx=tx)
            with pytest.raises(ForeignKeyViolationError):
                await notes.create({"id": n, "text": "nobody's"})
        assert await notes.count() == 0
        await db.execute("INSERT INTO others VALUES (1)")
        await notes.create({"id": 1, "text": "somebody's"})
        assert await notes.count() == 1
