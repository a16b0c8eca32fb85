"""Servers that a test owns, to kill them and to start them again with the same data on the same port.

The commands are those of `scripts/servers.py`, made durable: what a server has acknowledged must outlive its process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import mongo_wire
import servers
from servers import Group, Process, temporary_folder

STARTERS: Mapping[str, Callable[[Group], servers.Starting]] = {
    "postgres": servers._postgres,
    "mysql": servers._mysql,
    "mongodb": servers._mongodb,
}
#: What a command for tests gives up for speed, and what stands there where nothing may be lost.
DURABLE = {"fsync=off": "fsync=on", "--innodb-flush-log-at-trx-commit=0": "--innodb-flush-log-at-trx-commit=1"}


class _Watched(Process):
    """A process that remembers how it is seen that it answers."""

    ready: Callable[[], bool] | None = None

    def answering(self, ready: Callable[[], bool]) -> Generator[None]:
        self.ready = ready
        return super().answering(ready)


class Owned(Group):
    """A server of one test: `kill()`, `start_again()`."""

    url = ""
    server: _Watched
    command: list[str | Path]
    environment: Mapping[str, str] | None
    end_by: signal.Signals

    def start(
        self,
        command: list[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        end_by: signal.Signals = signal.SIGKILL,
    ) -> Process:
        """As the group's; the last one that is started is the server."""
        self.command = [DURABLE.get(str(word), word) for word in command]
        self.environment, self.end_by = environment, end_by
        started = super().start(self.command, log, environment, end_by)
        self.server = _Watched(started.process, started.log)
        return self.server

    def kill(self) -> None:
        """Kills the server and all its processes, as a crash does."""
        for pid in [self.server.process.pid, *_children(self.server.process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.process.wait()

    async def start_again(self) -> float:
        """Starts it with the same data on the same port; when it answered first, in seconds of the monotonic clock."""
        ready, log = self.server.ready, self.server.log
        assert ready
        self.start(self.command, log, self.environment, self.end_by)
        for _ in self.server.answering(ready):
            await asyncio.sleep(0.01)
        return time.monotonic()


def _children(pid: int) -> list[int]:
    """PostgreSQL's processes, which lead groups of their own."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _finish(starting: servers.Starting) -> str:
    while True:
        try:
            next(starting)
        except StopIteration as up:
            return str(up.value)
        time.sleep(0.01)


@contextmanager
def owned(backend: str) -> Generator[Owned]:
    """A server of its own, ended and forgotten afterwards."""
    with temporary_folder() as folder:
        group = Owned(folder)
        try:
            group.url = _finish(STARTERS[backend](group))
            if backend == "mongodb":
                group.url = group.url.replace("/?", "/faults?")
            yield group
        finally:
            group.end()


class ReplicaSet:
    """Three servers of MongoDB that elect their primary."""

    def __init__(self, members: list[Owned], ports: list[int]) -> None:
        self.members = members
        self.ports = ports

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/faults?replicaSet=rs0"

    def primary(self) -> int | None:
        """Which of them is the primary now, as it says itself."""
        for number, port in enumerate(self.ports):
            with suppress(OSError, struct.error):
                if b"\x08isWritablePrimary\0\x01" in mongo_wire.command(port, {"hello": 1}):
                    return number
        return None

    def are_all_up(self) -> bool:
        """Whether there is a primary, and the others follow it."""
        with suppress(OSError, struct.error):
            answers = [mongo_wire.command(port, {"hello": 1}) for port in self.ports]
            primaries = sum(b"\x08isWritablePrimary\0\x01" in answer for answer in answers)
            return primaries == 1 and sum(b"\x08secondary\0\x01" in answer for answer in answers) == len(answers) - 1
        return False

    async def settled(self, within: float = 30) -> None:
        """Waits until all are up."""
        end = time.monotonic() + within
        while not self.are_all_up():
            assert time.monotonic() < end, "the replica set did not come up"
            await asyncio.sleep(0.05)


@contextmanager
def replica_set() -> Generator[ReplicaSet]:
    """Three nodes: the first is a set of one, which the other two join."""
    with temporary_folder() as folder:
        first = Owned(folder)
        members = [first]
        try:
            url = _finish(servers._mongodb(first))
            ports = [int(url.rpartition(":")[2].partition("/")[0])]
            for number in (1, 2):
                (folder / str(number)).mkdir()
                servers._owned(folder / str(number))
                member, port = Owned(folder / str(number)), servers.free_port()
                home, data = member.folder("mongodb"), member.folder("mongodb/data")
                replaced = {str(ports[0]): str(port), str(folder / "mongodb/data"): str(data)}
                replaced[str(folder / "mongodb")] = str(home)
                command: list[str | Path] = [replaced.get(str(word), word) for word in first.command]
                member.start(command, home / "mongod.log", first.environment)
                members.append(member)
                ports.append(port)
            _join(ports)
            for member, port in zip(members, ports, strict=True):
                member.server.ready = lambda port=port: bool(mongo_wire.command(port, {"hello": 1}))
            yield ReplicaSet(members, ports)
        finally:
            for member in members:
                member.end()


def _join(ports: list[int]) -> None:
    for port in ports[1:]:
        end = time.monotonic() + servers.PATIENCE
        while True:
            with suppress(OSError, struct.error):
                mongo_wire.command(port, {"hello": 1})
                break
            assert time.monotonic() < end, "a node of the replica set did not answer"
            time.sleep(0.02)
    hosts = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(ports)]
    # Elections within a second or two, as a test has time for.
    settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200, "heartbeatTimeoutSecs": 1}
    config = {"_id": "rs0", "version": 100, "members": hosts, "settings": settings}
    answer = mongo_wire.command(ports[0], {"replSetReconfig": config, "force": True})
    # `ok` is a double: 1.0.
    assert b"\x01ok\0" + struct.pack("<d", 1) in answer, answer
