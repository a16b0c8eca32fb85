"""psycopg 3, asynchronous, with its C implementation."""

from __future__ import annotations

from typing import Any

import orjson
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from ..contract import Adapter, Target
from ..data import RESOURCE_FIELDS
from ..models import Resource, User

COLUMNS = ", ".join(RESOURCE_FIELDS)
GET = f"SELECT {COLUMNS} FROM resources WHERE id = %s"
INSERT = f"INSERT INTO resources ({COLUMNS}) VALUES ({', '.join(['%s'] * 10)})"
INSERT_USER = "INSERT INTO users (id, email, name, active, created_at) VALUES (%s,%s,%s,%s,%s)"
FILTERED = f"SELECT {COLUMNS} FROM resources WHERE active = %s AND rating >= %s ORDER BY created_at DESC LIMIT %s"
PAGE = f"SELECT {COLUMNS} FROM resources ORDER BY created_at DESC LIMIT %s"
USERS = "SELECT id, email, name, active, created_at FROM users ORDER BY id"


def values(row: dict[str, Any]) -> list[Any]:
    return [Jsonb(value) if isinstance(value, dict) else value for value in row.values()]


def update_sql(id: str, changes: dict[str, Any]) -> tuple[str, list[Any]]:
    return f"UPDATE resources SET {', '.join(f'{name} = %s' for name in changes)} WHERE id = %s", [*values(changes), id]


async def prepare(connection: Any) -> None:
    await connection.set_autocommit(True)


class Psycopg(Adapter):
    name = "psycopg"
    backend = "postgres"
    note = "psycopg 3 async (C), dict_row, binary results, rows to Pydantic models; create_many = COPY"
    response_model = Resource

    async def open(self, target: Target, pool: int) -> None:
        set_json_loads(orjson.loads)
        set_json_dumps(orjson.dumps)
        options = {"row_factory": dict_row, "prepare_threshold": 0}
        self.pool = AsyncConnectionPool(
            target.url, min_size=1, max_size=pool, open=False, configure=prepare, kwargs=options
        )
        await self.pool.open(wait=True)

    async def close(self) -> None:
        await self.pool.close()

    async def _rows(self, statement: str, parameters: Any) -> list[Any]:
        async with self.pool.connection() as connection:
            cursor: Any = connection.cursor(binary=True)
            await cursor.execute(statement, parameters)
            rows: list[Any] = await cursor.fetchall()
            return rows

    async def _run(self, statement: Any, parameters: Any) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(statement, parameters)

    async def get(self, id: str) -> Any:
        rows = await self._rows(GET, (id,))
        return Resource(**rows[0]) if rows else None

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        if active is None:
            rows = await self._rows(PAGE, (limit,))
        else:
            rows = await self._rows(FILTERED, (active, min_rating, limit))
        return [Resource(**row) for row in rows]

    async def stream_users(self) -> Any:
        async with self.pool.connection() as connection, connection.transaction():
            cursor: Any = connection.cursor(name="stream", binary=True)
            cursor.itersize = 1000
            async with cursor:
                await cursor.execute(USERS)
                async for row in cursor:
                    yield User(**row)

    async def insert(self, row: dict[str, Any]) -> None:
        await self._run(INSERT, values(row))

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        async with (
            self.pool.connection() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy(f"COPY resources ({COLUMNS}) FROM STDIN") as copy,
        ):
            for row in rows:
                await copy.write_row(values(row))

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await self._run(*update_sql(id, changes))

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.pool.connection() as connection, connection.transaction():
            cursor: Any = connection.cursor(binary=True)
            await cursor.execute(GET, (id,))
            row = await cursor.fetchone()
            await cursor.execute(*update_sql(id, changes))
        return Resource(**row)

    async def insert_user(self, row: dict[str, Any]) -> None:
        await self._run(INSERT_USER, values(row))


ADAPTERS = [Psycopg]
