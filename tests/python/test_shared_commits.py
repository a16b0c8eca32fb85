"""Inserts of one row that wait for SQLite's writer share a commit: each its own success or failure."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from farm_db import Database, Document, FarmDbError, Field, ForeignKeyViolationError, UniqueViolationError
from support import eventually, opened

pytestmark = [pytest.mark.every_backend, pytest.mark.only("sqlite")]


class Note(Document, table="shared_notes"):
    id: int | None = Field(default=None, primary_key=True, generated="auto_increment")
    text: str = Field(unique=True)
    other: int | None = None


@pytest.fixture(params=["normal", "full"])
async def db(url: str, request: pytest.FixtureRequest) -> AsyncGenerator[Database]:
    async with opened(url, [Note], synchronous=request.param) as database:
        yield database


def commits(db: Database) -> int:
    """How often the write-ahead log says that a transaction ends; a frame of the file format, section 4.1."""
    log = Path(str(db.url).removeprefix("sqlite:///").partition("?")[0] + "-wal").read_bytes()
    (page,) = struct.unpack(">I", log[8:12])
    salt = log[16:24]
    frames = (log[at : at + 24] for at in range(32, len(log), 24 + page))
    return sum(frame[8:16] == salt and frame[4:8] != bytes(4) for frame in frames)


async def test_those_who_wait_share_commits(db: Database) -> None:
    before = commits(db)
    async with db.transaction():
        waiting = [asyncio.create_task(db.repository(Note).create({"text": f"n{n}"})) for n in range(100)]
        assert await eventually(lambda: db.pool_stats()["writer"]["waiting"] >= 100)
    stored = await asyncio.gather(*waiting)
    assert commits(db) - before < 50
    assert len({note.id for note in stored}) == 100
    found = {note.id: note.text for note in await db.repository(Note).find()}
    assert found == {note.id: note.text for note in stored}


async def test_one_after_the_other_has_a_commit_each(db: Database) -> None:
    before = commits(db)
    for n in range(10):
        await db.repository(Note).create({"text": f"n{n}"})
    assert commits(db) - before == 10


async def test_what_fails_fails_alone(db: Database) -> None:
    notes = db.repository(Note)
    await notes.create({"text": "taken"})
    texts = ["taken" if n % 7 == 3 else f"n{n // 2}" for n in range(120)]
    outcomes = await asyncio.gather(*(notes.create({"text": text}) for text in texts), return_exceptions=True)
    assert {type(one) for one in outcomes} == {Note, UniqueViolationError}
    stored = [one.text for one in outcomes if isinstance(one, Note)]
    assert sorted(stored) == sorted(set(texts) - {"taken"})
    assert {note.text for note in await notes.find()} == set(texts)
    refused = next(one for one in outcomes if isinstance(one, UniqueViolationError))
    assert refused.context["fields"] == ["text"]


async def test_what_fails_at_the_commit_fails_alone(url: str) -> None:
    async with opened(url, [], contract="off") as db:
        await db.execute("CREATE TABLE others (id INTEGER PRIMARY KEY) STRICT")
        await db.execute(
            "CREATE TABLE shared_notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, "
            "other INTEGER REFERENCES others DEFERRABLE INITIALLY DEFERRED) STRICT"
        )
    async with Database(url, models=[Note], contract="off") as db:
        notes = db.repository(Note)
        records = [{"text": f"n{n}", "other": 5 if n % 10 == 7 else None} for n in range(60)]
        outcomes = await asyncio.gather(*map(notes.create, records), return_exceptions=True)
        expected = [ForeignKeyViolationError if record["other"] else Note for record in records]
        assert [type(one) for one in outcomes] == expected
        assert {note.text for note in await notes.find()} == {f"n{n}" for n in range(60) if n % 10 != 7}


async def test_going_away_at_any_moment_loses_nothing(db: Database) -> None:
    notes = db.repository(Note)
    acknowledged: set[str] = set()
    for turn in range(30):
        tasks = {f"{turn} {n}": asyncio.ensure_future(notes.create({"text": f"{turn} {n}"})) for n in range(40)}
        await asyncio.sleep(turn / 10_000)
        for task in list(tasks.values())[:: 1 + turn % 3]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert all(isinstance(one, (Note, asyncio.CancelledError)) for one in outcomes)
        acknowledged |= {one.text for one in outcomes if isinstance(one, Note)}
        assert await eventually(lambda: db.pool_stats()["in_use"] == db.pool_stats()["waiting"] == 0, 5)
    assert acknowledged <= {note.text for note in await notes.find()}
    await notes.create({"text": "afterwards"})


async def test_they_wait_for_a_transaction_and_come_after_it(db: Database) -> None:
    notes = db.repository(Note)
    async with db.transaction() as tx:
        await notes.create({"text": "inside"}, tx=tx)
        tasks = [asyncio.ensure_future(notes.create({"text": f"n{n}"})) for n in range(20)]
        tasks.append(asyncio.ensure_future(notes.create({"text": "inside"})))
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
        assert db.pool_stats()["waiting"] == 21
    *stored, refused = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, Note) for one in stored)
    assert isinstance(refused, UniqueViolationError)


async def test_each_has_its_own_deadline_in_the_queue(url: str) -> None:
    async with opened(url, [Note], acquire_timeout=0.2) as db:
        notes = db.repository(Note)
        async with db.transaction() as tx:
            await notes.create({"text": "inside"}, tx=tx)
            outcomes = await asyncio.gather(
                *(notes.create({"text": f"n{n}"}) for n in range(10)), return_exceptions=True
            )
        assert {one.code for one in outcomes if isinstance(one, FarmDbError)} == {"pool_timeout"}
        assert len(outcomes) == 10
        assert [note.text for note in await notes.find()] == ["inside"]
