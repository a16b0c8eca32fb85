"""Interpreters that exit with a hundred operations in flight, in every way in which a program can end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import farm_db
from farm_db import Database, Document, Field
from sessions import NOTHING, named, settled, watching

#: Seconds from the moment when a program is done to the end of its process.
DEADLINE = 3.0
BATCH = 5
CLIENT = "exiting"

SCRIPT = """
import asyncio, sys, time
from exits import BATCH, Counter, Database
database = Database(sys.argv[1], models=[Counter])
counters = database.repository(Counter)

async def main(way):
    await database.connect()
    work = [asyncio.ensure_future(counters.create_many([{} for _ in range(BATCH)])) for _ in range(50)]
    work += [asyncio.ensure_future(counters.find().to_list()) for _ in range(50)]
    stream = counters.find().stream()
    tx = await database._open().begin(None, False) if way == "transaction" else None
    await asyncio.sleep(0.002 * (int(sys.argv[2]) % 4))
    # Of every four programs one ends when something has been written, however slow the machine is.
    while int(sys.argv[2]) % 4 == 3 and not any(one.done() and not one.exception() for one in work[:50]):
        await asyncio.sleep(0.001)
    print(time.monotonic(), flush=True)
    if way == "exit":
        sys.exit(0)
    if way == "kept":
        import builtins
        builtins.kept = (work, stream, tx, database)

way = ("return", "exit", "kept", "loop", "transaction")[int(sys.argv[2]) % 5]
if way == "loop":
    loop = asyncio.new_event_loop()
    task = loop.create_task(main(way))
    loop.run_until_complete(asyncio.sleep(0.02))
    print(time.monotonic(), flush=True)
else:
    asyncio.run(main(way))
"""


class Counter(Document, table="counters"):
    id: int | None = Field(default=None, primary_key=True, generated="auto_increment")
    value: int = 0


class Exit(NamedTuple):
    """How one ended."""

    number: int
    code: int
    seconds: float
    errors: str


def _environment() -> dict[str, str]:
    paths = [
        str(Path(farm_db.__file__).resolve().parents[1]),
        str(Path(__file__).parent),
        os.environ.get("PYTHONPATH", ""),
    ]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _run(number: int, *arguments: str) -> Exit:
    # Warnings are no errors: tasks that die with their loop are what is tested.
    command = [sys.executable, "-c", SCRIPT, *arguments, str(number)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=_environment(), check=False)
    except subprocess.TimeoutExpired:
        return Exit(number, -999, 60.0, "it hung")
    ended = time.monotonic()
    if done.returncode != 0 or not done.stdout:
        return Exit(number, done.returncode or -998, 0.0, done.stderr)
    return Exit(number, 0, ended - float(done.stdout.split()[0]), done.stderr)


async def exits(url: str, count: int) -> str:
    """Runs so many interpreters to their end, two at once, and asserts that each ends well and leaves nothing open.

    Returns:
        What was measured.
    """
    client = named(url, CLIENT)
    async with Database(url, models=[Counter]):
        pass
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda number: _run(number, client), range(count)))
    bad = [one for one in ended if one.code != 0 or "panicked" in one.errors or "Fatal" in one.errors]
    assert bad == [], bad
    slow = [one for one in ended if one.seconds > DEADLINE]
    assert slow == [], slow
    async with watching(url, CLIENT) as watch:
        left = await settled(watch)
        assert left == NOTHING, left
    async with Database(url, models=[Counter]) as database:
        written = await database.repository(Counter).count()
        assert written % BATCH == 0, "half a batch was written"
        assert written > 0, "nothing was under way"
    if url.startswith("sqlite"):
        await _is_whole(url)
    slowest = max(one.seconds for one in ended)
    return f"{count} exits, the slowest after {slowest:.2f} s; left: {left}"


async def _is_whole(url: str) -> None:
    async with Database(url, models=[], contract="off") as database:
        assert [list(row.values()) for row in await database.execute("PRAGMA integrity_check")] == [["ok"]]
