"""farm_db: repositories of documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import farm_db
from farm_db import Document, Field, Index

from ..contract import Adapter, Target


class Resource(Document, table="resources"):
    id: str = Field(primary_key=True)
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
        indexes = (Index("created_at"),)


class User(Document, table="users"):
    id: int = Field(primary_key=True)
    email: str = Field(unique=True)
    name: str
    active: bool
    created_at: datetime


async def create_tables(target: Target) -> None:
    """The tables as `ensure_schema` makes them."""
    async with farm_db.Database(target.url, models=[Resource, User]):
        pass


class FarmDb(Adapter):
    name = "farm_db"
    form = "farm"
    note = "repository API, models"
    response_model = Resource

    async def open(self, target: Target, pool: int) -> None:
        # SQLite's pool is left as it is by default: as many readers as processors.
        options = {} if self.backend == "sqlite" else {"max_size": pool}
        self.db = await farm_db.connect(target.url, models=[Resource, User], create_missing=False, **options)
        self.resources = self.db.repository(Resource)
        self.users = self.db.repository(User)

    async def close(self) -> None:
        await self.db.close()

    async def get(self, id: str) -> Any:
        return await self.resources.get(id)

    def _find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> Any:
        query = self.resources.find(sort="-created_at", limit=limit)
        if active is None or min_rating is None:
            return query
        return query.find(Resource.active == active, Resource.rating >= min_rating)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        rows: list[Any] = await self._find(limit, active, min_rating)
        return rows

    async def stream_users(self) -> Any:
        async for user in self.users.find(sort="id").stream():
            yield user

    async def insert(self, row: dict[str, Any]) -> Any:
        return await self.resources.create(row)

    async def create_many(self, rows: list[dict[str, Any]]) -> Any:
        return await self.resources.create_many(rows)

    async def update(self, id: str, changes: dict[str, Any]) -> Any:
        return await self.resources.update(id, changes)

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        async with self.db.transaction() as tx:
            row = await self.resources.get(id, tx=tx)
            await self.resources.update(id, changes, tx=tx)
        return row

    async def insert_user(self, row: dict[str, Any]) -> Any:
        return await self.users.create(row)

    async def json(self, limit: int) -> bytes:
        return bytes(await self._find(limit).json())


class FarmDbSqlite(FarmDb):
    backend = "sqlite"
    note = "repository API, models; SQLite's own pool"


class FarmDbPostgres(FarmDb):
    backend = "postgres"


class FarmDbMysql(FarmDb):
    backend = "mysql"


class FarmDbMongodb(FarmDb):
    backend = "mongodb"


class Json(FarmDb):
    name = "farm_db-json"
    note = "as farm_db, the HTTP list as the bytes of `find().json()`"
    only = frozenset({"http"})
    json_over_http = True


class JsonSqlite(Json):
    backend = "sqlite"


class JsonPostgres(Json):
    backend = "postgres"


class JsonMysql(Json):
    backend = "mysql"


class JsonMongodb(Json):
    backend = "mongodb"


ADAPTERS = [
    FarmDbSqlite,
    FarmDbPostgres,
    FarmDbMysql,
    FarmDbMongodb,
    JsonSqlite,
    JsonPostgres,
    JsonMysql,
    JsonMongodb,
]
