"""One contender in a process of its own: reads a JSON command a line, answers with one.

    python -m benches.worker MODULE NAME BACKEND

`node/worker.mjs` speaks the same protocol, so that the runner treats both alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import sys
import traceback
from typing import Any, TextIO

import uvloop

from .adapters import load
from .contract import Adapter, Target
from .data import NotEqual, at, canonical, resource, resource_id, user
from .timing import Span, closed_loop, memory, reset_peak

#: So many keys or changes are prepared before a window and used in turn.
PREPARED = 4096


class Worker:
    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.opened = False

    async def op_open(self, target: dict[str, Any], pool: int) -> dict[str, Any]:
        await self.op_close()
        await self.adapter.open(Target.of(target), pool)
        self.opened = True
        return {}

    async def op_close(self) -> dict[str, Any]:
        if self.opened:
            self.opened = False
            await self.adapter.close()
        return {}

    # Equality.

    async def op_check_reads(self, ids: list[int]) -> dict[str, Any]:
        adapter = self.adapter
        one = await adapter.get(resource_id(0))

        def rows(found: list[Any]) -> list[dict[str, Any]]:
            return [canonical(adapter.plain(row)) for row in found]

        parts = {
            "get": rows([await adapter.get(resource_id(n)) for n in ids]),
            "filtered": rows(await adapter.find(50, True, 4.0)),
            "page": rows(await adapter.find(1000)),
            "json": [canonical(row, typed=False) for row in json.loads(await adapter.json(1000))],
        }
        return {"parts": parts, "kind": type(one).__name__}

    async def op_check_writes(self, base: int) -> dict[str, Any]:
        """Known writes on a database that was just reset; the runner reads them back itself."""
        adapter = self.adapter
        await adapter.insert(resource(base))
        await adapter.create_many([resource(n) for n in range(base + 1, base + 501)])
        await adapter.update(resource_id(1), {"name": "changed", "rating": 1.125, "updated_at": at(5)})
        changes = {"name": "in a transaction", "rating": 2.375, "updated_at": at(6)}
        read = await adapter.transaction(resource_id(2), changes)
        if canonical(adapter.plain(read)) != canonical(resource(2)):
            raise NotEqual("the row that the transaction read")
        duplicate = ""
        try:
            await adapter.insert_user({**user(1), "id": 10_000_000})
        except Exception as error:  # every library has a kind of its own
            duplicate = type(error).__name__
        return {"duplicate": duplicate}

    # Workloads.

    async def op_get(self, rows: int, concurrency: int, seconds: float, seed: int) -> dict[str, Any]:
        chance = random.Random(seed)
        keys = [resource_id(chance.randrange(rows)) for _ in range(PREPARED)]
        get = self.adapter.get
        return await closed_loop(lambda i: get(keys[i % PREPARED]), concurrency, seconds)

    async def op_find(self, limit: int, filtered: bool, seconds: float) -> dict[str, Any]:
        arguments = (limit, True, 4.0) if filtered else (limit,)
        find = self.adapter.find
        return await closed_loop(lambda i: find(*arguments), 1, seconds)

    async def op_json(self, limit: int, seconds: float) -> dict[str, Any]:
        return await closed_loop(lambda i: self.adapter.json(limit), 1, seconds)

    async def op_insert(self, base: int, concurrency: int, seconds: float) -> dict[str, Any]:
        # More than any contender has written in this time; beyond them the window ends early with an error.
        rows = [resource(n) for n in range(base, base + int(100_000 * seconds) + 500)]
        insert = self.adapter.insert
        return await closed_loop(lambda i: insert(rows[i]), concurrency, seconds)

    async def op_update(self, base: int, concurrency: int, seconds: float, seed: int) -> dict[str, Any]:
        chance = random.Random(seed)
        keys = [resource_id(chance.randrange(base)) for _ in range(PREPARED)]
        changes = [{"name": f"u{i}", "rating": (i * 2 + 1) / 4096, "updated_at": at(i)} for i in range(PREPARED)]
        update = self.adapter.update
        return await closed_loop(lambda i: update(keys[i % PREPARED], changes[i % PREPARED]), concurrency, seconds)

    async def op_transaction(self, base: int, concurrency: int, seconds: float, seed: int) -> dict[str, Any]:
        # Every key once before any comes again, so that no two transactions want the same row at once.
        keys = [resource_id(n) for n in range(base)]
        random.Random(seed).shuffle(keys)
        changes = [{"name": f"t{i}", "rating": (i * 2 + 1) / 4096, "updated_at": at(i)} for i in range(PREPARED)]
        transaction = self.adapter.transaction
        return await closed_loop(lambda i: transaction(keys[i % base], changes[i % PREPARED]), concurrency, seconds)

    async def op_create_many(self, base: int, count: int) -> dict[str, Any]:
        rows = [resource(n) for n in range(base, base + count)]
        with Span() as span:
            # Whoever returns the rows is timed until they are there, not until the caller lets them go.
            made = await self.adapter.create_many(rows)
        del made
        return span.of(count)

    async def op_stream(self) -> dict[str, Any]:
        gc.collect()
        reset_peak()
        before = memory("VmRSS")
        count = total = 0
        with Span() as span:
            async for one in self.adapter.stream_users():
                count += 1
                total += one.id
        peak = memory("VmHWM")
        return {**span.of(count), "sum": total, "rss_peak_mib": peak, "rss_growth_mib": peak - before}


async def serve(worker: Any, out: TextIO) -> None:
    """Performs the commands on standard input by the methods `op_*` of `worker`."""
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        op = command.pop("op")
        if op == "quit":
            break
        try:
            answer = {"ok": True, **await getattr(worker, f"op_{op}")(**command)}
        except Exception as error:  # the runner reports it and goes on with the others
            text = f"{type(error).__name__}: {error}"[:600]
            code = getattr(error, "code", None)
            answer = {"ok": False, "error": text, "code": code if isinstance(code, str) else "", "trace": trace()}
        out.write(json.dumps(answer) + "\n")
        out.flush()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(worker.op_close(), 5)


def trace() -> str:
    return traceback.format_exc()[-3000:]


def protocol() -> TextIO:
    """Where answers go. Libraries may print: the pipe is kept to ourselves."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Worker(load(*sys.argv[1:4])), protocol()))


if __name__ == "__main__":
    main()
