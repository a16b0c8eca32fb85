"""`DatabaseManager`: the founding documents' name for a `Database` that is made from a configuration dict."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from .configuration import Place
from .database import Database
from .errors import DatabaseClosedError
from .model import Document
from .transaction import Transaction


class DatabaseManager:
    """One database, made from a dict.

    Args:
        config: `url`; or `type` (`"sqlite"`) with `database` (a path). `models`, and everything else that `Database`
            takes, may stand beside them.

    Attributes:
        config: The dict.
        provider_type: The kind of database, where the dict names it.
        database: The `Database` behind it all.
        is_initialized: Whether it is connected.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.provider_type: str | None = self.config.get("type")
        del config
        place = _place(self.config)
        self.database = Database(place.url, **place.options)

    @property
    def models(self) -> list[type[Document]]:
        """The registered models."""
        return self.database.models

    @property
    def is_initialized(self) -> bool:
        """Whether it is connected."""
        return self.database.connected

    async def initialize(self) -> None:
        """Connects, checks the contract and creates what is missing; does nothing when it is connected."""
        await self.database.connect()

    async def shutdown(self) -> None:
        """Closes every connection; does nothing when it is closed."""
        await self.database.close()

    def register_model(self, model: type[Document]) -> None:
        """Adds a model; after `initialize`, `create_all_indexes` makes its table."""
        self.database.register_model(model)

    async def create_all_indexes(self) -> list[str]:
        """Creates missing tables and indexes of all models; returns a line for each."""
        return await self.database.ensure_schema()

    async def health_check(self) -> dict[str, Any]:
        """Whether the database answers; `{"status": "not_initialized", "connected": False}` before `initialize`."""
        if not self.is_initialized:
            return {"status": "not_initialized", "connected": False}
        return await self.database.health_check()

    async def get_stats(self) -> dict[str, Any]:
        """Counters and sizes; empty before `initialize`."""
        return await self.database.get_stats() if self.is_initialized else {}

    def transaction(
        self, isolation: str | None = None, read_only: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        """A transaction for a block; see `Database.transaction`."""
        return self.database.transaction(isolation, read_only)


_manager: DatabaseManager | None = None


async def init_database(config: Mapping[str, Any]) -> DatabaseManager:
    """Makes the manager of this process and connects it; an earlier one is shut down."""
    global _manager
    place = Place(None, config)
    del config
    manager = DatabaseManager(place.options)
    await manager.initialize()
    previous, _manager = _manager, manager
    if previous is not None:
        await previous.shutdown()
        # The shutdown took the models' bindings that both share.
        manager.database.bind()
    return manager


async def get_database_manager() -> DatabaseManager:
    """The manager that `init_database` made.

    Raises:
        DatabaseClosedError: if there is none, or it was shut down.
    """
    if _manager is None or not _manager.is_initialized:
        raise DatabaseClosedError("the database manager is not initialized: `await init_database({...})` first")
    return _manager


def _place(config: Mapping[str, Any]) -> Place:
    """The URL of a configuration and all the rest; no URL leaves it to the environment and pyproject.toml."""
    options = dict(config)
    url: str | None = options.pop("url", None)
    if url is None and options.get("type") == "sqlite" and options.get("database"):
        path = str(options.pop("database"))
        url = "sqlite::memory:" if path == ":memory:" else f"sqlite:///{quote(path)}"
    return Place(url, options)
