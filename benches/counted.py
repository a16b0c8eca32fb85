"""The process whose instructions `instructions.py` counts: asked over its standard input, a line a step."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import sys

import farm_db

from . import data
from .adapters.farm import Resource, User
from .instructions import CALLS

ROWS = 200


def wait_for_line() -> None:
    """Waits without a call that blocks for long: Valgrind hears a command only while instructions run."""
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        pass
    sys.stdin.readline()


async def main(url: str) -> None:
    db = await farm_db.connect(url, models=[Resource, User])
    resources = db.repository(Resource)
    rows = [data.resource(n) for n in range(ROWS)]
    await resources.create_many(rows)
    new = iter([data.resource(n) for n in range(ROWS, ROWS + 2 * CALLS["insert"])])

    async def get() -> None:
        for n in range(CALLS["get"]):
            await resources.get(rows[n % ROWS]["id"])

    async def find_50() -> None:
        for _ in range(CALLS["find_50"]):
            await resources.find(Resource.rating >= 0, sort="-created_at", limit=50)

    async def insert() -> None:
        for _ in range(CALLS["insert"]):
            await resources.create(next(new))

    gc.collect()
    gc.disable()
    for name, work in {"get": get, "find_50": find_50, "insert": insert}.items():
        await work()
        for step in (name, "done"):
            print(step, flush=True)
            wait_for_line()
            if step == name:
                await work()
    if db.backend == "postgres":
        [schema] = await db.execute("SELECT quote_ident(current_schema()) AS name")
        await db.execute(f"DROP SCHEMA {schema['name']} CASCADE")
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(os.environ["FARM_COUNTED_URL"]))
