"""Private servers for the tests: started in a temporary folder on free ports, ended by pid when the command is over.

    python scripts/servers.py -- COMMAND ...    runs a command with the servers' URLs in its environment
    python scripts/servers.py                   runs the servers until Ctrl-C and prints the URLs
    python scripts/servers.py --fetch           only fetches the programs

A server whose variable is set already is not started: the tests then use that one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mongo_wire
from downloads import program
from workspace import Failure, say

#: Who servers run as when we are root: they refuse root. It is Debian's `nobody`.
NOBODY = 65534
PATIENCE = 60.0


@dataclass
class Server:
    """A server that is being started."""

    variable: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    #: Whether it answers; may raise `OSError` while it does not.
    ready: Callable[[], bool]


def _private(command: list[str | Path]) -> list[str]:
    """The command such that it dies with us, and never runs as root."""
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig", "KILL", *user, "--", *(str(word) for word in command)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(command: list[str | Path], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with open(log, "wb") as output:
        return subprocess.Popen(
            _private(command),
            cwd=log.parent,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us; we end them.
            start_new_session=True,
        )


def _says(log: Path, words: bytes) -> Callable[[], bool]:
    return lambda: words in log.read_bytes()


def _postgres(folder: Path) -> Server:
    home, port = program("postgres") / "package" / "native", _free_port()
    environment = {"LD_LIBRARY_PATH": str(home / "lib")}
    secret = folder / "password"
    secret.write_text("secret")
    _owned(secret)
    # A default collation that is not by code point, so that nothing works by chance.
    locale = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
    initdb: list[str | Path] = [home / "bin/initdb", "-D", folder / "data", "-U", "farm", "-A", "scram-sha-256"]
    # A login hashes 4096 times by default, which an unoptimised build takes longer for than for a whole test.
    initdb += ["-c", "scram_iterations=64"]
    made = _start([*initdb, f"--pwfile={secret}", "--no-sync", *locale], folder / "initdb.log", environment)
    if made.wait() != 0:
        raise Failure(f"initdb failed:\n{(folder / 'initdb.log').read_text()}")
    settings = ["fsync=off", "shared_buffers=32MB", "max_connections=300", "listen_addresses=127.0.0.1"]
    options = [word for setting in settings for word in ("-c", setting)]
    server: list[str | Path] = [home / "bin/postgres", "-D", folder / "data", "-p", str(port), "-k", folder]
    log = folder / "log"
    return Server(
        "FARM_TEST_POSTGRES_URL",
        f"postgresql://farm:secret@127.0.0.1:{port}/postgres",
        _start([*server, *options], log, environment),
        log,
        _says(log, b"database system is ready to accept connections"),
    )


def _mongodb(folder: Path) -> Server:
    port, log, data = _free_port(), folder / "log", folder / "data"
    data.mkdir()
    _owned(data)
    command: list[str | Path] = [program("mongodb") / "mongod", "--dbpath", data, "--port", str(port)]
    command += ["--bind_ip", "127.0.0.1", "--unixSocketPrefix", folder, "--replSet", "rs0"]
    command += ["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--setParameter", "enableTestCommands=1"]
    command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    command += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)"]
    process = _start(command, log, {})

    def ready() -> bool:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        mongo_wire.initiate(port, "rs0")
        return True

    return Server("FARM_TEST_MONGODB_URL", f"mongodb://127.0.0.1:{port}/?replicaSet=rs0", process, log, ready)


STARTERS: dict[str, Callable[[Path], Server]] = {"FARM_TEST_POSTGRES_URL": _postgres, "FARM_TEST_MONGODB_URL": _mongodb}


def _owned(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def _wait(server: Server) -> None:
    end = time.monotonic() + PATIENCE
    while server.process.poll() is None and time.monotonic() < end:
        try:
            if server.ready():
                return
        except OSError:
            pass
        time.sleep(0.02)
    tail = "\n".join(server.log.read_text(errors="replace").splitlines()[-20:])
    raise Failure(f"the server of {server.variable} did not come up:\n{tail}")


def _end(server: Server) -> None:
    # A clean end is of no use: the folder goes with it.
    server.process.kill()
    server.process.wait()


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """Starts the servers that the environment does not name; the variables of all that were started.

    Raises:
        Failure: if a program cannot be fetched or a server does not come up.
    """
    wanted = {variable: start for variable, start in STARTERS.items() if not os.environ.get(variable)}
    for name in ("postgres", "mongodb"):
        program(name)
    with ExitStack() as stack:
        # Not the user's own temporary folder, which the servers' user may not be allowed to enter.
        root = Path(tempfile.mkdtemp(prefix="farm-db-servers-", dir="/var/tmp" if os.geteuid() == 0 else None))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        root.chmod(0o755)
        servers = []
        for variable, start in wanted.items():
            folder = root / variable.lower()
            folder.mkdir()
            _owned(folder)
            servers.append(start(folder))
            stack.callback(_end, servers[-1])
        for server in servers:
            _wait(server)
        yield {server.variable: server.url for server in servers}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fetch", action="store_true", help="only fetch the programs")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run with the servers")
    arguments = parser.parse_args()
    # So that an end from outside still runs what is to be done at the end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if arguments.fetch:
            for name in ("postgres", "mongodb"):
                program(name)
            return 0
        with running() as variables:
            if arguments.command:
                return subprocess.run(arguments.command, env={**os.environ, **variables}).returncode
            for variable, url in variables.items():
                print(f"export {variable}='{url}'", flush=True)
            say("Ctrl-C ends the servers")
            signal.pause()
    except Failure as failure:
        print(f"servers: {failure}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
