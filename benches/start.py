"""What it costs to start: imports and the first query on SQLite, each in new interpreters. Needs nothing but Python."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

#: What an app has anyway: Pydantic with a model, and asyncio.
APP = "import asyncio, pydantic\nclass Any(pydantic.BaseModel):\n    x: int\n"
MODEL = """
class Note(farm_db.Document, table="notes"):
    id: int = farm_db.Field(primary_key=True)
    text: str = ""

async def main():
    async with farm_db.Database(sys.argv[1], models=[Note]) as db:
        await db.repository(Note).find({"id": 1})
        stop()

asyncio.run(main())
"""
#: What happens before the clock runs, and while it does; `stop()` may come early.
PROGRAMS = {
    "pydantic": ("", "import pydantic\nclass Any(pydantic.BaseModel):\n    x: int\n"),
    "import": ("", "import farm_db\n"),
    "import_in_app": (APP, "import farm_db\n"),
    "first_query": (APP + "import farm_db\n", MODEL),
}
TITLES = {
    "pydantic": "`import pydantic` and one model",
    "import": "`import farm_db`, Pydantic's import included",
    "import_in_app": "`import farm_db` where Pydantic has a model and asyncio is imported",
    "first_query": "a model, connect to a SQLite file and the first query",
}
#: Milliseconds of the processor that importing may take in an app, and of the clock until the first answer.
BOUNDS = {"import_in_app": ("cpu_ms", 60.0), "first_query": ("wall_ms", 20.0)}
CLOCK = """
import json, sys, time
def now():
    return time.perf_counter(), time.process_time()
def stop():
    if began:
        wall, cpu = (1000 * (after - before) for after, before in zip(now(), began))
        print(json.dumps({"wall_ms": wall, "cpu_ms": cpu}))
        began.clear()
"""


def measure(python: str | Path, rounds: int) -> dict[str, dict[str, float]]:
    """The least milliseconds of each program on the clock and of the processor; a busy machine only adds to them."""
    best: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="farm-db-start-") as folder:
        # The first round makes the file and warms the caches.
        for count in range(rounds + 1):
            for name in PROGRAMS:
                found = once(python, name, Path(folder))
                if count:
                    known = best.setdefault(name, found)
                    best[name] = {key: min(value, known[key]) for key, value in found.items()}
    return best


def once(python: str | Path, name: str, folder: Path) -> dict[str, float]:
    before, timed = PROGRAMS[name]
    program = f"{before}{CLOCK}began = list(now())\n{timed}\nstop()\n"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FARM_DB"))}
    done = subprocess.run(
        [python, "-c", program, f"sqlite:///{folder}/start.db"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
