"""pymongo's asynchronous client."""

from __future__ import annotations

from typing import Any

from pymongo import AsyncMongoClient, WriteConcern
from pymongo.read_concern import ReadConcern

from ..contract import Adapter, Target
from ..models import Resource, User

#: What farm_db's transactions promise, and MongoDB's manual advises: most members have what was committed.
PROMISE: Any = {"read_concern": ReadConcern("snapshot"), "write_concern": WriteConcern("majority")}


def document(row: dict[str, Any]) -> dict[str, Any]:
    return {"_id" if name == "id" else name: value for name, value in row.items()}


def resource(found: dict[str, Any]) -> Resource:
    return Resource(id=found.pop("_id"), **found)


def user(found: dict[str, Any]) -> User:
    return User(id=found.pop("_id"), **found)


class Pymongo(Adapter):
    name = "pymongo"
    backend = "mongodb"
    note = "AsyncMongoClient, documents to Pydantic models; create_many = insert_many"
    response_model = Resource

    def connect(self, target: Target, pool: int) -> Any:
        return AsyncMongoClient(target.url, maxPoolSize=pool, tz_aware=True)

    async def open(self, target: Target, pool: int) -> None:
        self.client = self.connect(target, pool)
        self.resources = self.client[target.database].resources
        self.users = self.client[target.database].users

    async def close(self) -> None:
        await self.client.close()

    async def get(self, id: str) -> Any:
        found = await self.resources.find_one({"_id": id})
        return found and resource(found)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        where = {} if active is None else {"active": active, "rating": {"$gte": min_rating}}
        found = await self.resources.find(where).sort("created_at", -1).limit(limit).to_list(None)
        return [resource(one) for one in found]

    async def stream_users(self) -> Any:
        async for found in self.users.find().sort("_id", 1).batch_size(1000):
            yield user(found)

    async def insert(self, row: dict[str, Any]) -> None:
        await self.resources.insert_one(document(row))

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        await self.resources.insert_many([document(row) for row in rows], ordered=False)

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        await self.resources.update_one({"_id": id}, {"$set": changes})

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.client.start_session() as session, await session.start_transaction(**PROMISE):
            found = await self.resources.find_one({"_id": id}, session=session)
            await self.resources.update_one({"_id": id}, {"$set": changes}, session=session)
        return resource(found)

    async def insert_user(self, row: dict[str, Any]) -> None:
        await self.users.insert_one(document(row))


class PymongoTransaction(Pymongo):
    name = "pymongo-transaction"
    note = "as pymongo, create_many in one transaction: all rows or none, as the others' databases do it and farm_db"
    only = frozenset({"create_many"})

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        async with self.client.start_session() as session, await session.start_transaction(**PROMISE):
            await self.resources.insert_many([document(row) for row in rows], ordered=False, session=session)


ADAPTERS = [Pymongo, PymongoTransaction]
