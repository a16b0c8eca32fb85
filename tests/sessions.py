"""What a server still has of its clients: their sessions, open transactions and open cursors, counted from outside.

Of a SQLite file it is the descriptors that processes have of it, and whether one of them holds its write lock.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from backends import server_url
from farm_db import Database


class Held(NamedTuple):
    """What is open."""

    sessions: int
    transactions: int
    cursors: int = 0


#: Asks what clients of a database hold.
Watch = Callable[[], Awaitable[Held]]

NOTHING = Held(0, 0)


def named(url: str, name: str) -> str:
    """The URL of a client that `watching` finds by this name."""
    if not url.startswith(("postgres", "mongodb")):
        return url
    return f"{url}{'&' if '?' in url else '?'}application_name={name}"


@asynccontextmanager
async def watching(url: str, name: str) -> AsyncGenerator[Watch]:
    """Counts what clients of the database hold: on PostgreSQL and MongoDB those whose URL is `named` so."""
    if url.startswith("sqlite"):
        path = urlsplit(url).path.removeprefix("/")

        async def file() -> Held:
            return Held(_descriptors(path), int(_is_locked(path)))

        yield file
        return
    backend = url.partition(":")[0].replace("postgresql", "postgres")
    server = urlsplit(server_url(backend))
    place = urlunsplit(server._replace(path="/admin")) if backend == "mongodb" else urlunsplit(server)
    count = {"postgres": _of_postgres, "mysql": _of_mysql, "mongodb": _of_mongodb}[backend]
    database_name = urlsplit(url).path.removeprefix("/")
    options: dict[str, Any] = {} if backend == "mysql" else {"application_name": "watching"}
    async with Database(place, models=[], contract="off", create_missing=False, **options) as database:

        async def server_side() -> Held:
            return await count(database, name, database_name)

        yield server_side


async def settled(watch: Watch, wanted: Held = NOTHING, within: float = 5.0) -> Held:
    """What is held once it is no more than wanted, or when the time is over."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        found = await watch()
        if all(one <= most for one, most in zip(found, wanted, strict=True)):
            return found
        if asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.05)


async def _of_postgres(database: Database, name: str, _: str) -> Held:
    counts = "SELECT count(*) AS sessions, count(xact_start) AS transactions FROM pg_stat_activity"
    [row] = await database.execute(f"{counts} WHERE application_name = $1", [name])
    return Held(row["sessions"], row["transactions"])


async def _of_mysql(database: Database, _: str, database_name: str) -> Held:
    statement = (
        "SELECT count(*) AS sessions, count(t.trx_id) AS transactions FROM information_schema.processlist p "
        "LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id WHERE p.db = ?"
    )
    [row] = await database.execute(statement, [database_name])
    return Held(row["sessions"], row["transactions"])


async def _of_mongodb(database: Database, name: str, database_name: str) -> Held:
    current: dict[str, Any] = {"allUsers": True, "idleConnections": True, "idleSessions": True, "idleCursors": True}
    command = {"aggregate": 1, "pipeline": [{"$currentOp": current}], "cursor": {"batchSize": 10_000}}
    found = await database.execute(command)
    own = [one for one in found if one.get("appName") == name]
    cursors = [one for one in found if one["type"] == "idleCursor" and one["ns"].startswith(f"{database_name}.")]
    connections = {one["connectionId"] for one in own if one["type"] == "op" and "connectionId" in one}
    return Held(len(connections), sum(1 for one in own if "transaction" in one), len(cursors))


def _descriptors(path: str) -> int:
    """How many descriptors of the file the processes of this user have."""
    files = {path, f"{path}-wal", f"{path}-shm"}
    count = 0
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            count += os.readlink(link).removesuffix(" (deleted)") in files
        except OSError:
            continue
    return count


def _is_locked(path: str) -> bool:
    """Whether someone is in the middle of writing."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        database.execute("ROLLBACK")
        return False
