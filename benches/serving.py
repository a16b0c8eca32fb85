"""HTTP: one uvicorn process a contender, asked by a load generator in another process.

The generator is our own (keep-alive, one request after the other on each connection): nothing has to be installed, and
every answer's status and length is checked.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from . import expected
from .data import RESOURCE_FIELDS, canonical, digest, resource, resource_id
from .processes import ROOT, Contender, Failed, environment
from .workloads import HTTP, Http

if TYPE_CHECKING:
    from .runner import Backend


class Server:
    """The app of a contender."""

    def __init__(self, backend: Backend, one: Contender) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = listener.getsockname()[1]
        target = json.dumps(backend.reads[one.form].to_dict())
        words = [one.module, one.name, one.backend, target, str(backend.options.pool), str(listener.fileno())]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benches.httpapp", *words],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=None if backend.options.verbose else subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
        )
        # The app has its own handle; connections wait in the queue until it is up.
        listener.close()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def check(server: Server, rows: int) -> None:
    """Bodies equal to the generated rows, and nothing more in them."""
    for limit in (50, 1000):
        body = server.get(f"/resources?limit={limit}")
        if set(body[0]) != set(RESOURCE_FIELDS):
            raise Failed(f"fields differ: {sorted(set(body[0]) ^ set(RESOURCE_FIELDS))}")
        if digest([canonical(row, typed=False) for row in body]) != digest(expected.newest(rows, limit)):
            raise Failed(f"the list of {limit} differs")
    if canonical(server.get(f"/resources/{resource_id(5)}"), typed=False) != canonical(resource(5)):
        raise Failed("get differs")


def measure_http(backend: Backend, who: list[Contender]) -> None:
    """All HTTP cells of these contenders."""
    servers: dict[str, Server] = {}
    try:
        for one in list(who):
            servers[one.name] = Server(backend, one)
            try:
                check(servers[one.name], backend.options.rows)
            except Exception as error:  # whatever an app does wrong, the others go on
                one.failures["http"] = f"{type(error).__name__}: {error}"[:300]
                print(f"  ! {one.name}, http: {one.failures['http']}", file=sys.stderr)
                who.remove(one)
        for cell in HTTP:

            def window(one: Contender, rep: int, seconds: float, cell: Http = cell) -> dict[str, Any]:
                server = servers[one.name]
                before = server.processor_seconds()
                answer = generate(server.port, cell, backend.options.rows, seconds)
                answer["cpu_us"] = (server.processor_seconds() - before) / answer["ops"] * 1e6
                return answer

            backend.rounds(cell.id, who, backend.options.http_reps, window, backend.options.http_seconds)
    finally:
        for server in servers.values():
            server.stop()


# The load generator.


def generate(port: int, cell: Http, rows: int, seconds: float) -> dict[str, Any]:
    """Runs the generator in a process of its own."""
    words = [str(port), cell.path, str(cell.connections), str(rows), str(seconds)]
    command = [sys.executable, "-m", "benches.serving", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=seconds + 60)
    if done.returncode != 0:
        raise Failed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the load generator failed")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


async def ask(port: int, requests: list[bytes], end: float, latencies: list[float]) -> None:
    """One connection: request after request until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    clock = time.perf_counter
    for number in range(1_000_000_000):
        began = clock()
        if began >= end:
            break
        writer.write(requests[number % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise Failed(f"answered {head[:40]!r}")
        await reader.readexactly(int(length[1]))
        latencies.append(clock() - began)
    writer.close()


async def load(port: int, path: str, connections: int, rows: int, seconds: float) -> dict[str, Any]:
    chance = random.Random(7)
    latencies: list[float] = []
    began = time.perf_counter()

    def requests() -> list[bytes]:
        paths = [path.replace("{id}", resource_id(chance.randrange(rows))) for _ in range(500)]
        return [f"GET {one} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() for one in paths]

    prepared = [requests() for _ in range(connections)]
    began = time.perf_counter()
    await asyncio.gather(*(ask(port, one, began + seconds, latencies) for one in prepared))
    elapsed, count = time.perf_counter() - began, len(latencies)
    latencies.sort()
    return {
        "ops": count,
        "seconds": elapsed,
        "rate": count / elapsed,
        "p50_us": latencies[count // 2] * 1e6,
        "p99_us": latencies[min(count - 1, int(count * 0.99))] * 1e6,
    }


def main() -> None:
    port, path, connections, rows, seconds = sys.argv[1:6]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(load(int(port), path, int(connections), int(rows), float(seconds)))))


if __name__ == "__main__":
    main()
