"""Databases for tests: one per test, gone afterwards. The pytest plugin gives the same as the fixture `farm_db`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from .configuration import Place
from .database import Database
from .model import Document


@asynccontextmanager
async def temporary_database(
    models: Iterable[type[Document]] = (),
    url: str | None = None,
    *,
    directory: str | Path | None = None,
    **options: Any,
) -> AsyncGenerator[Database]:
    """A connected database with these models, closed at the end of the block.

    Args:
        models: The models.
        url: A database of your own; without it a new SQLite file is made, and removed at the end.
        directory: Where that file is put and stays; a temporary directory unless told.
        **options: Everything else that `Database` takes.
    """
    with tempfile.TemporaryDirectory(prefix="farm-db-") as temporary:
        folder = Path(directory or temporary)
        place = Place(url or f"sqlite:///{folder / 'test.db'}", options)
        del url, options
        database = Database(place.url, models=models, **place.options)
        async with database:
            yield database
