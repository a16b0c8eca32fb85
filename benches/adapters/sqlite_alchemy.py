"""SQLAlchemy and SQLModel on aiosqlite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from ._alchemy import SqlAlchemy, SqlModel


class OnSqlite(SqlAlchemy):
    backend = "sqlite"
    scheme = "sqlite+aiosqlite"
    note = "async ORM on aiosqlite, pool of 4; create_many = bulk insert(Model)"

    def make_engine(self, url: str, pool: int) -> Any:
        engine = create_async_engine(url, pool_size=min(pool, 4), max_overflow=0, connect_args={"timeout": 30})

        @event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.close()

        return engine


class SqlModelOnSqlite(SqlModel, OnSqlite):
    note = "AsyncSession on aiosqlite, pool of 4; create_many = add_all and commit"


ADAPTERS = [OnSqlite, SqlModelOnSqlite]
