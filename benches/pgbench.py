"""pgbench as a contender: what PostgreSQL itself gives one statement, asked by a program that does nothing else.

Speaks the protocol of `worker.py`. A client of pgbench is a connection: 64 at once are as many clients as the pool has.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from .contract import Target
from .data import RESOURCE_FIELDS
from .processes import ROOT, Failed
from .worker import protocol, serve

#: pgbench cannot make text of numbers, so that the server makes the key: `data.resource_id` as SQL.
STATEMENT = f"SELECT {', '.join(RESOURCE_FIELDS)} FROM resources WHERE id = md5('r' || {{}}::text)::uuid::text"


def program() -> tuple[Path, dict[str, str]]:
    """The program of this system or the one that the tests' downloads bring, and its environment."""
    for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True):
        return path, {}
    sys.path.append(str(ROOT / "scripts"))
    import downloads

    folder = downloads.program("pgbench")
    return next(folder.glob("usr/lib/postgresql/*/bin/pgbench")), downloads.libraries(folder)


class Pgbench:
    """The commands of a worker."""

    async def op_open(self, target: dict[str, Any], pool: int) -> dict[str, Any]:
        self.target, self.pool = Target.of(target), pool
        self.program, self.environment = program()
        return {}

    async def op_close(self) -> dict[str, Any]:
        return {}

    async def op_check_reads(self, ids: list[int]) -> dict[str, Any]:
        """The rows of the statement by a driver, and that pgbench finds one row each time."""
        with psycopg.connect(self.target.url, row_factory=dict_row) as connection:
            rows = [connection.execute(STATEMENT.format("%s"), (n,)).fetchone() for n in ids]
        found = [{name: _plain(value) for name, value in (row or {}).items()} for row in rows]
        # `\gset` ends the run unless there is exactly one row.
        self._run(max(ids) + 1, f"{STATEMENT.format(':n')} \\gset", "--transactions=25")
        return {"parts": {"get": found}, "kind": "nothing"}

    async def op_get(self, rows: int, concurrency: int, seconds: float, seed: int) -> dict[str, Any]:
        clients = min(concurrency, self.pool)
        threads = min(clients, os.cpu_count() or 1)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = self._run(
            rows,
            f"{STATEMENT.format(':n')};",
            f"--client={clients}",
            f"--jobs={threads}",
            f"--random-seed={seed}",
            f"--time={max(1, round(seconds))}",  # in whole seconds
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        count, rate = _number(r"actually processed: (\d+)", out), _number(r"tps = ([\d.]+) \(without", out)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"ops": count, "seconds": count / rate, "rate": rate, "cpu_us": used / count * 1e6}

    def _run(self, rows: int, statement: str, *options: str) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(f"\\set n random(0, {rows - 1})\n{statement}\n")
            script.flush()
            command = [str(self.program), "--no-vacuum", "--protocol=prepared", f"--file={script.name}", *options]
            environment = {**os.environ, **self.environment}
            done = subprocess.run([*command, self.target.url], capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise Failed(f"pgbench: {done.stderr.strip()[-300:]}")
        return done.stdout


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if not found:
        raise Failed(f"pgbench printed no {pattern}")
    return float(found[1])


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        runner.run(serve(Pgbench(), protocol()))
