"""The standard library's sqlite3 (blocking calls) and aiosqlite, with the same SQL."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from typing import Any

import aiosqlite
import orjson

from ..contract import Adapter, Target
from ..data import RESOURCE_FIELDS
from ..models import Resource, User

COLUMNS = ", ".join(RESOURCE_FIELDS)
GET = f"SELECT {COLUMNS} FROM resources WHERE id = ?"
INSERT = f"INSERT INTO resources ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"
INSERT_USER = "INSERT INTO users (id, email, name, active, created_at) VALUES (?,?,?,?,?)"
FILTERED = f"SELECT {COLUMNS} FROM resources WHERE active = ? AND rating >= ? ORDER BY created_at DESC LIMIT ?"
PAGE = f"SELECT {COLUMNS} FROM resources ORDER BY created_at DESC LIMIT ?"
USERS = "SELECT id, email, name, active, created_at FROM users ORDER BY id"
PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA busy_timeout=30000")


def _stored(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return orjson.dumps(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return value


def values(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(map(_stored, row.values()))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def resource(row: Any) -> Resource:
    return Resource(
        id=row[0],
        name=row[1],
        description=row[2],
        dependencies=orjson.loads(row[3]),
        tags=orjson.loads(row[4]),
        metadata=orjson.loads(row[5]),
        rating=row[6],
        active=bool(row[7]),
        created_at=_moment(row[8]),
        updated_at=_moment(row[9]),
    )


def user(row: Any) -> User:
    return User(id=row[0], email=row[1], name=row[2], active=bool(row[3]), created_at=_moment(row[4]))


def update_sql(id: str, changes: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    return f"UPDATE resources SET {', '.join(f'{name} = ?' for name in changes)} WHERE id = ?", (*values(changes), id)


class Sqlite3(Adapter):
    name = "sqlite3"
    backend = "sqlite"
    note = "standard library, blocking calls on the event loop, one connection, rows to Pydantic models"
    response_model = Resource

    async def open(self, target: Target, pool: int) -> None:
        self.connection = sqlite3.connect(target.database, isolation_level=None)
        for pragma in PRAGMAS:
            self.connection.execute(pragma)

    async def close(self) -> None:
        self.connection.close()

    async def get(self, id: str) -> Any:
        row = self.connection.execute(GET, (id,)).fetchone()
        return row and resource(row)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        if active is None:
            return [resource(row) for row in self.connection.execute(PAGE, (limit,))]
        return [resource(row) for row in self.connection.execute(FILTERED, (active, min_rating, limit))]

    async def stream_users(self) -> Any:
        for row in self.connection.execute(USERS):
            yield user(row)

    async def insert(self, row: dict[str, Any]) -> None:
        self.connection.execute(INSERT, values(row))

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(INSERT, map(values, rows))
        self.connection.execute("COMMIT")

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        self.connection.execute(*update_sql(id, changes))

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        self.connection.execute("BEGIN IMMEDIATE")
        row = await self.get(id)
        self.connection.execute(*update_sql(id, changes))
        self.connection.execute("COMMIT")
        return row

    async def insert_user(self, row: dict[str, Any]) -> None:
        self.connection.execute(INSERT_USER, values(row))


class Aiosqlite(Adapter):
    name = "aiosqlite"
    backend = "sqlite"
    note = "one connection with its own thread, rows to Pydantic models"
    response_model = Resource

    async def open(self, target: Target, pool: int) -> None:
        self.lock = asyncio.Lock()
        self.connection = await aiosqlite.connect(target.database, isolation_level=None)
        for pragma in PRAGMAS:
            await self.connection.execute(pragma)

    async def close(self) -> None:
        await self.connection.close()

    async def get(self, id: str) -> Any:
        for row in await self.connection.execute_fetchall(GET, (id,)):
            return resource(row)
        return None

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        if active is None:
            rows = await self.connection.execute_fetchall(PAGE, (limit,))
        else:
            rows = await self.connection.execute_fetchall(FILTERED, (active, min_rating, limit))
        return [resource(row) for row in rows]

    async def stream_users(self) -> Any:
        async with self.connection.execute(USERS) as cursor:
            async for row in cursor:
                yield user(row)

    async def insert(self, row: dict[str, Any]) -> None:
        await self.connection.execute(INSERT, values(row))

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        async with self.lock:  # one connection: transactions take turns
            await self.connection.execute("BEGIN IMMEDIATE")
            await self.connection.executemany(INSERT, [values(row) for row in rows])
            await self.connection.execute("COMMIT")

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await self.connection.execute(*update_sql(id, changes))

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.lock:
            await self.connection.execute("BEGIN IMMEDIATE")
            row = await self.get(id)
            await self.connection.execute(*update_sql(id, changes))
            await self.connection.execute("COMMIT")
        return row

    async def insert_user(self, row: dict[str, Any]) -> None:
        await self.connection.execute(INSERT_USER, values(row))


ADAPTERS = [Sqlite3, Aiosqlite]
