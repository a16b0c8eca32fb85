"""Tortoise ORM on asyncpg."""

from __future__ import annotations

from typing import Any

from ..contract import Target
from . import _tortoise_arrays
from ._tortoise import TortoiseOrm


class OnPostgres(TortoiseOrm):
    backend = "postgres"
    note = "on asyncpg; create_many = bulk_create; streams by pages of the key (it has no cursor)"
    models = _tortoise_arrays

    def connection(self, target: Target, pool: int) -> dict[str, Any]:
        credentials = {
            "host": target.host,
            "port": target.port,
            "user": target.user,
            "password": target.password,
            "database": target.database,
            "minsize": 1,
            "maxsize": pool,
        }
        return {"engine": "tortoise.backends.asyncpg", "credentials": credentials}


ADAPTERS = [OnPostgres]
