"""Private servers for the tests: started in a temporary folder on free ports, ended by pid when the command is over.

    python scripts/servers.py -- COMMAND ...    runs a command with the servers' URLs in its environment
    python scripts/servers.py                   runs the servers until Ctrl-C and prints the URLs
    python scripts/servers.py --fetch           only fetches the programs

A server whose variable is set already is not started: the tests then use that one.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import mongo_wire
from downloads import libraries, program
from workspace import Failure, say

#: Who servers run as when we are root: they refuse root. It is Debian's `nobody`.
NOBODY = 65534
#: How long a server may take to answer, and how long it may take to end when asked to, in seconds.
PATIENCE = 60.0
FAREWELL = 5.0
PREFIX = "farm-db-servers-"
#: The certificates of the tests.
TLS = Path(__file__).resolve().parent.parent / "tests" / "tls"
#: Where files lie in memory, and how many bytes must be free there for the servers to have theirs in it.
MEMORY = Path("/dev/shm")
SPACE = 8 << 30
#: The first and the last port that Linux gives to outgoing connections.
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")

#: A server that comes up: it yields while there is something to wait for, and returns its URL. All of them take turns
#: in one thread, because a process dies with the *thread* that started it (see `_private`).
Starting = Generator[None, None, str]


@dataclass
class Group:
    """The servers of one run."""

    root: Path
    #: By variable: of the servers that are up, and of those that the environment names.
    urls: dict[str, str] = field(default_factory=dict)
    processes: list[tuple[subprocess.Popen[bytes], signal.Signals]] = field(default_factory=list)

    def folder(self, name: str) -> Path:
        """A new folder that servers may write to."""
        made = self.root / name
        made.mkdir()
        _owned(made)
        return made

    def start(
        self,
        command: list[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        end_by: signal.Signals = signal.SIGKILL,
    ) -> Process:
        """Starts a process that is ended with the group, by a signal of its own kind."""
        with open(log, "wb") as output:
            process = subprocess.Popen(
                _private(command),
                cwd=log.parent,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us; we end them.
                start_new_session=True,
            )
        self.processes.append((process, end_by))
        return Process(process, log)

    def end(self) -> None:
        """Ends every process that was started, and what it has started itself."""
        running = [(process, end_by) for process, end_by in reversed(self.processes) if process.poll() is None]
        for process, end_by in running:
            _kill_group(process, end_by)
        for process, _ in running:
            try:
                process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                _kill_group(process, signal.SIGKILL)
                process.wait()


@dataclass
class Process:
    """A process of a server, and where it tells what is wrong."""

    process: subprocess.Popen[bytes]
    log: Path

    def finished(self) -> Generator[None]:
        """Waits for the end of a process that prepares something."""
        while self.process.poll() is None:
            yield
        if self.process.returncode != 0:
            raise self.failure(f"ended with {self.process.returncode}")

    def answering(self, ready: Callable[[], bool]) -> Generator[None]:
        """Waits until a server answers; until then `ready` may raise `OSError`."""
        end = time.monotonic() + PATIENCE
        while True:
            if self.process.poll() is not None:
                raise self.failure(f"ended with {self.process.returncode} before it answered")
            if time.monotonic() > end:
                raise self.failure(f"did not answer within {PATIENCE:.0f} s")
            with suppress(OSError):
                if ready():
                    return
            yield

    def failure(self, what: str) -> Failure:
        """What is said when it did not do its work."""
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
        return Failure(f"{self.log.parent.name}: {self.log.stem} {what}; the end of its log:\n{tail}")


def _private(command: list[str | Path]) -> list[str]:
    """The command such that it dies with the thread that starts it, and never runs as root."""
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig", "KILL", *user, "--", *(str(word) for word in command)]


def _owned(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def _kill_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # It leads a group of its own, and is not waited for yet: the number can be nobody else's.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, and none that the system gives to outgoing connections.

    A server binds it seconds later, or again after it was killed: a port that was free for `bind` to 0 may by then
    belong to any connection of this machine.
    """
    with suppress(OSError, ValueError):
        first, last = (int(word) for word in EPHEMERAL.read_text().split())
        for port in random.sample([*range(10_240, first), *range(last + 1, 65_536)], 100):
            with suppress(OSError), socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
                return port
    # The system says nothing of its ports, or keeps nearly all of them for itself.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    _owned(path)
    return path


# What each server needs.


def _postgres_answers(port: int, user: str) -> bool:
    """Whether a login is answered with the question for a password."""
    words = struct.pack("!i", 3 << 16) + f"user\0{user}\0database\0postgres\0\0".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(struct.pack("!i", len(words) + 4) + words)
        return connection.recv(1) == b"R"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """The tests' certificate and its key, where a server may read them."""
    certificate, key = ((TLS / name).read_text() for name in ("server.pem", "server.key"))
    return _write(folder / "server.pem", certificate), _write(folder / "server.key", key)


