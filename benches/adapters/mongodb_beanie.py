"""Beanie's documents on pymongo's asynchronous client."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from beanie import Document, init_beanie
from beanie.operators import Set
from pymongo import AsyncMongoClient

from ..contract import Adapter, Target
from .mongodb_pymongo import PROMISE

SET: Any = Set


class ResourceDocument(Document):
    id: str  # type: ignore[assignment]
    name: str
    description: str
    dependencies: list[str]
    tags: list[str]
    metadata: dict[str, Any]
    rating: float
    active: bool
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "resources"


class UserDocument(Document):
    id: int  # type: ignore[assignment]
    email: str
    name: str
    active: bool
    created_at: datetime

    class Settings:
        name = "users"


class Beanie(Adapter):
    name = "beanie"
    backend = "mongodb"
    note = "documents on AsyncMongoClient; update = find_one(id).update(Set); create_many = insert_many"
    response_model = ResourceDocument
    response_by_alias = False  # `id`, not `_id`

    async def open(self, target: Target, pool: int) -> None:
        self.client: Any = AsyncMongoClient(target.url, maxPoolSize=pool, tz_aware=True)
        await init_beanie(database=self.client[target.database], document_models=[ResourceDocument, UserDocument])

    async def close(self) -> None:
        await self.client.close()

    async def get(self, id: str) -> Any:
        return await ResourceDocument.get(id)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        rows = ResourceDocument.find_all()
        if active is not None and min_rating is not None:
            rows = ResourceDocument.find(ResourceDocument.active == active, ResourceDocument.rating >= min_rating)
        return await rows.sort("-created_at").limit(limit).to_list()

    async def stream_users(self) -> Any:
        async for user in UserDocument.find_all(batch_size=1000).sort("_id"):
            yield user

    async def insert(self, row: dict[str, Any]) -> None:
        await ResourceDocument(**row).insert()

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        await ResourceDocument.insert_many([ResourceDocument(**row) for row in rows])

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await ResourceDocument.find_one(ResourceDocument.id == id).update(SET(changes))

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.client.start_session() as session, await session.start_transaction(**PROMISE):
            row = await ResourceDocument.get(id, session=session)
            one = ResourceDocument.find_one(ResourceDocument.id == id, session=session)
            await one.update(SET(changes), session=session)
        return row

    async def insert_user(self, row: dict[str, Any]) -> None:
        await UserDocument(**row).insert()


ADAPTERS = [Beanie]
