"""SQLAlchemy and SQLModel on asyncpg."""

from __future__ import annotations

from ._alchemy import SqlAlchemy, SqlModel


class OnPostgres(SqlAlchemy):
    backend = "postgres"
    scheme = "postgresql+asyncpg"
    note = "async ORM on asyncpg; create_many = bulk insert(Model)"


class SqlModelOnPostgres(SqlModel, OnPostgres):
    note = "AsyncSession on asyncpg; create_many = add_all and commit"


ADAPTERS = [OnPostgres, SqlModelOnPostgres]
