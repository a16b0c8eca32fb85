"""Tortoise ORM on aiosqlite."""

from __future__ import annotations

from typing import Any

from ..contract import Target
from . import _tortoise_json
from ._tortoise import TortoiseOrm


class OnSqlite(TortoiseOrm):
    backend = "sqlite"
    note = "on aiosqlite, one connection; create_many = bulk_create; streams by pages of the key (it has no cursor)"
    models = _tortoise_json

    def connection(self, target: Target, pool: int) -> dict[str, Any]:
        credentials = {"file_path": target.database, "journal_mode": "WAL", "synchronous": "NORMAL"}
        return {"engine": "tortoise.backends.sqlite", "credentials": credentials}


ADAPTERS = [OnSqlite]