def _postgres(group: Group, *, tls: bool = False) -> Starting:
    home, port, folder = program("postgres") / "package" / "native", free_port(), group.folder("postgres")
    environment = {"LD_LIBRARY_PATH": str(home / "lib")}
    secret = _write(folder / "password", "secret")
    # A default collation that is not by code point, so that nothing works by chance.
    locale = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
    initdb: list[str | Path] = [home / "bin/initdb", "-D", folder / "data", "-U", "farm", "-A", "scram-sha-256"]
    # A login hashes 4096 times by default, which an unoptimised build takes longer for than for a whole test.
    initdb += ["-c", "scram_iterations=64", f"--pwfile={secret}", "--no-sync", *locale]
    yield from group.start(initdb, folder / "initdb.log", environment).finished()
    settings = ["fsync=off", "shared_buffers=32MB", "max_connections=300", "listen_addresses=127.0.0.1"]
    # In its folder, where it is gone with it even after a kill.
    settings += ["dynamic_shared_memory_type=mmap"]
    if tls:
        certificate, key = _certificate(folder)
        settings += ["ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}"]
    server: list[str | Path] = [home / "bin/postgres", "-D", folder / "data", "-p", str(port), "-k", folder]
    server += [word for setting in settings for word in ("-c", setting)]
    # SIGQUIT ends it at once, but unlike SIGKILL it gives its shared memory back to the system.
    process = group.start(server, folder / "postgres.log", environment, signal.SIGQUIT)
    yield from process.answering(lambda: _postgres_answers(port, "farm"))
    return f"postgresql://farm:secret@127.0.0.1:{port}/postgres"


def _pgbouncer(group: Group) -> Starting:
    home, port, folder = program("pgbouncer"), free_port(), group.folder("pgbouncer")
    while "FARM_TEST_POSTGRES_URL" not in group.urls:
        yield
    behind = urlsplit(group.urls["FARM_TEST_POSTGRES_URL"])
    user, password = unquote(behind.username or "farm"), unquote(behind.password or "")
    users = _write(folder / "users", f'"{user}" "{password}"\n')
    options = f"""
        [databases]
        * = host={behind.hostname} port={behind.port or 5432}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = scram-sha-256
        auth_file = {users}
        admin_users = {user}
        pool_mode = transaction
        max_client_conn = 300
        default_pool_size = 20
        ignore_startup_parameters = extra_float_digits
    """
    settings = _write(folder / "pgbouncer.ini", "\n".join(line.strip() for line in options.splitlines()))
    command: list[str | Path] = [home / "usr/sbin/pgbouncer", settings]
    process = group.start(command, folder / "pgbouncer.log", libraries(home))
    yield from process.answering(lambda: _postgres_answers(port, user))
    return behind._replace(netloc=f"{behind.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()


def _mongodb(group: Group) -> Starting:
    home, port, folder = program("mongodb"), free_port(), group.folder("mongodb")
    data = group.folder("mongodb/data")
    command: list[str | Path] = [home / "mongod", "--dbpath", data, "--port", str(port)]
    command += ["--bind_ip", "127.0.0.1", "--unixSocketPrefix", folder, "--replSet", "rs0"]
    command += ["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--setParameter", "enableTestCommands=1"]
    command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    command += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)"]
    process = group.start(command, folder / "mongod.log", libraries(home))
    yield from process.answering(lambda: mongo_wire.is_primary(port, "rs0"))
    return f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"


def _mongodb_secured(group: Group) -> Starting:
    """A server that stands alone, asks for TLS and for passwords, and has no user yet: the first may make one."""
    home, port, folder = program("mongodb"), free_port(), group.folder("mongodb")
    certificate, key = _certificate(folder)
    both = _write(folder / "both.pem", certificate.read_text() + key.read_text())
    authority = _write(folder / "ca.pem", (TLS / "ca.pem").read_text())
    command: list[str | Path] = [
        home / "mongod",
        "--dbpath",
        group.folder("mongodb/data"),
        "--port",
        str(port),
        "--auth",
    ]
    command += ["--bind_ip", "127.0.0.1", "--unixSocketPrefix", folder, "--wiredTigerCacheSizeGB", "0.25"]
    command += ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", both, "--tlsCAFile", authority]
    command += ["--tlsAllowConnectionsWithoutCertificates", "--setParameter", "diagnosticDataCollectionEnabled=false"]
    process = group.start(command, folder / "mongod.log", libraries(home))

    def listens() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    yield from process.answering(listens)
    return f"mongodb://127.0.0.1:{port}/"


