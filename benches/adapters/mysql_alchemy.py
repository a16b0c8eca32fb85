"""SQLAlchemy on asyncmy."""

from __future__ import annotations

from ._alchemy import SqlAlchemy


class OnMysql(SqlAlchemy):
    backend = "mysql"
    scheme = "mysql+asyncmy"
    note = "async ORM on asyncmy; create_many = bulk insert(Model)"


ADAPTERS = [OnMysql]
