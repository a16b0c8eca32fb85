"""The databases that the tests of every backend run against, and an empty one of each for a test."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from farm_db import Database

#: Backends by their names, with the variable that names a private server of it; SQLite needs none.
SERVERS = {"mongodb": "FARM_TEST_MONGODB_URL", "postgres": "FARM_TEST_POSTGRES_URL"}
BACKENDS = ("sqlite", *SERVERS)


def server_url(backend: str) -> str:
    """Where the private server of a backend listens."""
    variable = SERVERS[backend]
    url = os.environ.get(variable)
    assert url, f"{variable} is not set: run the tests by `make test`, or under `python3 scripts/servers.py -- COMMAND`"
    return url


@contextmanager
def temporary_url(backend: str, folder: Path) -> Generator[str]:
    """The URL of an empty database, which is dropped afterwards."""
    if backend == "sqlite":
        yield f"sqlite:///{folder / 'app.db'}"
        return
    server, name = server_url(backend), f"farm_{uuid.uuid4().hex[:16]}"
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    if backend == "mongodb":
        # MongoDB makes a database when something is first written to it.
        yield url
        asyncio.run(_execute(url, {"dropDatabase": 1}))
        return
    asyncio.run(_execute(server, f'CREATE DATABASE "{name}"'))
    yield url
    asyncio.run(_execute(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _execute(url: str, statement: Any) -> None:
    async with Database(url, contract="off", create_missing=False) as database:
        await database.execute(statement)
