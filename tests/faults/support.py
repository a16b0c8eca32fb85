"""What the tests of faults share: models, how often something is done, and what a server says of our connections."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from backends import server_url
from farm_db import Database, Document, FarmDbError, Field

#: Backends with a wire to break.
SERVERS = ("postgres", "mysql", "mongodb")
#: `make faults` does everything as often as it takes to meet a race; `make test` a small part of it.
FULL = os.environ.get("FARM_DB_FAULTS") == "full"
#: What a call may take beyond its deadline, in seconds.
GRACE = 0.5
#: By which the server tells our connections from those that watch them.
NAME = "farm-db-faults"


def often(full: int, short: int) -> int:
    """How often something is done in this run."""
    return full if FULL else short


class Row(Document, table="rows"):
    id: str = Field(primary_key=True, max_length=60)
    token: str = Field(default="", max_length=60)
    value: int = 0


class Wide(Document, table="wide"):
    """Rows that take several packets."""

    id: int = Field(primary_key=True)
    text: str = ""


MODELS: list[type[Document]] = [Row, Wide]


def opened(url: str, models: list[type[Document]] | None = None, **options: Any) -> Database:
    """A database whose connections the server can tell from others; to be entered."""
    given = {} if url.startswith("sqlite") else {"application_name": NAME}
    return Database(url, models=MODELS if models is None else models, **{**given, **options})


def through(url: str, port: int) -> str:
    """The URL by way of a proxy on this machine."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "mongodb":
        # Else the driver goes to where the replica set says that it is.
        query.pop("replicaSet", None)
        query["directConnection"] = "true"
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}", query=urlencode(query)))


def endpoint(url: str) -> tuple[str, int]:
    """Where a URL leads."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


async def failure(awaitable: Awaitable[Any]) -> FarmDbError:
    """The typed error that must come."""
    try:
        outcome = await awaitable
    except FarmDbError as error:
        return error
    raise AssertionError(f"expected an error, got {outcome!r}")


async def becomes(condition: Callable[[], Any], within: float, why: str) -> float:
    """Waits until a condition (a function or a coroutine function) is true; how long that took."""
    began = time.monotonic()
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        took = time.monotonic() - began
        if found:
            return took
        assert took < within, f"not within {within} s: {why}"
        await asyncio.sleep(0.01)


def idle(database: Database) -> bool:
    """Whether no connection is out, nobody waits, and none is being opened."""
    stats = database.pool_stats()
    pools = [one for one in stats.values() if isinstance(one, dict) and "in_use" in one] or [stats]
    return all(one["in_use"] == one["waiting"] == one["connecting"] == 0 for one in [*pools, stats])


@dataclass
class Watcher:
    """Looks at a server from beside, by a connection of its own."""

    database: Database
    backend: str
    #: The name of the tests' own database there.
    name: str

    async def _count(self, sql: str, *parameters: Any) -> int:
        (row,) = await self.database.execute(sql, list(parameters))
        return int(next(iter(row.values())))

    async def _operations(self, match: dict[str, Any]) -> int:
        stage = {"$currentOp": {"allUsers": True, "idleSessions": True, "idleConnections": True}}
        pipeline = [stage, {"$match": match}]
        return len(await self.database.execute({"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": 10_000}}))

    async def transactions(self) -> int:
        """Open transactions of the tests that nobody is working in."""
        if self.backend == "postgres":
            sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state LIKE 'idle in trans%'"
            return await self._count(sql, NAME)
        if self.backend == "mysql":
            sql = "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p"
            return await self._count(f"{sql} ON p.id = t.trx_mysql_thread_id WHERE p.db = ?", self.name)
        return await self._operations({"transaction": {"$exists": True}})

    async def sessions(self) -> int:
        """Connections of the tests, with and without work."""
        if self.backend == "postgres":
            return await self._count("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", NAME)
        if self.backend == "mysql":
            return await self._count("SELECT count(*) FROM information_schema.processlist WHERE db = ?", self.name)
        return await self._operations({"appName": NAME})

    async def working(self) -> int:
        """Statements of the tests that run."""
        if self.backend == "postgres":
            sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'"
            return await self._count(sql, NAME)
        if self.backend == "mysql":
            sql = "SELECT count(*) FROM information_schema.processlist WHERE db = ? AND command <> 'Sleep'"
            return await self._count(sql, self.name)
        # The driver's monitors wait in a `hello` all the time.
        busy = {"appName": NAME, "active": True, "op": {"$ne": "none"}, "command.hello": {"$exists": False}}
        return await self._operations(busy)

    async def end_all(self) -> None:
        """Ends what a failing test has left, whose locks would keep its tables from being dropped."""
        if self.backend == "postgres":
            sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
            await self.database.execute(sql, [NAME])
        elif self.backend == "mysql":
            sql = "SELECT id FROM information_schema.processlist WHERE db = ?"
            for row in await self.database.execute(sql, [self.name]):
                with suppress(FarmDbError):
                    await self.database.execute(f"KILL {next(iter(row.values()))}")
        else:
            await self.database.execute({"killAllSessions": []})

    async def cursors(self) -> int:
        """Cursors that are open on a MongoDB."""
        status = await self.database.execute({"serverStatus": 1})
        return int(status["metrics"]["cursor"]["open"]["total"])


@asynccontextmanager
async def watching(url: str) -> AsyncGenerator[Watcher]:
    """A watcher of the server on which this database of the tests lies."""
    parts = urlsplit(url)
    backend = {"postgresql": "postgres"}.get(parts.scheme, parts.scheme)
    place = urlunsplit(parts._replace(path="/admin", query="directConnection=true"))
    if backend != "mongodb":
        place = server_url(backend)
    async with Database(place, models=[], contract="off", application_name="watcher", max_size=2) as database:
        yield Watcher(database, backend, parts.path.strip("/"))


async def end_all(url: str) -> None:
    """Ends whatever the tests still have on the server."""
    async with watching(url) as watcher:
        await watcher.end_all()


async def token_on_every_connection(database: Database, count: int, within: float = 5) -> None:
    """Holds all connections at once, each asked for something that only it is asked for."""
    rows = database.repository(Row)
    tokens = [f"token-{number}-{time.monotonic_ns()}" for number in range(count)]
    await rows.create_many([{"id": token, "token": token} for token in tokens])
    inside = asyncio.Barrier(count)

    async def ask(token: str) -> str:
        async with database.transaction(read_only=database.backend != "mongodb") as tx:
            found = await rows.find_one({"token": token}, tx=tx)
            # Nobody leaves before everybody has a connection.
            await inside.wait()
            again = await rows.get(token, tx=tx)
            assert found is not None
            assert found.id == again.id
            return str(found.token)

    async with asyncio.timeout(within):
        assert await asyncio.gather(*map(ask, tokens)) == tokens
    await rows.delete_many({"id": {"$in": tokens}})
