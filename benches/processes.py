"""Contenders and the processes they run in."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


#: The bare drivers in Rust: the name of their module, and their program.
FLOORS = "floors"
FLOORS_PROGRAM = ROOT / ".work" / "release" / "farm-db-floors"

PGBENCH = "the same statement, prepared, by as many clients; the server makes the key of a number and rows are dropped"


class Failed(RuntimeError):
    """A contender did not do what it should. `code` is that of the library's own error, where it has one."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Process:
    """A worker behind a pipe of JSON lines."""

    def __init__(self, command: list[str], verbose: bool) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if verbose else subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
            bufsize=0,
        )
        self.verbose = verbose
        self.buffer = bytearray()

    def call(self, op: str, timeout: float = 120, **parameters: Any) -> dict[str, Any]:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps({"op": op, **parameters}).encode() + b"\n")
        except OSError as error:
            raise Failed(f"{op}: the worker has ended") from error
        answer: dict[str, Any] = json.loads(self._line(op, timeout))
        if not answer.pop("ok"):
            if self.verbose:
                print(answer.get("trace", ""), file=sys.stderr)
            raise Failed(f"{op}: {answer['error']}", answer.get("code", ""))
        return answer

    def _line(self, op: str, timeout: float) -> bytes:
        assert self.process.stdout
        end = time.monotonic() + timeout
        while (cut := self.buffer.find(b"\n")) < 0:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                self.kill()
                raise Failed(f"{op}: no answer in {timeout:.0f} s")
            part = os.read(self.process.stdout.fileno(), 1 << 20)
            if not part:
                raise Failed(f"{op}: the worker ended with {self.process.wait()}")
            self.buffer += part
        line = bytes(self.buffer[:cut])
        del self.buffer[: cut + 1]
        return line

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        if self.alive:
            self.process.kill()
            self.process.wait()

    def quit(self) -> None:
        if self.alive:
            with contextlib.suppress(OSError):
                assert self.process.stdin
                self.process.stdin.write(b'{"op": "quit"}\n')
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                self.kill()


def environment() -> dict[str, str]:
    """Of workers and apps: the release addon for Node."""
    return {**os.environ, "FARM_DB_ADDON": os.environ.get("FARM_DB_ADDON") or str(ROOT / ".work/release/farm-db.node")}


@dataclass
class Contender:
    """A library in the run, and what came of it."""

    name: str
    backend: str
    language: str
    module: str
    note: str = ""
    form: str = "plain"
    groups: frozenset[str] = frozenset()
    #: Why it takes no part; empty if it does.
    excluded: str = ""
    #: Whether that is because farm_db does not support this database yet.
    unavailable: bool = False
    notes: list[str] = field(default_factory=list)
    #: By workload, one dict a repetition.
    cells: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    process: Process | None = None

    def takes(self, group: str) -> bool:
        return not self.excluded and (not self.groups or group in self.groups)

    @property
    def label(self) -> str:
        """The name with what tells it from others of that name."""
        return self.name if self.language == "python" else f"{self.name} ({self.language})"

    def start(self, verbose: bool) -> Process:
        if self.module == FLOORS:
            return Process([str(FLOORS_PROGRAM), self.name], verbose)
        if self.language == "node":
            command = ["node", "--expose-gc", str(HERE / "node" / "worker.mjs"), "worker", self.module, self.name]
        elif self.language == "floor":
            command = [sys.executable, "-m", self.module, self.name]
        else:
            command = [sys.executable, "-m", "benches.worker", self.module, self.name]
        return Process([*command, self.backend], verbose)

    def call(self, op: str, **parameters: Any) -> dict[str, Any]:
        assert self.process
        return self.process.call(op, **parameters)


def contenders(languages: list[str]) -> tuple[list[Contender], dict[str, str]]:
    """Everybody who can be loaded, and why others cannot."""
    found: list[Contender] = []
    missing: dict[str, str] = {}
    if "python" in languages:
        from .adapters import discover

        adapters, missing = discover()
        found += [
            Contender(one.name, one.backend, "python", module, one.note, one.form, one.only) for module, one in adapters
        ]
    if "node" in languages:
        command = ["node", str(HERE / "node" / "worker.mjs"), "list"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment())
        except FileNotFoundError:
            return found, {**missing, "node": "not installed"}
        if done.returncode != 0:
            return found, {**missing, "node": done.stderr.strip()[-300:]}
        listed = json.loads(done.stdout)
        missing.update(listed["missing"])
        found += [
            Contender(
                one["name"], one["backend"], "node", one["module"], one["note"], one["form"], frozenset(one["groups"])
            )
            for one in listed["adapters"]
        ]
    if "floor" in languages:
        found += floors(missing)
    return found, missing


def floors(missing: dict[str, str]) -> list[Contender]:
    """What no library can beat: bare drivers, and PostgreSQL's own pgbench."""
    found = [Contender("pgbench", "postgres", "floor", "benches.pgbench", PGBENCH, groups=frozenset({"get"}))]
    if not FLOORS_PROGRAM.exists():
        missing["floors in Rust"] = f"{FLOORS_PROGRAM.relative_to(ROOT)} is not built"
        return found
    drivers = {
        ("rusqlite", "sqlite"): "columns read into values, JSON stays text; a thread a connection",
        ("tokio-postgres", "postgres"): "columns read into values, JSON stays text; tasks share connections",
        ("mongodb-rust", "mongodb"): "raw BSON",
    }
    groups = frozenset({"get", "find"})
    return [Contender(*who, "floor", FLOORS, note, groups=groups) for who, note in drivers.items()] + found
