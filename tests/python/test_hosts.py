"""Real servers around an app: uvicorn that reloads, gunicorn that forks; what signals and exits do to what runs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import free_port

from exits import exits
from farm_db import Database
from hosted import Visit
from sessions import NOTHING, Held, Watch, named, settled, watching
from support import environment
from test_pool import COUNTING, JOINING, SLEEPING

pytestmark = [pytest.mark.every_backend, pytest.mark.slow, pytest.mark.alone]

APP = Path(__file__).with_name("hosted.py")
CLIENT = "hosted"
WORKERS = 3
UVICORN = [sys.executable, "-m", "uvicorn", "hosted:app", "--timeout-graceful-shutdown", "15", "--port"]
GUNICORN = [sys.executable, "-m", "gunicorn", "hosted:app", "--preload", "--workers", str(WORKERS)]
GUNICORN += ["--worker-class", "uvicorn.workers.UvicornWorker", "--graceful-timeout", "15", "--bind"]


class Site:
    """A server with the app, in a process group of its own, and a client of it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.log = log
        # A new connection for each request, so that each may meet another worker.
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=30, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def asked(self, condition: Callable[[dict[str, Any]], bool], within: float = 30) -> dict[str, Any]:
        """What `/release` answers once the condition holds; connections that break meanwhile are made again."""
        deadline = time.monotonic() + within
        seen: Any = None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.told()
            try:
                seen = (await self.client.get("/release")).raise_for_status().json()
            except httpx.TransportError as error:
                seen = error
            else:
                if condition(seen):
                    return dict(seen)
            await asyncio.sleep(0.02)
        raise AssertionError(f"{seen!r} after {within} s; {self.told()}")

    async def fill(self, count: int = 6, seconds: float = 0.1) -> list[httpx.Response]:
        """As many requests at once as keep every connection busy."""
        return await asyncio.gather(*(self.slow(f"slow {number}", seconds) for number in range(count)))

    async def slow(self, note: str, seconds: float) -> httpx.Response:
        return await self.client.post("/slow", params={"note": note, "seconds": seconds})

    async def ended(self, within: float) -> tuple[int, float]:
        """The exit code and after how many seconds."""
        began = time.monotonic()
        while self.process.poll() is None:
            assert time.monotonic() - began < within, f"it still runs; {self.told()}"
            await asyncio.sleep(0.01)
        return self.process.returncode, time.monotonic() - began

    def told(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@contextmanager
def group(command: list[str], log: Path, **more: str) -> Generator[subprocess.Popen[bytes]]:
    """A process with a group of its own, which is gone afterwards."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            env={**environment(), "PYTHONUNBUFFERED": "1", **more},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@asynccontextmanager
async def site(url: str, command: list[str], folder: Path, **more: str) -> AsyncGenerator[tuple[Site, Watch]]:
    """The app under a server; the last argument of the command is to be followed by its port."""
    port = free_port()
    place = f"127.0.0.1:{port}" if "gunicorn" in command else str(port)
    log = folder / "server.log"
    async with watching(url, CLIENT) as watch:
        with group([*command, place], log, DATABASE_URL=named(url, CLIENT), **more) as process:
            served = Site(process, port, log)
            async with served.client:
                await served.asked(lambda _: True)
                yield served, watch


async def in_flight(served: Site, count: int, seconds: float) -> list[asyncio.Task[httpx.Response]]:
    """Requests that have all come to the app, whichever worker has which."""
    work = [asyncio.create_task(served.slow(f"in flight {number}", seconds)) for number in range(count)]
    arrived: dict[int, int] = {}

    def all_there(answer: dict[str, Any]) -> bool:
        arrived[answer["process"]] = answer["arrived"]
        return sum(arrived.values()) >= count

    await served.asked(all_there)
    return work


async def test_a_reload_serves_the_new_code_and_leaves_no_connection_of_the_old(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copy(APP, folder)
    code = APP.read_text()
    command = [*UVICORN[:-1], "--reload", "--reload-dir", str(folder), "--app-dir", str(folder), "--port"]
    async with site(url, command, tmp_path) as (served, watch):
        await served.fill()
        before = await served.asked(lambda answer: answer["release"] == 1)
        first = await watch()
        assert first.sessions > 0
        for release in (2, 3):
            work = [asyncio.create_task(served.slow(f"over the reload {n}", 0.5)) for n in range(3)]
            await asyncio.sleep(0.1)
            path = folder / "hosted.py"
            path.write_text(code.replace("RELEASE = 1", f"RELEASE = {release}"))
            # The time of a file is all that the reloader looks at.
            os.utime(path, (time.time() + release, time.time() + release))
            after = await served.asked(lambda answer: answer["release"] == release, within=20)  # noqa: B023
            assert after["process"] != before["process"]
            assert not os.path.exists(f"/proc/{before['process']}"), "the old process still runs"  # noqa: ASYNC240
            assert {(await one).status_code for one in work} == {200}, served.told()
            assert {one.status_code for one in await served.fill()} == {200}, served.told()
            held = await settled(watch, first)
            assert all(now <= then for now, then in zip(held, first, strict=True)), (
                "connections of the old process are left"
            )
            before = after
        os.killpg(served.process.pid, signal.SIGINT)
        # The server ends. Its reloader may not: the handler of the signal takes the lock of a `threading.Event`, which
        # the code that it interrupts may hold.
        assert await settled(watch) == NOTHING


async def test_workers_that_were_forked_with_an_open_database_answer_rightly(url: str, tmp_path: Path) -> None:
    async with site(url, GUNICORN, tmp_path, HOSTED_BEFORE_FORK="1") as (served, watch):
        await until_all_are_met(served)
        answers: list[httpx.Response] = []
        for turn in range(10):
            notes = [f"{turn}.{number}" for number in range(12)]
            answers += await asyncio.gather(*(served.client.post("/visits", params={"note": note}) for note in notes))
        assert {answer.status_code for answer in answers} == {200}, served.told()
        rows = [answer.json() for answer in answers]
        assert len({row["process"] for row in rows}) == WORKERS
        assert served.process.pid not in {row["process"] for row in rows}
        assert len({row["id"] for row in rows}) == len(rows) == 120
        assert (await served.client.get("/health/ready")).status_code == 200
        assert (await settled(watch, Held(10_000, 0))).transactions == 0
        served.process.send_signal(signal.SIGTERM)
        code, _ = await served.ended(within=10)
        assert (code, await settled(watch)) == (0, NOTHING), served.told()


async def until_all_are_met(served: Site) -> None:
    """Waits until every worker has answered once."""
    met: set[int] = set()

    def all_met(answer: dict[str, Any]) -> bool:
        met.add(answer["process"])
        return len(met) == WORKERS

    await served.asked(all_met)


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
async def test_sigterm_lets_requests_in_flight_end(url: str, tmp_path: Path, server: str) -> None:
    command, more = (UVICORN, {}) if server == "uvicorn" else (GUNICORN, {"HOSTED_BEFORE_FORK": "1"})
    async with site(url, command, tmp_path, **more) as (served, watch):
        # SQLite has them one after the other.
        work = await in_flight(served, 6, 0.5 if url.startswith("sqlite") else 2)
        assert not any(request.done() for request in work), "nothing was in flight"
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*work)
        assert time.monotonic() - began > 1, "nothing was in flight"
        assert [answer.status_code for answer in answers] == [200] * 6, served.told()
        assert {answer.json()["note"] for answer in answers} == {f"in flight {number}!" for number in range(6)}
        code, _ = await served.ended(within=10)
        # Uvicorn raises the signal again once all is done, so that who started it sees why it ended.
        assert code == (0 if server == "gunicorn" else -signal.SIGTERM), served.told()
        assert "Traceback" not in served.told()
        assert time.monotonic() - began < 7
        assert await settled(watch) == NOTHING
    assert await _committed(url) == 6


async def _committed(url: str) -> int:
    async with Database(url, models=[Visit]) as database:
        return await database.repository(Visit).count({"note": {"$regex": "^in flight .!$"}})


WAITING = """
import asyncio, json, sys, time
from support import Counter, Database

async def main():
    database = Database(sys.argv[1], models=[Counter])
    await database.connect()
    await database.repository(Counter).create({})
    print("waits", flush=True)
    if sys.argv[3] == "left open":
        await database.execute(json.loads(sys.argv[2]))
    elif sys.argv[3] == "closed":
        async with database:
            await database.execute(json.loads(sys.argv[2]))
    else:
        async with database, database.transaction() as tx:
            await database.repository(Counter).create({}, tx=tx)
            await database.execute(json.loads(sys.argv[2]), tx=tx)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize("way", ["left open", "closed", "transaction"])
async def test_ctrl_c_ends_a_script_that_awaits_a_long_query_at_once(url: str, tmp_path: Path, way: str) -> None:
    backend = url.partition(":")[0]
    statement: Any = {"mongodb": SLEEPING, "mysql": JOINING}.get(backend, COUNTING)
    command = [sys.executable, "-c", WAITING, named(url, CLIENT), json.dumps(statement), way]
    log = tmp_path / "script.log"
    async with watching(url, CLIENT) as watch:
        with group(command, log) as process:
            await _until(lambda: log.read_text() == "waits\n" or process.poll() is not None)
            # Until the server is in the middle of it.
            await asyncio.sleep(0.7)
            assert (process.poll(), log.read_text()) == (None, "waits\n")
            pressed = time.monotonic()
            process.send_signal(signal.SIGINT)
            await _until(lambda: process.poll() is not None)
            ended = time.monotonic() - pressed
            assert process.returncode == 130, log.read_text()
            returned = float(log.read_text().splitlines()[-1]) - pressed
            assert returned < 0.5
            assert ended < 1.5
            assert await settled(watch) == NOTHING


async def _until(condition: Callable[[], bool], within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_interpreters_exit_cleanly_with_a_hundred_operations_in_flight(url: str) -> None:
    print(await exits(url, 10))
