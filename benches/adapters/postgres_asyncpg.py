"""asyncpg: with its pool's reset after every use, without it, and with PostgreSQL itself writing the JSON."""

from __future__ import annotations

from typing import Any, ClassVar

import asyncpg  # type: ignore[import-untyped]
import orjson

from ..contract import Adapter, Target
from ..data import RESOURCE_FIELDS
from ..models import Resource, User

COLUMNS = ", ".join(RESOURCE_FIELDS)
GET = f"SELECT {COLUMNS} FROM resources WHERE id = $1"
INSERT = f"INSERT INTO resources ({COLUMNS}) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)"
INSERT_USER = "INSERT INTO users (id, email, name, active, created_at) VALUES ($1,$2,$3,$4,$5)"
FILTERED = f"SELECT {COLUMNS} FROM resources WHERE active = $1 AND rating >= $2 ORDER BY created_at DESC LIMIT $3"
PAGE = f"SELECT {COLUMNS} FROM resources ORDER BY created_at DESC LIMIT $1"
USERS = "SELECT id, email, name, active, created_at FROM users ORDER BY id"


async def prepare(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )


def update_sql(id: str, changes: dict[str, Any]) -> tuple[Any, ...]:
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(changes, 2))
    return f"UPDATE resources SET {sets} WHERE id = $1", id, *changes.values()


class Asyncpg(Adapter):
    name = "asyncpg"
    backend = "postgres"
    note = "default pool, jsonb through orjson, rows to Pydantic models; create_many = COPY"
    response_model = Resource
    pool_options: ClassVar[dict[str, Any]] = {}

    async def open(self, target: Target, pool: int) -> None:
        self.pool = await asyncpg.create_pool(target.url, min_size=1, max_size=pool, init=prepare, **self.pool_options)

    async def close(self) -> None:
        await self.pool.close()

    async def get(self, id: str) -> Any:
        row = await self.pool.fetchrow(GET, id)
        return row and Resource(**row)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        if active is None:
            rows = await self.pool.fetch(PAGE, limit)
        else:
            rows = await self.pool.fetch(FILTERED, active, min_rating, limit)
        return [Resource(**row) for row in rows]

    async def stream_users(self) -> Any:
        async with self.pool.acquire() as connection, connection.transaction():
            async for row in connection.cursor(USERS, prefetch=1000):
                yield User(**row)

    async def insert(self, row: dict[str, Any]) -> None:
        await self.pool.execute(INSERT, *row.values())

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        records = [tuple(row.values()) for row in rows]
        async with self.pool.acquire() as connection:
            await connection.copy_records_to_table("resources", columns=RESOURCE_FIELDS, records=records)

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await self.pool.execute(*update_sql(id, changes))

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(GET, id)
            await connection.execute(*update_sql(id, changes))
        return Resource(**row)

    async def insert_user(self, row: dict[str, Any]) -> None:
        await self.pool.execute(INSERT_USER, *row.values())


async def no_reset(connection: Any) -> None:
    """Saves a round trip after every use."""


class WithoutReset(Asyncpg):
    name = "asyncpg-noreset"
    note = "as asyncpg, without the pool's query that resets a connection after every use"
    pool_options = {"reset": no_reset}


class JsonAgg(WithoutReset):
    name = "asyncpg-json_agg"
    note = "PostgreSQL writes the JSON of the list (`json_agg`), Python passes the bytes on"
    only = frozenset({"http"})
    json_over_http = True

    async def json(self, limit: int) -> bytes:
        text = await self.pool.fetchval(f"SELECT coalesce(json_agg(r), '[]')::text FROM ({PAGE}) r", limit)
        return bytes(text.encode())


ADAPTERS = [Asyncpg, WithoutReset, JsonAgg]
