"""Tortoise ORM."""

from __future__ import annotations

from typing import Any

from tortoise import Tortoise
from tortoise.transactions import in_transaction

from ..contract import Adapter, Target
from ..models import Resource


class TortoiseOrm(Adapter):
    name = "tortoise"
    response_model = Resource
    #: The module with ResourceRow and UserRow.
    models: Any

    def connection(self, target: Target, pool: int) -> dict[str, Any]:
        raise NotImplementedError

    async def open(self, target: Target, pool: int) -> None:
        await Tortoise.init(
            config={
                "connections": {"default": self.connection(target, pool)},
                "apps": {"models": {"models": [self.models.__name__], "default_connection": "default"}},
                "use_tz": True,
                "timezone": "UTC",
            },
            _enable_global_fallback=True,
        )

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def get(self, id: str) -> Any:
        return await self.models.ResourceRow.get_or_none(id=id)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        rows = self.models.ResourceRow.all()
        if active is not None:
            rows = self.models.ResourceRow.filter(active=active, rating__gte=min_rating)
        found: list[Any] = await rows.order_by("-created_at").limit(limit)
        return found

    async def stream_users(self) -> Any:
        last = -1
        while page := await self.models.UserRow.filter(id__gt=last).order_by("id").limit(1000):
            for user in page:
                yield user
            last = page[-1].id

    async def insert(self, row: dict[str, Any]) -> None:
        await self.models.ResourceRow.create(**row)

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        await self.models.ResourceRow.bulk_create([self.models.ResourceRow(**row) for row in rows], batch_size=1000)

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await self.models.ResourceRow.filter(id=id).update(**changes)

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        rows = self.models.ResourceRow.filter(id=id)
        async with in_transaction("default") as connection:
            row = await rows.using_db(connection).get()
            await rows.using_db(connection).update(**changes)
        return row

    async def insert_user(self, row: dict[str, Any]) -> None:
        await self.models.UserRow.create(**row)
