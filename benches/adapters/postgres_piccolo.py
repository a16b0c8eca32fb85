"""Piccolo ORM on asyncpg."""

from __future__ import annotations

from typing import Any

from piccolo.columns import JSONB, Array, BigInt, Boolean, DoublePrecision, Text, Timestamptz
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table

from ..contract import Adapter, Target
from ..models import Resource


class ResourceRow(Table, tablename="resources"):
    id = Text(primary_key=True)
    name = Text()
    description = Text()
    dependencies = Array(base_column=Text())
    tags = Array(base_column=Text())
    metadata = JSONB()
    rating = DoublePrecision()
    active = Boolean()
    created_at = Timestamptz()
    updated_at = Timestamptz()


class UserRow(Table, tablename="users"):
    id = BigInt(primary_key=True)
    email = Text()
    name = Text()
    active = Boolean()
    created_at = Timestamptz()


class Piccolo(Adapter):
    name = "piccolo"
    backend = "postgres"
    note = "on asyncpg, table objects with load_json; create_many = insert() of 3,000 rows each in one transaction"
    response_model = Resource

    async def open(self, target: Target, pool: int) -> None:
        self.engine = PostgresEngine(config={"dsn": target.url}, log_queries=False)
        await self.engine.start_connection_pool(min_size=1, max_size=pool)
        for table in (ResourceRow, UserRow):
            table._meta._db = self.engine

    async def close(self) -> None:
        await self.engine.close_connection_pool()

    async def get(self, id: str) -> Any:
        return await ResourceRow.objects().get(ResourceRow.id == id).output(load_json=True)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        rows = ResourceRow.objects()
        if active is not None:
            rows = rows.where((ResourceRow.active == active) & (ResourceRow.rating >= min_rating))
        return await rows.order_by(ResourceRow.created_at, ascending=False).limit(limit).output(load_json=True)

    async def stream_users(self) -> Any:
        async with await UserRow.objects().order_by(UserRow.id).batch(batch_size=1000) as batches:
            async for batch in batches:
                for user in batch:
                    yield user

    async def insert(self, row: dict[str, Any]) -> None:
        await ResourceRow.insert(ResourceRow(**row))

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        async with self.engine.transaction():
            for start in range(0, len(rows), 3000):
                await ResourceRow.insert(*[ResourceRow(**row) for row in rows[start : start + 3000]])

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        values: dict[Any, Any] = changes
        await ResourceRow.update(values).where(ResourceRow.id == id)

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.engine.transaction():
            row = await self.get(id)
            await self.update(id, changes)
        return row

    async def insert_user(self, row: dict[str, Any]) -> None:
        await UserRow.insert(UserRow(**row))


ADAPTERS = [Piccolo]
