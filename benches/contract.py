"""What a contender provides: a subclass of `Adapter`, listed in the `ADAPTERS` of a module in `adapters/`.

The same instance is opened, closed and opened again on another database, so everything that belongs to a connection is
made in `open`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import SplitResult, unquote, urlsplit

from .data import RESOURCE_FIELDS, USER_FIELDS


@dataclass(frozen=True)
class Target:
    """Where the rows are."""

    backend: str
    #: The name of the database; for SQLite the path of the file.
    database: str
    #: The whole of it, as every library takes it.
    url: str

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        return self._parts.hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        return self._parts.port or {"postgres": 5432, "mysql": 3306, "mongodb": 27017}[self.backend]

    @property
    def user(self) -> str:
        return unquote(self._parts.username or "")

    @property
    def password(self) -> str:
        return unquote(self._parts.password or "")

    def to_dict(self) -> dict[str, Any]:
        """For a worker; those on Node have no use for the rest."""
        parts = {} if self.backend == "sqlite" else {"host": self.host, "port": self.port}
        return {**asdict(self), **parts, "user": self.user, "password": self.password}

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Target:
        return cls(raw["backend"], raw["database"], raw["url"])


class Adapter:
    """One library, used as its documentation says. Reads return model objects."""

    name: ClassVar[str]
    backend: ClassVar[str]
    #: One line for the report: how the library is used.
    note: ClassVar[str] = ""
    #: How the tables are made: each library is given columns that its users would make. See `backends/`.
    form: ClassVar[str] = "plain"
    #: The groups to take part in; empty for all.
    only: ClassVar[frozenset[str]] = frozenset()
    #: The Pydantic model of a response.
    response_model: Any = None
    #: Whether FastAPI is to use the aliases of that model, as it does unless told otherwise.
    response_by_alias: ClassVar[bool] = True

    async def open(self, target: Target, pool: int) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    async def get(self, id: str) -> Any:
        raise NotImplementedError

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        """Newest first by created_at. Both filters are given, or neither."""
        raise NotImplementedError

    def stream_users(self) -> AsyncIterator[Any]:
        """All users in the order of their ids, in bounded memory where the library can."""
        raise NotImplementedError

    async def insert(self, row: dict[str, Any]) -> Any:
        raise NotImplementedError

    async def create_many(self, rows: list[dict[str, Any]]) -> Any:
        raise NotImplementedError

    async def update(self, id: str, changes: dict[str, Any]) -> Any:
        raise NotImplementedError

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        """One transaction: get by id, update of that row, commit. Returns the row as it was read."""
        raise NotImplementedError

    async def insert_user(self, row: dict[str, Any]) -> Any:
        """Must raise where the e-mail is taken."""
        raise NotImplementedError

    async def json(self, limit: int) -> bytes:
        """The newest rows as a JSON body; by way of the response model unless the library can do better."""
        rows = self._list.validate_python(await self.find(limit), from_attributes=True)
        return bytes(self._list.dump_json(rows))

    #: Whether the HTTP list answers with the bytes of `json` instead of models.
    json_over_http: ClassVar[bool] = False

    @cached_property
    def _list(self) -> Any:
        from pydantic import TypeAdapter

        return TypeAdapter(list[self.response_model])  # type: ignore[name-defined]

    def plain(self, row: Any) -> dict[str, Any]:
        """A row as a dict, for the check of equality."""
        fields = RESOURCE_FIELDS if hasattr(row, "rating") else USER_FIELDS
        return {field: getattr(row, field) for field in fields}
