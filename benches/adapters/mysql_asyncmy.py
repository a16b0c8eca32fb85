"""asyncmy, a driver in Cython."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import asyncmy
import asyncmy.cursors
import orjson

from ..contract import Adapter, Target
from ..data import RESOURCE_FIELDS
from ..models import Resource, User

COLUMNS = ", ".join(RESOURCE_FIELDS)
GET = f"SELECT {COLUMNS} FROM resources WHERE id = %s"
INSERT = f"INSERT INTO resources ({COLUMNS}) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)"
INSERT_USER = "INSERT INTO users (id, email, name, active, created_at) VALUES (%s,%s,%s,%s,%s)"
FILTERED = f"SELECT {COLUMNS} FROM resources WHERE active = %s AND rating >= %s ORDER BY created_at DESC LIMIT %s"
PAGE = f"SELECT {COLUMNS} FROM resources ORDER BY created_at DESC LIMIT %s"
USERS = "SELECT id, email, name, active, created_at FROM users ORDER BY id"


def _stored(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return orjson.dumps(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def values(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(map(_stored, row.values()))


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
        created_at=row[8].replace(tzinfo=UTC),
        updated_at=row[9].replace(tzinfo=UTC),
    )


def user(row: Any) -> User:
    return User(id=row[0], email=row[1], name=row[2], active=bool(row[3]), created_at=row[4].replace(tzinfo=UTC))


def update_sql(id: str, changes: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    return f"UPDATE resources SET {', '.join(f'{name} = %s' for name in changes)} WHERE id = %s", (*values(changes), id)


class Asyncmy(Adapter):
    name = "asyncmy"
    backend = "mysql"
    note = "driver in Cython, rows to Pydantic models; create_many = executemany (one statement of many rows)"
    response_model = Resource
    library: Any = asyncmy
    stream_cursor: Any = asyncmy.cursors.SSCursor

    async def open(self, target: Target, pool: int) -> None:
        self.pool = await self.library.create_pool(
            minsize=1,
            maxsize=pool,
            host=target.host,
            port=target.port,
            user=target.user,
            password=target.password,
            db=target.database,
            autocommit=True,
            charset="utf8mb4",
        )

    async def close(self) -> None:
        self.pool.close()
        await self.pool.wait_closed()

    async def _rows(self, statement: str, parameters: Any) -> Any:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(statement, parameters)
            return await cursor.fetchall()

    async def get(self, id: str) -> Any:
        for row in await self._rows(GET, (id,)):
            return resource(row)
        return None

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        if active is None:
            rows = await self._rows(PAGE, (limit,))
        else:
            rows = await self._rows(FILTERED, (active, min_rating, limit))
        return [resource(row) for row in rows]

    async def stream_users(self) -> Any:
        async with self.pool.acquire() as connection, connection.cursor(self.stream_cursor) as cursor:
            await cursor.execute(USERS)
            while page := await cursor.fetchmany(1000):
                for row in page:
                    yield user(row)

    async def insert(self, row: dict[str, Any]) -> None:
        await self._rows(INSERT, values(row))

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await connection.begin()
            await cursor.executemany(INSERT, [values(row) for row in rows])
            await connection.commit()

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await self._rows(*update_sql(id, changes))

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await connection.begin()
            await cursor.execute(GET, (id,))
            row = await cursor.fetchone()
            await cursor.execute(*update_sql(id, changes))
            await connection.commit()
        return resource(row)

    async def insert_user(self, row: dict[str, Any]) -> None:
        await self._rows(INSERT_USER, values(row))


ADAPTERS = [Asyncmy]
