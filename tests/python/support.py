"""The models and small helpers that several test files share."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import farm_db
from farm_db import BaseDocument, Database, Document, FarmDbError, Field, Index

PACKAGE = Path(farm_db.__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent


class Stranger:
    """A type that no database knows."""

    def __repr__(self) -> str:
        return "Stranger()"


class Address(BaseModel):
    city: str
    street: str | None = None
    numbers: list[int] = []


class Resource(Document, table="resources"):
    id: str = Field(primary_key=True)
    name: str = Field(max_length=100, index=True)
    rating: float | None = Field(default=None, ge=0, le=5)
    stock: int = 0
    tags: list[str] = Field(default=[], index=True)
    address: Address | None = None
    attributes: dict[str, Any] = {}
    made_at: datetime | None = None


class Counter(Document, table="counters"):
    """A key that the database counts."""

    id: int | None = Field(default=None, primary_key=True, generated="auto_increment")
    value: int = 0


class Seat(Document, table="seats"):
    """A composite key."""

    row: int = Field(primary_key=True)
    place: str = Field(primary_key=True)
    guest: str | None = None


class User(Document, table="users"):
    id: int = Field(primary_key=True)
    email: str = Field(unique=True)
    name: str = Field(default="", max_length=20)


class Article(BaseDocument, table="articles"):
    """All the mixins."""

    slug: str = Field(unique=True, max_length=50)
    title: str = ""
    views: int = 0

    class Settings:
        indexes = [Index("title", "-views")]


MODELS: list[type[Document]] = [Resource, Counter, Seat, User, Article]


@asynccontextmanager
async def opened(url: str, models: list[type[Document]] | None = None, **options: Any) -> AsyncGenerator[Database]:
    async with Database(url, models=MODELS if models is None else models, **options) as database:
        yield database


async def make_users(place: str, **options: Any) -> None:
    """A superuser `root`, and `ann`, who is a user of `people` and may write into `app`, on a MongoDB that has none.

    Args:
        place: The server's URL without a database.
        options: How its certificate is looked at.
    """
    # The first user may be made by anyone on the machine.
    async with Database(f"{place}admin", models=[], contract="off", tls=True, **options) as admin:
        await admin.execute({"createUser": "root", "pwd": "secret", "roles": ["root"]})
    root = place.replace("mongodb://", "mongodb://root:secret@") + "people?authSource=admin"
    async with Database(root, models=[], contract="off", tls=True, **options) as people:
        roles = [{"role": "readWrite", "db": "app"}, {"role": "clusterMonitor", "db": "admin"}]
        await people.execute({"createUser": "ann", "pwd": "secret", "roles": roles})


async def failure(awaitable: Awaitable[Any]) -> FarmDbError:
    """The typed error that `awaitable` must raise."""
    try:
        outcome = await awaitable
    except FarmDbError as error:
        return error
    raise AssertionError(f"expected an error, got {outcome!r}")


def environment() -> dict[str, str]:
    """The environment in which a new interpreter finds the package and these helpers."""
    paths = [str(PACKAGE), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run_python(code: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """A new interpreter that runs `code`."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment(), check=False)


@asynccontextmanager
async def pauses() -> AsyncGenerator[list[float]]:
    """How long the loop was busy with others each time, in seconds."""
    found: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            found.append(time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    try:
        yield found
    finally:
        watching.cancel()


async def eventually(condition: Callable[[], bool], within: float = 5.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = asyncio.get_running_loop().time() + within
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True
