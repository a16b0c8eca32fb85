"""The databases that the tests of every backend run against, and an empty one of each for a test.

The servers' URLs come from the environment, into which `scripts/servers.py` puts them; a missing one is an error, so
that no backend goes untested unnoticed.
"""

from __future__ import annotations

import asyncio
import functools
import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from farm_db import Database, _native

#: Every backend that there is.
BACKENDS = ("sqlite", "postgres", "mysql", "mongodb")

#: Where the URL of each server stands.
VARIABLES = {
    "postgres": "FARM_TEST_POSTGRES_URL",
    "mysql": "FARM_TEST_MYSQL_URL",
    "mongodb": "FARM_TEST_MONGODB_URL",
}


@functools.cache
def capabilities(backend: str) -> dict[str, Any]:
    """What a backend declares; nothing is opened."""
    place = "sqlite::memory:" if backend == "sqlite" else f"{backend}://localhost/none"
    return dict(_native.Engine(place, {}, '{"version": 1, "entities": []}').capabilities)


def server_url(backend: str) -> str:
    """The URL of the server that this run may fill with databases."""
    variable = VARIABLES[backend]
    url = os.environ.get(variable)
    if not url:
        raise RuntimeError(f"{variable} is not set: run the tests by `make test` or `scripts/servers.py -- COMMAND`")
    return url


async def execute(url: str, *statements: Any) -> None:
    """Executes native statements, each by itself."""
    async with Database(url, models=[], contract="off") as database:
        for statement in statements:
            await database.execute(statement)


@contextmanager
def temporary_url(backend: str, folder: Path) -> Generator[str]:
    """The URL of an empty database, which is gone afterwards."""
    assert backend in BACKENDS, backend
    if backend == "sqlite":
        yield f"sqlite:///{folder / 'app.db'}"
        return
    server, name = server_url(backend), f"farm_{uuid.uuid4().hex}"
    if backend == "mongodb":
        url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        try:
            yield url
        finally:
            asyncio.run(execute(url, {"dropDatabase": 1}))
        return
    if backend == "mysql":
        asyncio.run(execute(server, f"CREATE DATABASE {name}"))
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            asyncio.run(execute(server, f"DROP DATABASE IF EXISTS {name}"))
        return
    try:
        # A schema, because a whole database takes ten times as long to make.
        yield f"{server}?schema={name}"
    finally:
        asyncio.run(execute(server, f"DROP SCHEMA IF EXISTS {name} CASCADE"))
