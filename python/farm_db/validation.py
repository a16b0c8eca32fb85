"""Reads that run the validators: what `Database(validate_on_read=True)` puts between a repository and the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from .records import validated
from .relation import loaded_of
from .values import deep_contents

if TYPE_CHECKING:
    from . import _native
    from .model import Document

#: The verbs whose reply holds rows.
_ROWS = frozenset(
    {
        "get_or_none",
        "get_many",
        "find",
        "find_one",
        "update",
        "replace",
        "upsert",
        "restore",
        "find_one_and_update",
    }
)


class Validating:
    """A native repository whose rows are validated as if they came from a stranger."""

    def __init__(self, native: _native.Repository, model: type[Document]) -> None:
        self._native = native
        self._model = model
        self.json = native.json
        self.dicts = native.dicts

    async def get(self, id: Any, tx: _native.Transaction | None) -> Any:
        """`get`, validated."""
        found = self._native.get(id, tx)
        try:
            return self._row(found if found.__class__ is self._model else await found)
        finally:
            # It keeps its error, which keeps this frame.
            del found

    def create_many(self, records: Iterable[Any], tx: _native.Transaction | None) -> ValidatingCreation:
        """`create_many`, validated."""
        return ValidatingCreation(self._native.create_many(records, tx), self)

    async def call(self, verb: str, arguments: Mapping[str, Any], tx: _native.Transaction | None) -> Any:
        """Any verb; the rows of its reply validated, unless only some fields were asked for."""
        reply = await self._native.call(verb, arguments, tx)
        if verb == "page":
            rows, cursor = reply
            return [self._row(row) for row in rows], cursor
        if verb not in _ROWS or "fields" in arguments:
            return reply
        return [self._row(row) for row in reply] if isinstance(reply, list) else self._row(reply)

    def stream(self, query: Mapping[str, Any], batch: int, tx: _native.Transaction | None) -> ValidatingStream:
        """`stream`, validated."""
        return ValidatingStream(self._native.stream(query, batch, tx), self)

    def _row(self, row: Any) -> Any:
        return _checked(row) if isinstance(row, BaseModel) else row


def _checked(row: Any) -> Any:
    """The row validated, and the related rows that it was read with."""
    checked = validated(type(row), deep_contents(row))
    for name, rows in loaded_of(row):
        one_or_all = [_checked(one) for one in rows] if isinstance(rows, list) else rows and _checked(rows)
        checked.__dict__[name] = one_or_all
    return checked


class ValidatingCreation:
    """Created rows that are validated in the end."""

    def __init__(self, native: _native.Creation, repository: Validating) -> None:
        self._native = native
        self._repository = repository
        self.take, self.room, self.undo, self.close = native.take, native.room, native.undo, native.close

    async def insert(self) -> list[Any] | None:
        """The rows, where they are known only now."""
        return self._checked(await self._native.insert())

    def rows(self) -> list[Any] | None:
        """The rows."""
        return self._checked(self._native.rows())

    def _checked(self, rows: list[Any] | None) -> list[Any] | None:
        return None if rows is None else [self._repository._row(row) for row in rows]


class ValidatingStream:
    """A native stream whose rows are validated."""

    def __init__(self, native: _native.Stream, repository: Validating) -> None:
        self._native = native
        self._repository = repository
        self.close = native.close

    async def next(self) -> list[Any] | None:
        """The next batch; None at the end."""
        batch = await self._native.next()
        return None if batch is None else [self._repository._row(row) for row in batch]
