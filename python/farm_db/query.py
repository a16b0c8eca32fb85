"""`Query`: a find that runs when it is awaited or iterated over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar

from pydantic_core import PydanticSerializationError

from .errors import InvalidQueryError
from .expression import Column, FilterLike, SortKey, compile_filters
from .filters import Fields, sort_of
from .relation import json_of
from .values import shown

if TYPE_CHECKING:
    from . import _native
    from .model import Document
    from .repository import Repository
    from .transaction import Transaction

M = TypeVar("M", bound="Document")

#: One part of an order: `"-created_at"`, `("created_at", -1)`, `-col(Resource.created_at)`.
SortPart: TypeAlias = str | SortKey | Column[Any] | tuple[str, int]
#: An order: one part or several.
SortLike: TypeAlias = SortPart | Sequence[SortPart] | Mapping[str, int]


#: A relation by its name or path, or `Post.author`.
Related: TypeAlias = str | Column[Any] | type[Any]


def paths_of(names: Iterable[Any]) -> tuple[str, ...]:
    """Names, paths and columns as paths.

    Raises:
        InvalidQueryError: if one is none of these.
    """
    paths = tuple(name._sort_key if isinstance(name, Column) else name for name in names)
    for path in paths:
        if not isinstance(path, str):
            raise InvalidQueryError(f'expected a name such as "author", got {shown(path)}')
    return paths


class Query(Generic[M]):
    """A lazy query; every method that narrows it returns a new one.

    `await query` gives the list of models, `async for row in query` streams them.
    """

    __slots__ = (
        "_deleted",
        "_fields",
        "_filters",
        "_include",
        "_limit",
        "_repository",
        "_search",
        "_skip",
        "_sort",
        "_tx",
    )

    def __init__(
        self,
        repository: Repository[M],
        filters: tuple[FilterLike, ...] = (),
        *,
        sort: SortLike | None = None,
        limit: int | None = None,
        skip: int | None = None,
        tx: Transaction | None = None,
    ) -> None:
        self._repository = repository
        self._filters = filters
        self._sort: tuple[Any, ...] = () if sort is None else (sort,)
        self._limit = limit
        self._skip = skip
        self._fields: tuple[str, ...] = ()
        self._include: tuple[str, ...] = ()
        self._deleted = False
        self._search: str | None = None
        self._tx = tx

    # Narrowing.

    def find(self, *filters: FilterLike) -> Self:
        """The same, and every one of these filters holds."""
        return self._with(_filters=self._filters + filters)

    def search(self, text: str) -> Self:
        """Only the rows that have every word of the text; the best first unless there is a sort.

        Raises:
            InvalidQueryError: if it is no text.
        """
        if not isinstance(text, str):
            raise InvalidQueryError(f"a search is a text, got {type(text).__name__}")
        return self._with(_search=text)

    def sort(self, *keys: SortLike) -> Self:
        """Ordered by these keys after those given before; `-` is from large to small."""
        return self._with(_sort=self._sort + keys)

    def limit(self, count: int | None) -> Self:
        """At most this many rows."""
        return self._with(_limit=count)

    def skip(self, count: int | None) -> Self:
        """Without this many rows at the start."""
        return self._with(_skip=count)

    def fields(self, *names: str | Column[Any]) -> Self:
        """Only these fields are read; other attributes of the models are not set."""
        return self._with(_fields=self._fields + paths_of(names))

    def include(self, *relations: Related) -> Self:
        """With the rows at the other end of these relations: `"author"`, `Post.author`, `"author.company"`.

        Each costs one statement (two for many-to-many), however many rows there are. They stand on the instances under
        the relation's name. Not for `stream`.
        """
        return self._with(_include=self._include + paths_of(relations))

    def include_deleted(self) -> Self:
        """Soft-deleted rows too."""
        return self._with(_deleted=True)

    def _with(self, **changes: Any) -> Self:
        query = object.__new__(type(self))
        for name in Query.__slots__:
            setattr(query, name, changes[name] if name in changes else getattr(self, name))
        return query

    # Running.

    def __await__(self) -> Generator[Any, None, list[M]]:
        return self.to_list().__await__()

    def __aiter__(self) -> AsyncIterator[M]:
        return self.stream()

    async def to_list(self) -> list[M]:
        """All rows."""
        rows: list[M] = await self._verbs.call("find", self.to_query(), self._tx_native)
        return rows

    async def first(self) -> M | None:
        """The first row, or None."""
        row: M | None = await self._verbs.call("find_one", self.to_query(), self._tx_native)
        return row

    async def count(self) -> int:
        """How many rows there are, within `limit` and `skip`."""
        count: int = await self._verbs.call("count", self._without("sort", "fields", "include"), self._tx_native)
        return count

    async def exists(self) -> bool:
        """Whether there is any row."""
        found: bool = await self._verbs.call("exists", self._without("sort", "fields", "include"), self._tx_native)
        return found

    async def json(self, *, by_alias: bool | None = None) -> bytes:
        """All rows as a JSON array, printed as Pydantic prints the models; the fast way into an HTTP response.

        Args:
            by_alias: As for `model_dump_json`: True for the aliases of fields, False for their names, None for what the
                models' `serialize_by_alias` says, which is the fast way where there are aliases.

        Raises:
            InvalidQueryError: if what is read is less than the models need to be printed.
            InvalidValueError: if there are bytes that are not UTF-8, which JSON cannot hold.
        """
        entity = self._repository.entity
        printed = [entity, *(one for path in self._include for one in entity.along(path))]
        if all(one.prints_plainly and (by_alias is None or not one.has_aliases) for one in printed):
            return await self._verbs.json(self.to_query(), self._tx_native)
        return b"[" + b",".join(self._lines(await self.to_list(), by_alias)) + b"]"

    async def ndjson(self, batch: int = 256, *, by_alias: bool | None = None) -> AsyncGenerator[bytes]:
        """The rows as lines of JSON, some lines at a time: `application/x-ndjson`, for answers of any length.

        Memory holds one batch, and one connection is held until it ends or is closed. `farm_db.fastapi.NDJSONResponse`
        answers with it.

        Args:
            batch: How many rows are read, and lines given, at a time.
            by_alias: As for `json`.

        Raises:
            InvalidQueryError: if what is read is less than the models need to be printed, or bytes are not UTF-8.
            UnsupportedError: if relations are included.
        """
        rows = self._verbs.stream(self.to_query(), batch, self._tx_native)
        try:
            while (chunk := await rows.next()) is not None:
                yield b"\n".join([*self._lines(chunk, by_alias), b""])
        finally:
            rows.close()

    def _lines(self, rows: list[M], by_alias: bool | None) -> list[bytes]:
        """Each row as Pydantic prints it."""
        one = json_of if self._include else self._repository.model.__pydantic_serializer__.to_json
        try:
            return [one(row, by_alias=by_alias) for row in rows]
        except PydanticSerializationError as error:
            name = self._repository.model.__name__
            raise InvalidQueryError(f"these rows cannot be printed as {name}: {error}") from error

    async def dicts(self) -> list[dict[str, Any]]:
        """All rows as dicts of attribute name to Python value; nested models as dicts too."""
        return await self._verbs.dicts(self.to_query(), self._tx_native)

    async def stream(self, batch: int = 256) -> AsyncIterator[M]:
        """The rows one by one, read in batches; holds one connection until it ends or is closed.

        Args:
            batch: How many rows are read at a time.
        """
        rows = self._verbs.stream(self.to_query(), batch, self._tx_native)
        try:
            while (chunk := await rows.next()) is not None:
                for row in chunk:
                    yield row
        finally:
            rows.close()

    async def explain(self) -> dict[str, Any]:
        """How the database would answer: the statement, what the core filters itself, which index is used."""
        plan: dict[str, Any] = await self._verbs.call("explain", self._without("include"), self._tx_native)
        return plan

    def to_query(self) -> dict[str, Any]:
        """The query as the core takes it (ARCHITECTURE.md, "Verbs"), with stored names.

        Raises:
            InvalidQueryError: if a part of it is malformed.
        """
        entity = self._repository.entity
        query: dict[str, Any] = {}
        if self._filters:
            query["filter"] = compile_filters(self._filters, entity.scope)
        if self._search is not None:
            query["search"] = self._search
        if self._sort and (sort := self._sort_keys(entity.fields)):
            query["sort"] = sort
        if self._limit is not None:
            query["limit"] = _count("limit", self._limit)
        if self._skip is not None:
            query["skip"] = _count("skip", self._skip)
        if self._fields:
            query["fields"] = [entity.stored_name(name) for name in self._fields]
        if self._deleted:
            query["deleted"] = True
        if self._include:
            query["include"] = list(self._include)
        return query

    def _sort_keys(self, fields: Fields) -> list[str]:
        try:
            return sort_of(self._sort_parts(), fields)
        except RecursionError:
            raise InvalidQueryError("a sort is nested too deep, or holds itself") from None

    def _sort_parts(self) -> list[Any]:
        """The sort keys in a row; a pair of name and direction stays together."""
        parts: list[Any] = []
        for key in self._sort:
            if isinstance(key, str):
                parts.append(key)
                continue
            is_list = isinstance(key, (list, tuple)) and not (len(key) == 2 and key[1] in (1, -1))
            parts += key if is_list else [key]
        return parts

    def _without(self, *names: str) -> dict[str, Any]:
        return {name: value for name, value in self.to_query().items() if name not in names}

    @property
    def _verbs(self) -> _native.Repository:
        return self._repository._native

    @property
    def _tx_native(self) -> _native.Transaction | None:
        return None if self._tx is None else self._tx._native

    def __repr__(self) -> str:
        return f"<Query of {self._repository.model.__name__} {self.to_query()}>"


def _count(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise InvalidQueryError(f"{name} must be a number from 0, got {shown(value)}")
