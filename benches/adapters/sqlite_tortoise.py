"""Tortoise ORM on aiosqlite."""

from __future__ import annotations

from typing import Any

from tortoise import Tortoise

from ..contract import Adapter, Target
from ..models import Resource
from . import _tortoise_models as models


class TortoiseOrm(Adapter):
    name = "tortoise"
    backend = "sqlite"
    note = "on aiosqlite, one connection; create_many = bulk_create; streams by pages of the key (it has no cursor)"
    response_model = Resource

    async def open(self, target: Target, pool: int) -> None:
        credentials = {"file_path": target.database, "journal_mode": "WAL", "synchronous": "NORMAL"}
        await Tortoise.init(
            config={
                "connections": {"default": {"engine": "tortoise.backends.sqlite", "credentials": credentials}},
                "apps": {"models": {"models": [models.__name__], "default_connection": "default"}},
                "use_tz": True,
                "timezone": "UTC",
            },
            _enable_global_fallback=True,
        )

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def get(self, id: str) -> Any:
        return await models.ResourceRow.get_or_none(id=id)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        rows = models.ResourceRow.all()
        if active is not None:
            rows = models.ResourceRow.filter(active=active, rating__gte=min_rating)
        return await rows.order_by("-created_at").limit(limit)

    async def stream_users(self) -> Any:
        last = -1
        while page := await models.UserRow.filter(id__gt=last).order_by("id").limit(1000):
            for user in page:
                yield user
            last = page[-1].id

    async def insert(self, row: dict[str, Any]) -> None:
        await models.ResourceRow.create(**row)

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        await models.ResourceRow.bulk_create([models.ResourceRow(**row) for row in rows], batch_size=1000)

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await models.ResourceRow.filter(id=id).update(**changes)

    async def insert_user(self, row: dict[str, Any]) -> None:
        await models.UserRow.create(**row)


ADAPTERS = [TortoiseOrm]
