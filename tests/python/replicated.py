"""A streaming PostgreSQL with its standbys, and a MongoDB set of three, whose servers a test may stop and start."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mongo_wire
import servers
from downloads import libraries
from servers import Group

#: Whatever takes longer is broken.
PATIENCE = 20.0


@contextmanager
def _group() -> Iterator[Group]:
    """A group of private servers."""
    with servers.temporary_folder() as root:
        group = Group(root)
        try:
            yield group
        finally:
            group.end()


def _done(steps: Generator[None]) -> None:
    for _ in steps:
        time.sleep(0.01)


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # Behind the name, which may hold anything: the state and the parent.
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found


class Server:
    """One server: a command that can be run again after its end."""

    def __init__(self, folder: Path, port: int, start: Callable[[], Any], ready: Callable[[], bool]) -> None:
        self.port = port
        self.log = folder / "server.log"
        self._start, self._ready = start, ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        process = self._start()
        self._process = process.process
        _done(process.answering(self._ready))

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        # PostgreSQL's processes lead groups of their own.
        for process in [self._process.pid, *_children(self._process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self) -> None:
        """Ends it as a crash does."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def freeze(self) -> None:
        """It says nothing any more, while its sockets stay: a black hole."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def saw(self, text: str) -> int:
        """How many lines of its log hold the text."""
        return sum(text in line for line in self.log.read_text(errors="replace").splitlines())


class Streaming:
    """A PostgreSQL and its standbys; every statement stands in the log of the server that ran it."""

    def __init__(self, group: Group, standbys: int) -> None:
        self._group = group
        self._home = servers.program("postgres") / "package" / "native"
        self._environment = {"LD_LIBRARY_PATH": str(self._home / "lib")}
        folder = group.folder("primary")
        secret = servers._write(folder / "password", "secret")
        initdb = [self._home / "bin/initdb", "-D", folder / "data", "-U", "farm", "-A", "scram-sha-256"]
        initdb += ["-c", "scram_iterations=64", f"--pwfile={secret}", "--no-sync"]
        initdb += ["--encoding=UTF8", "--locale=C.UTF-8"]
        _done(group.start(initdb, folder / "initdb.log", self._environment).finished())
        self.primary = self._server(folder)
        # A base backup of a server that has not been started is a copy of its files.
        self.standbys = [self._standby(folder / "data", f"standby{number}") for number in range(standbys)]
        for server in [self.primary, *self.standbys]:
            server.start()

    def _server(self, folder: Path) -> Server:
        port = servers.free_port()
        settings = ["fsync=off", "shared_buffers=32MB", "max_connections=200", "listen_addresses=127.0.0.1"]
        settings += ["dynamic_shared_memory_type=mmap", "log_statement=all", "wal_keep_size=256MB"]
        settings += ["wal_retrieve_retry_interval=100ms", "max_standby_streaming_delay=0", "autovacuum=off"]
        command = [self._home / "bin/postgres", "-D", folder / "data", "-p", str(port), "-k", folder]
        command += [word for setting in settings for word in ("-c", setting)]

        def start() -> Any:
            return self._group.start(command, folder / "server.log", self._environment, signal.SIGQUIT)

        return Server(folder, port, start, lambda: servers._postgres_answers(port, "farm"))

    def _standby(self, data: Path, name: str) -> Server:
        folder = self._group.folder(name)
        shutil.copytree(data, folder / "data", symlinks=True)
        (folder / "data/standby.signal").touch()
        conninfo = f"host=127.0.0.1 port={self.primary.port} user=farm password=secret application_name={name}"
        with open(folder / "data/postgresql.auto.conf", "a") as settings:
            settings.write(f"primary_conninfo = '{conninfo}'\n")
        for path in [folder / "data", *(folder / "data").rglob("*")]:
            servers._owned(path)
        return self._server(folder)

    def url(self, server: Server, schema: str | None = None) -> str:
        url = f"postgresql://farm:secret@127.0.0.1:{server.port}/postgres"
        return url if schema is None else f"{url}?schema={schema}"


@contextmanager
def streaming(standbys: int = 2) -> Iterator[Streaming]:
    """A PostgreSQL with so many standbys that follow it."""
    with _group() as group:
        yield Streaming(group, standbys)


class ReplicaSet:
    """A MongoDB set of three."""

    def __init__(self, group: Group) -> None:
        home = servers.program("mongodb")
        self.members: list[Server] = []
        for number in range(3):
            folder, port = group.folder(f"member{number}"), servers.free_port()
            command = [home / "mongod", "--dbpath", group.folder(f"member{number}/data"), "--port", str(port)]
            command += ["--bind_ip", "127.0.0.1", "--unixSocketPrefix", folder, "--replSet", "three"]
            command += ["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"]
            for parameter in ("enableTestCommands=1", "diagnosticDataCollectionEnabled=false"):
                command += ["--setParameter", parameter]
            command += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)"]

            def start(command: Any = command, folder: Path = folder) -> Any:
                return group.start(command, folder / "server.log", libraries(home))

            def listens(port: int = port) -> bool:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return True

            member = Server(folder, port, start, listens)
            member.start()
            self.members.append(member)
        hosts = [
            {"_id": number, "host": f"127.0.0.1:{member.port}", "priority": 2 if number == 0 else 1}
            for number, member in enumerate(self.members)
        ]
        settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
        first = self.members[0].port
        mongo_wire.command(first, {"replSetInitiate": {"_id": "three", "members": hosts, "settings": settings}})
        end = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError):
                states = [mongo_wire.command(member.port, {"hello": 1}) for member in self.members]
                if b"\x08isWritablePrimary\0\x01" in states[0] and all(b"\x08secondary\0\x01" in s for s in states[1:]):
                    break
            assert time.monotonic() < end, "the set has no primary"
            time.sleep(0.05)

    def url(self, name: str, **options: str) -> str:
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"mongodb://{hosts}/{name}?replicaSet=three" + "".join(f"&{key}={text}" for key, text in options.items())

    def direct(self, member: Server) -> str:
        """The URL of one member alone."""
        return f"mongodb://127.0.0.1:{member.port}/admin?directConnection=true"


@contextmanager
def replica_set() -> Iterator[ReplicaSet]:
    """A MongoDB set of three; the first is the primary."""
    with _group() as group:
        yield ReplicaSet(group)
