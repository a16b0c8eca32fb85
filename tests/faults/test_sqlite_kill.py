"""SQLite: eight processes that write one file at once, one of which is killed in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import farm_db
from faults.support import FULL, Row, opened

pytestmark = [pytest.mark.alone, pytest.mark.slow]

#: Writes until it is told to stop and prints each key once it is acknowledged; what fails is printed too.
WRITER = """
import asyncio, sys
from faults.support import Row, opened
from farm_db import FarmDbError

async def main(url, number):
    async with opened(url, busy_timeout=10) as database:
        rows, serial = database.repository(Row), 0
        print("ready", flush=True)
        stop = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        while not stop.done():
            serial += 1
            key = f"{number}-{serial}"
            try:
                if serial % 3:
                    await rows.create({"id": key})
                else:
                    async with database.transaction() as tx:
                        await rows.create({"id": key}, tx=tx)
                        await rows.create({"id": key + "-twin"}, tx=tx)
                        await rows.update("sum", {"$inc": {"value": 1}}, tx=tx)
                print(key, flush=True)
            except FarmDbError as error:
                print(f"error {error.code} {error}", flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def _writer(url: str, number: int) -> subprocess.Popen[str]:
    paths = [str(Path(farm_db.__file__).parents[1]), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", WRITER, url, str(number)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def test_a_killed_writer_loses_nothing_and_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    url = f"sqlite:///{path}"

    async def start() -> None:
        async with opened(url) as database:
            await database.repository(Row).create({"id": "sum"})

    asyncio.run(start())
    acknowledged: set[str] = set()
    errors: list[str] = []
    serial = iter(range(10**6))
    for _ in range(5 if FULL else 1):
        writers = [_writer(url, next(serial)) for _ in range(8)]
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        time.sleep(0.5)
        writers[3].send_signal(signal.SIGKILL)
        time.sleep(0.5)
        for writer in writers:
            # The killed one's pipe still holds what it had said.
            said = writer.communicate(None if writer is writers[3] else "stop\n", timeout=30)[0].splitlines()
            assert len(said) > 3, "it did not write"
            # A line that the kill has cut short says nothing.
            complete = said[:-1] if writer is writers[3] else said
            acknowledged.update(line for line in complete if not line.startswith("error"))
            errors += [line for line in complete if line.startswith("error")]
        assert [writer.returncode for writer in writers] == [0, 0, 0, -9, 0, 0, 0, 0]
    assert not errors, errors[:5]
    with sqlite3.connect(path) as beside:
        found = {row[0] for row in beside.execute("SELECT id FROM rows")}
        (total,) = beside.execute("SELECT value FROM rows WHERE id = 'sum'").fetchone()
        (check,) = beside.execute("PRAGMA integrity_check").fetchone()
    beside.close()
    assert check == "ok"
    assert acknowledged <= found, f"{len(acknowledged - found)} acknowledged writes are lost"
    twins = [key for key in found if key.endswith("-twin")]
    assert all(key.removesuffix("-twin") in found for key in twins)
    assert total == len(twins), "half of a transaction was written"
    print(f"{len(acknowledged)} acknowledged of {len(found)}")
