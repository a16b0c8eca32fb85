"""Finds of many rows, whose first objects are built while the last rows are still on their way."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest

from farm_db import BackendError, Database, Document, FarmDbError, Field, Repository
from support import eventually, opened, pauses

pytestmark = [pytest.mark.alone, pytest.mark.every_backend]

ROWS = 20_000
POOL = 2


class Reading(Document, table="readings"):
    id: int = Field(primary_key=True)
    name: str
    tags: list[str]
    facts: dict[str, Any]


class Seen(Document, table="readings"):
    """The same rows by a model whose instances see to themselves when they are made."""

    id: int = Field(primary_key=True)
    name: str
    tags: list[str]
    facts: dict[str, Any]

    def model_post_init(self, _context: object) -> None:
        SEEN.append(gc.isenabled())


SEEN: list[bool] = []


def reading(number: int) -> dict[str, Any]:
    facts = {"owner": UUID(int=number), "half": number / 2, "inner": {"list": [number, None, True]}, "text": '"$\\é'}
    return {"id": number, "name": f"reading {number}", "tags": ["a", "b"][: number % 3], "facts": facts}


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Reading], max_size=POOL) as database:
        await database.repository(Reading).create_many([reading(number) for number in range(ROWS)])
        yield database


async def test_a_large_find_leaves_the_loop_its_turns_and_equals_a_stream(db: Database) -> None:
    readings = db.repository(Reading)
    shares = []
    for _ in range(3):
        async with pauses() as spans:
            began = time.perf_counter()
            found = await readings.find(sort="id")
            took = time.perf_counter() - began
        assert len(spans) > 20, "it was built in one turn"
        # One slice takes less than a millisecond; the machine may have others to care for.
        assert sorted(spans)[len(spans) // 2] < 0.05
        shares.append(max(spans) / took)
    # A pause of our own comes every time; one of the machine's, or of the garbage collector's, does not.
    assert min(shares) < 0.5
    assert [row.id for row in found] == list(range(ROWS))
    assert found == [row async for row in readings.find(sort="id").stream(batch=100)]
    assert [row.model_dump() for row in found[::997]] == [reading(number) for number in range(ROWS)[::997]]
    assert await readings.find(sort="id").dicts() == [row.model_dump() for row in found]


async def test_no_row_is_lost_where_one_part_ends_and_the_next_begins(db: Database) -> None:
    readings = db.repository(Reading)
    for count in (0, 1, 499, 500, 501, 999, 1000, 1001, 1500, 2001):
        for rows in (await readings.find(sort="id", limit=count), await readings.find(Reading.id < count, sort="id")):
            assert [row.id for row in rows] == list(range(count))


async def test_reads_side_by_side_and_in_a_transaction_do_not_mix(db: Database) -> None:
    readings = db.repository(Reading)

    async def part(start: int) -> None:
        rows = await readings.find(Reading.id >= start, sort="id", limit=3000)
        assert [row.id for row in rows] == list(range(start, start + 3000))

    await asyncio.gather(*(part(start) for start in range(0, 16_000, 1000)))
    async with db.transaction() as tx:
        await readings.create(reading(ROWS), tx=tx)
        assert len(await readings.find(tx=tx)) == ROWS + 1
        await tx.rollback()
    assert len(await readings.find()) == ROWS


async def test_a_large_find_that_is_cancelled_leaves_the_pool_whole(db: Database) -> None:
    readings, chance = db.repository(Reading), random.Random(7)
    began = time.perf_counter()
    await readings.find(sort="id")
    whole = time.perf_counter() - began
    cancelled = 0
    for _ in range(20):
        task = asyncio.ensure_future(readings.find(sort="id").to_list())
        await asyncio.sleep(chance.uniform(0, whole))
        task.cancel()
        try:
            rows = await task
        except asyncio.CancelledError:
            cancelled += 1
        else:
            assert len(rows) == ROWS
    assert cancelled
    assert await eventually(lambda: db.pool_stats()["in_use"] == 0), db.pool_stats()
    assert [len(rows) for rows in await asyncio.gather(*(readings.find() for _ in range(2 * POOL)))] == [ROWS] * 4


async def spoil(db: Database, number: int) -> None:
    """Puts something into a row that its model cannot hold."""
    if db.backend == "mongodb":
        change = {"q": {"_id": number}, "u": {"$set": {"tags": "no list"}}}
        await db.execute({"update": "readings", "updates": [change], "bypassDocumentValidation": True})
    else:
        facts = '{"$date": "no moment"}'
        await db.execute(f"UPDATE readings SET facts = '{facts}' WHERE id = {number}")


async def test_a_row_that_cannot_be_read_gives_an_error_and_no_short_list(db: Database) -> None:
    readings = db.repository(Reading)
    for number in (ROWS - 1, 15_000, 700, 0):
        await spoil(db, number)
        for _ in range(3):
            with pytest.raises(BackendError):
                await readings.find(sort="id")
        assert await eventually(lambda: db.pool_stats()["in_use"] == 0), db.pool_stats()
        assert len(await readings.find(Reading.id > number, sort="id", limit=699)) == min(699, ROWS - 1 - number)


async def test_the_collector_is_as_it_was_and_on_where_code_of_users_runs(db: Database, url: str) -> None:
    async def counted(readings: Repository[Any]) -> list[bool]:
        SEEN.clear()
        assert len(await readings.find(limit=3000)) == 3000
        return SEEN

    async with opened(url, [Seen], contract="off") as beside:
        seen = beside.repository(Seen)
        assert gc.isenabled()
        assert await counted(seen) == [True] * 3000
        assert gc.isenabled()
        gc.disable()
        try:
            assert await counted(seen) == [False] * 3000
            assert not gc.isenabled()
            await db.repository(Reading).find()
            assert not gc.isenabled()
        finally:
            gc.enable()
    await spoil(db, 2000)
    with pytest.raises(FarmDbError):
        await db.repository(Reading).find()
    assert gc.isenabled()
