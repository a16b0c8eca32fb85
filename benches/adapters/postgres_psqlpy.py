"""psqlpy, a driver in Rust."""

from __future__ import annotations

from typing import Any

from psqlpy import ConnectionPool

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


def update_sql(id: str, changes: dict[str, Any]) -> tuple[str, list[Any]]:
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(changes, 2))
    return f"UPDATE resources SET {sets} WHERE id = $1", [id, *changes.values()]


class Psqlpy(Adapter):
    name = "psqlpy"
    backend = "postgres"
    note = "driver in Rust, rows to dicts to Pydantic models; create_many = copy_records_to_table"
    response_model = Resource

    async def open(self, target: Target, pool: int) -> None:
        self.pool = ConnectionPool(dsn=target.url.replace("postgresql:", "postgres:", 1), max_db_pool_size=pool)

    async def close(self) -> None:
        self.pool.close()

    async def _rows(self, statement: str, parameters: list[Any]) -> list[dict[str, Any]]:
        async with self.pool.acquire() as connection:
            return (await connection.fetch(statement, parameters)).result()

    async def _run(self, statement: str, parameters: list[Any]) -> None:
        async with self.pool.acquire() as connection:
            await connection.execute(statement, parameters)

    async def get(self, id: str) -> Any:
        rows = await self._rows(GET, [id])
        return Resource(**rows[0]) if rows else None

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        if active is None:
            rows = await self._rows(PAGE, [limit])
        else:
            rows = await self._rows(FILTERED, [active, min_rating, limit])
        return [Resource(**row) for row in rows]

    async def stream_users(self) -> Any:
        async with (
            self.pool.acquire() as connection,
            connection.transaction() as transaction,
            transaction.cursor(USERS, array_size=1000) as cursor,  # type: ignore[call-arg]
        ):
            async for batch in cursor:
                for row in batch.result():
                    yield User(**row)

    async def insert(self, row: dict[str, Any]) -> None:
        await self._run(INSERT, list(row.values()))

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        records = [list(row.values()) for row in rows]
        async with self.pool.acquire() as connection:
            await connection.copy_records_to_table("resources", records, columns=RESOURCE_FIELDS)

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await self._run(*update_sql(id, changes))

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.pool.acquire() as connection, connection.transaction() as transaction:
            rows = (await transaction.fetch(GET, [id])).result()
            await transaction.execute(*update_sql(id, changes))
        return Resource(**rows[0])

    async def insert_user(self, row: dict[str, Any]) -> None:
        await self._run(INSERT_USER, list(row.values()))


ADAPTERS = [Psqlpy]
