"""What many calls leave behind, in an interpreter of their own: `python leaks.py URL CALLS` makes gets, creates, finds,
updates, transactions, errors, streams and gets that are cancelled, mixed at random, and prints what it measured.

The first thousands of calls are the warm-up: every connection and every thread is there, every cache full. From then on
the resident memory is read a hundred times, after the garbage is collected, and the line of least squares is laid over
these readings; its rise from the first to the last is the growth.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import subprocess
import sys
from contextlib import aclosing, suppress
from pathlib import Path
from statistics import linear_regression
from typing import Any

from farm_db import (
    Database,
    Document,
    Field,
    NotFoundError,
    Transaction,
    TransactionConflictError,
    UniqueViolationError,
    UnknownFieldError,
)
from sessions import named, settled, watching

CLIENT = "leaking"
#: Bytes: what the allocator may do, and what it may be for each call. An object of Python takes 50 and more.
ALLOWANCE, PER_CALL = 5 << 19, 4
ROWS = 200
WORKERS = 16
CONNECTIONS = 8
WARM_UP = 5_000
READINGS = 100


class Thing(Document, table="things"):
    id: int = Field(primary_key=True)
    code: str = Field(unique=True, max_length=40)
    size: int = 0
    words: list[str] = []


class Calls:
    """The calls, counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.things = database.repository(Thing)
        self.made = 0
        self.kinds: dict[str, int] = {}
        self.random = random.Random(7)
        self.next = 1_000_000
        self.verbs: dict[str, tuple[int, Any]] = {
            "get": (40, self.get),
            "cancelled get": (15, self.cancelled),
            "find": (10, self.find),
            "create": (8, self.create),
            "update": (5, self.update),
            "missing": (5, self.missing),
            "duplicate": (3, self.duplicate),
            "many": (2, self.many),
            "duplicate among many": (2, self.duplicate_among_many),
            "unknown field": (2, self.unknown),
            "commit": (4, self.commit),
            "rollback": (4, self.rollback),
            "stream": (2, self.stream),
            "cancelled transaction": (2, self.cancelled_transaction),
        }

    def id(self) -> int:
        return self.random.randrange(ROWS)

    def new_id(self) -> int:
        self.next += 1
        return self.next

    def new(self) -> dict[str, Any]:
        id = self.new_id()
        return {"id": id, "code": f"new {id}"}

    async def run(self, until: int) -> None:
        await asyncio.gather(*(self._work(until) for _ in range(WORKERS)))

    async def _work(self, until: int) -> None:
        names = list(self.verbs)
        weights = [weight for weight, _ in self.verbs.values()]
        while self.made < until:
            [name] = self.random.choices(names, weights)
            self.made += 1
            self.kinds[name] = self.kinds.get(name, 0) + 1
            await self.verbs[name][1]()

    async def get(self) -> None:
        id = self.id()
        assert (await self.things.get(id)).id == id

    async def find(self) -> None:
        low = self.id()
        rows = await self.things.find({"id": {"$gte": low, "$lt": ROWS}}, sort="-id", limit=20)
        assert len(rows) == min(20, ROWS - low)

    async def create(self, tx: Transaction | None = None) -> None:
        new = self.new()
        await self.things.create({**new, "words": ["a", "b"]}, tx=tx)
        self.made += 1
        await self.things.delete(new["id"], tx=tx)

    async def update(self) -> None:
        await self.things.update(self.id(), {"$inc": {"size": 1}})

    async def missing(self) -> None:
        with suppress(NotFoundError):
            await self.things.get(-1)
            raise AssertionError

    async def duplicate(self) -> None:
        with suppress(UniqueViolationError):
            await self.things.create({"id": self.new_id(), "code": "0"})
            raise AssertionError

    async def many(self) -> None:
        records = [self.new() for _ in range(3)]
        await self.things.create_many(records)
        await self.things.delete_many({"id": {"$in": [record["id"] for record in records]}})

    async def duplicate_among_many(self) -> None:
        # Two at once that try the same key may also conflict, on MongoDB.
        with suppress(UniqueViolationError, TransactionConflictError):
            await self.things.create_many([self.new(), {"id": self.new_id(), "code": "0"}])
            raise AssertionError

    async def unknown(self) -> None:
        with suppress(UnknownFieldError):
            await self.things.find({"nothing": 1})
            raise AssertionError

    async def commit(self) -> None:
        async with self.database.transaction() as tx:
            await self.create(tx)

    async def rollback(self) -> None:
        with suppress(ZeroDivisionError):
            async with self.database.transaction() as tx:
                await self.create(tx)
                raise ZeroDivisionError

    async def stream(self) -> None:
        async with aclosing(self.things.find().stream(batch=10)) as stream:
            async for _row in stream:
                break

    async def cancelled(self) -> None:
        await self._cancel(self.get())

    async def cancelled_transaction(self) -> None:
        await self._cancel(self.commit())

    async def _cancel(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        await asyncio.sleep(self.random.choice([0, 0, 0.0005, 0.002]))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def resident() -> int:
    """Bytes of this process that are in memory, after the garbage is collected."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def opened() -> dict[str, int]:
    return {"descriptors": len(os.listdir("/proc/self/fd")), "threads": len(os.listdir("/proc/self/task"))}


def growth(readings: list[tuple[int, int]]) -> float:
    """How far the line through the readings rises, in bytes."""
    slope, _ = linear_regression([calls for calls, _ in readings], [size for _, size in readings])
    return slope * (readings[-1][0] - readings[0][0])


async def measure(url: str, count: int) -> dict[str, Any]:
    async with watching(url, CLIENT) as watch:
        async with Database(named(url, CLIENT), models=[Thing], min_size=CONNECTIONS, max_size=CONNECTIONS) as database:
            await database.repository(Thing).create_many([{"id": n, "code": f"{n}"} for n in range(ROWS)])
            calls = Calls(database)
            await calls.run(WARM_UP)
            early, objects = opened(), len(gc.get_objects())
            readings = [(calls.made, resident())]
            for turn in range(1, READINGS + 1):
                await calls.run(WARM_UP + count * turn // READINGS)
                readings.append((calls.made, resident()))
            late, more = opened(), len(gc.get_objects()) - objects
            # What was cancelled last is ended behind its caller's back.
            busy = await settled(watch)
            stats = database.pool_stats()
            assert await database.repository(Thing).count() == ROWS
        return {
            "calls": calls.made,
            "kinds": calls.kinds,
            "growth": growth(readings),
            "first": readings[0][1],
            "last": readings[-1][1],
            "objects": more,
            "early": early,
            "late": late,
            "open": busy._asdict(),
            "in_use": _in_use(stats),
            "left": (await settled(watch))._asdict(),
        }


def _in_use(stats: Any) -> int:
    """The connections in use, of all the pools."""
    if not isinstance(stats, dict):
        return 0
    return int(stats.get("in_use", 0)) + sum(_in_use(inner) for inner in stats.values())


def assert_no_leak(found: dict[str, Any]) -> str:
    """Asserts on what was measured, by either language; returns it for people."""
    limit = ALLOWANCE + PER_CALL * found["calls"]
    first, last = found["first"] / 2**20, found["last"] / 2**20
    said = (
        f"{found['calls']} calls: {first:.1f} MiB after the warm-up, {last:.1f} MiB at the end; "
        f"the line rises by {found['growth'] / 2**10:.0f} KiB ({found['growth'] / found['calls']:.2f} bytes a call)"
    )
    assert found["growth"] < limit, said
    assert found["in_use"] == 0, found
    assert (found["open"]["transactions"], found["open"]["cursors"]) == (0, 0), found
    assert set(found["left"].values()) == {0}, found
    for kind, count in found["late"].items():
        assert count <= found["early"][kind] + 12, found
    return f"{said}; {found['late']}; left on the server: {found['left']}"


def leaks(url: str, count: int) -> str:
    """Measures in an interpreter of its own, and asserts that nothing is left behind."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, __file__, url, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["objects"] < 1000, found
    return assert_no_leak(found)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
