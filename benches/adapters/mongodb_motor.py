"""Motor: the same calls as pymongo's, in threads behind asyncio."""

from __future__ import annotations

from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient

from ..contract import Target
from .mongodb_pymongo import PROMISE, Pymongo, resource


class Motor(Pymongo):
    name = "motor"
    note = "threads behind asyncio (its makers have deprecated it), documents to Pydantic models"

    def connect(self, target: Target, pool: int) -> Any:
        return AsyncIOMotorClient(target.url, maxPoolSize=pool, tz_aware=True)

    async def close(self) -> None:
        self.client.close()

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with await self.client.start_session() as session, session.start_transaction(**PROMISE):
            found = await self.resources.find_one({"_id": id}, session=session)
            await self.resources.update_one({"_id": id}, {"$set": changes}, session=session)
        return resource(found)


ADAPTERS = [Motor]