def _mysql(group: Group, *, tls: bool = False) -> Starting:
    home, port, folder = program("mariadb"), free_port(), group.folder("mariadb")
    usr, environment = home / "usr", libraries(home)
    # Nobody's own files of settings may matter.
    places: list[str | Path] = ["--no-defaults", f"--basedir={usr}", f"--datadir={folder / 'data'}"]
    install = [usr / "bin/mariadb-install-db", *places, "--auth-root-authentication-method=normal", "--skip-test-db"]
    yield from group.start(install, folder / "mariadb-install-db.log", environment).finished()
    # Done before the first connection is accepted.
    first = "CREATE DATABASE farm CHARACTER SET utf8mb4;\nCREATE USER farm@'%' IDENTIFIED BY 'secret';\n"
    first += "GRANT ALL PRIVILEGES ON *.* TO farm@'%' WITH GRANT OPTION;\n"
    server: list[str | Path] = [usr / "sbin/mariadbd", *places, f"--init-file={_write(folder / 'first.sql', first)}"]
    server += [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}", "--skip-name-resolve"]
    server += ["--character-set-server=utf8mb4", "--innodb-buffer-pool-size=64M"]
    # The data need not outlive the machine, only the process.
    server += ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--sync-frm=0"]
    server += ["--skip-log-bin", "--max-connections=200"]
    if tls:
        certificate, key = _certificate(folder)
        server += [f"--ssl-cert={certificate}", f"--ssl-key={key}"]
    process = group.start(server, folder / "mariadbd.log", environment)

    def greets() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            # Its first packet: four bytes of length and number, then the version of the protocol.
            return connection.recv(5)[4:] == b"\x0a"

    yield from process.answering(greets)
    return f"mysql://farm:secret@127.0.0.1:{port}/farm"


#: By variable: the program, and how its server comes up.
Servers = dict[str, tuple[str, Callable[[Group], Starting]]]

SERVERS: Servers = {
    "FARM_TEST_MONGODB_URL": ("mongodb", _mongodb),
    "FARM_TEST_POSTGRES_URL": ("postgres", _postgres),
    "FARM_TEST_MYSQL_URL": ("mariadb", _mysql),
    "FARM_TEST_PGBOUNCER_URL": ("pgbouncer", _pgbouncer),
}

#: Others of the same programs, with TLS, which the tests of TLS start for themselves.
SECURED: Servers = {
    "FARM_TEST_MONGODB_TLS_URL": ("mongodb", _mongodb_secured),
    "FARM_TEST_POSTGRES_TLS_URL": ("postgres", partial(_postgres, tls=True)),
    "FARM_TEST_MYSQL_TLS_URL": ("mariadb", partial(_mysql, tls=True)),
}


# One run.


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for one run; those of runs that were killed are removed."""
    # Not the user's own temporary folder, which the servers' user may not be allowed to enter.
    disk = Path("/var/tmp" if os.geteuid() == 0 else tempfile.gettempdir())
    # Making tables waits for the disk, thousands of times in the tests.
    base = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= SPACE else disk
    for old in [*disk.glob(f"{PREFIX}*"), *MEMORY.glob(f"{PREFIX}*")]:
        with suppress(OSError), open(old / "lock") as left:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if old.lstat().st_uid == os.geteuid():
                shutil.rmtree(old, ignore_errors=True)
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    try:
        root.chmod(0o755)
        with open(root / "lock.new", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Only now does it have the name that others look for.
            (root / "lock.new").rename(root / "lock")
            yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """An end from outside still runs what is to be done at the end."""

    def end(number: int, _: object) -> NoReturn:
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running(servers: Servers = SERVERS) -> Iterator[dict[str, str]]:
    """Starts the servers that the environment does not name, at the same time; the variables of all that were started.

    Raises:
        Failure: if a program cannot be fetched or a server does not come up.
    """
    wanted = [variable for variable in servers if not os.environ.get(variable)]
    with ExitStack() as stack:
        stack.enter_context(_ended_by_signals())
        for variable in wanted:
            program(servers[variable][0])
        began = time.monotonic()
        group = Group(stack.enter_context(temporary_folder()))
        stack.callback(group.end)
        group.urls = {variable: os.environ[variable] for variable in servers if variable not in wanted}
        starting = {variable: servers[variable][1](group) for variable in wanted}
        while starting:
            for variable, server in list(starting.items()):
                try:
                    next(server)
                except StopIteration as up:
                    group.urls[variable] = up.value
                    del starting[variable]
            time.sleep(0.01)
        if wanted:
            names = ", ".join(servers[variable][0] for variable in wanted)
            say(f"private servers are up after {time.monotonic() - began:.1f} s: {names}")
        yield {variable: group.urls[variable] for variable in wanted}


def _run(command: list[str], variables: Mapping[str, str]) -> int:
    try:
        process = subprocess.Popen(command, env={**os.environ, **variables})
    except OSError as error:
        print(f"servers: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    return code if code >= 0 else 128 - code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fetch", action="store_true", help="only fetch the programs")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run with the servers")
    arguments = parser.parse_args()
    try:
        if arguments.fetch:
            for name, _ in SERVERS.values():
                program(name)
            return 0
        with running() as variables:
            if arguments.command:
                return _run(arguments.command, variables)
            for variable, url in variables.items():
                print(f"export {variable}={shlex.quote(url)}", flush=True)
            say("Ctrl-C ends the servers")
            while True:
                signal.pause()
    except Failure as failure:
        print(f"servers: {failure}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
