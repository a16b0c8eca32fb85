"""`Repository`: the verbs of one model. Each is one call of the native module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .current_user import get_current_user
from .entity import Entity, entity_of
from .errors import DatabaseClosedError, InvalidQueryError, NotFoundError, VersionConflictError
from .expression import Column, FilterLike, compile_filters
from .filters import array_filters_of, listed, mapped, update_of
from .mixins import AuditMixin
from .page import Page
from .query import Query, Related, SortLike, paths_of
from .records import changes_of, created, record_of, records_of
from .selection import ALL, ArrayFilters, Data, Selection

if TYPE_CHECKING:
    from . import _native
    from .model import Document
    from .transaction import Transaction

M = TypeVar("M", bound="Document")


class _Closed:
    """Stands for the native repository while the database is not connected."""

    def __init__(self, model: type) -> None:
        self._model = model

    def __getattr__(self, verb: str) -> Any:
        name = self._model.__name__
        message = f"the database of {name} is not connected: `await db.connect()` or `async with db` first"
        raise DatabaseClosedError(message, {"model": name})


class Repository(Generic[M]):
    """The verbs of one model; made by `Database.repository(Model)`.

    Every verb takes `tx=`, a `Transaction`. A repository is also a FastAPI dependency: `Depends(db.repository(Model))`.
    """

    __slots__ = ("__weakref__", "_native", "entity", "model", "name")

    def __init__(self, model: type[M], name: str) -> None:
        self.model = model
        self.name = name
        self.entity: Entity = entity_of(model)
        self._native: _native.Repository
        self.detach()

    def attach(self, native: _native.Repository) -> None:
        """Connects the verbs to an open database."""
        self._native = native

    def detach(self) -> None:
        """From now on every verb raises DatabaseClosedError."""
        self._native = cast("_native.Repository", _Closed(self.model))

    async def __call__(self) -> Repository[M]:
        """Itself; this is what makes it a FastAPI dependency (async, so that it needs no thread)."""
        return self

    def __repr__(self) -> str:
        return f"<Repository of {self.model.__name__} in {self.name!r}>"

    # Reading.

    # Not keyword-only as elsewhere: CPython looks the defaults of those up in a dict, which is 2 % of a get by SQLite.
    async def get(self, id: Any, include: Sequence[Related] = (), tx: Transaction | None = None) -> M:
        """The row with this key (a dict of its fields where the key has several).

        Args:
            id: The key.
            include: Relations whose rows are loaded too; see `Query.include`.
            tx: The transaction to read in.

        Raises:
            NotFoundError: if there is none, or it is soft-deleted.
        """
        row: M
        if include:
            row = await self._call("get", {"id": self.entity.stored_key(id), "include": paths_of(include)}, tx)
            return row
        found = self._native.get(id, None if tx is None else tx._native)
        try:
            # What is there at once needs no awaiting.
            row = found if type(found) is self.model else await found
        finally:
            # It keeps its error, which keeps this frame.
            del found
        return row

    async def get_or_none(self, id: Any, *, include: Sequence[Related] = (), tx: Transaction | None = None) -> M | None:
        """The row with this key, or None."""
        arguments = {"id": self.entity.stored_key(id), "include": paths_of(include)}
        row: M | None = await self._call("get_or_none", arguments, tx)
        return row

    async def get_many(
        self, ids: Iterable[Any], *, include: Sequence[Related] = (), tx: Transaction | None = None
    ) -> list[M]:
        """The rows with these keys in their order; missing ones are left out."""
        arguments = {"ids": [self.entity.stored_key(id) for id in listed("ids", ids)], "include": paths_of(include)}
        rows: list[M] = await self._call("get_many", arguments, tx)
        return rows

    def find(
        self,
        *filters: FilterLike,
        sort: SortLike | None = None,
        limit: int | None = None,
        skip: int | None = None,
        fields: Sequence[str | Column[Any]] = (),
        include: Sequence[Related] = (),
        tx: Transaction | None = None,
    ) -> Query[M]:
        """A lazy query of the rows that satisfy every filter; await it, or go on narrowing it.

        Args:
            *filters: Expressions or dicts of the operator language.
            sort: `"-created_at"`, or several such keys.
            limit: At most this many rows.
            skip: Without this many rows at the start.
            fields: Only these fields are read.
            include: Relations whose rows are loaded too; see `Query.include`.
            tx: The transaction to read in.
        """
        query = Query(self, filters, sort=sort, limit=limit, skip=skip, tx=tx)
        query = query.fields(*listed("fields", fields)) if fields else query
        return query.include(*listed("include", include)) if include else query

    def search(
        self,
        text: str,
        *filters: FilterLike,
        sort: SortLike | None = None,
        limit: int | None = None,
        skip: int | None = None,
        fields: Sequence[str | Column[Any]] = (),
        tx: Transaction | None = None,
    ) -> Query[M]:
        """A lazy query of the rows that have every word of the text and satisfy every filter, the best first.

        A word is a run of letters, digits and accents, whole and in any case. The model says by `Settings.search` which
        fields are looked at.

        Args:
            text: The words; a text without any finds nothing.
            *filters: As for `find`.
            sort: An order instead of the database's ranking.
            limit: At most this many rows.
            skip: Without this many rows at the start.
            fields: Only these fields are read.
            tx: The transaction to read in.
        """
        return self.find(*filters, sort=sort, limit=limit, skip=skip, fields=fields, tx=tx).search(text)

    async def find_one(
        self,
        *filters: FilterLike,
        sort: SortLike | None = None,
        include: Sequence[Related] = (),
        tx: Transaction | None = None,
    ) -> M | None:
        """The first row that satisfies every filter, or None."""
        return await self.find(*filters, sort=sort, include=include, tx=tx).first()

    async def count(self, *filters: FilterLike, tx: Transaction | None = None) -> int:
        """How many rows satisfy every filter."""
        return await self.find(*filters, tx=tx).count()

    async def exists(self, *filters: FilterLike, tx: Transaction | None = None) -> bool:
        """Whether any row satisfies every filter."""
        return await self.find(*filters, tx=tx).exists()

    async def distinct(
        self, field: str | Column[Any] | Any, *filters: FilterLike, tx: Transaction | None = None
    ) -> list[Any]:
        """The different values of a field (of a list field: of its elements), sorted.

        Args:
            field: A name, a path, or `Resource.name`.
            *filters: Only rows that satisfy these.
            tx: The transaction to read in.
        """
        path = field._sort_key if isinstance(field, Column) else field
        arguments = {"field": self.entity.stored_name(path), **self.find(*filters).to_query()}
        values: list[Any] = await self._call("distinct", arguments, tx)
        return values

    async def aggregate(
        self,
        *filters: FilterLike,
        group: Mapping[str, Any] | None = None,
        measures: Mapping[str, Any] | None = None,
        having: Mapping[str, Any] | None = None,
        sort: Sequence[str] = (),
        limit: int | None = None,
        skip: int = 0,
        order: Sequence[str] = (),
        search: str | None = None,
        tx: Transaction | None = None,
    ) -> list[dict[str, Any]]:
        """Groups of rows and what is computed of each; sums of ints, decimals and floats are exact.

        ```python
        await orders.aggregate(
            Order.paid == True,
            group={"country": "address.country", "year": {"$year": "made_at"}},
            measures={"orders": {"$count": True}, "total": {"$sum": "price"}},
            having={"orders": {"$gte": 10}},
            sort=["-total"],
        )
        ```

        Args:
            *filters: Only rows that satisfy these.
            group: Names of the result and what they group by: a path, or a part of a moment in UTC (`$year $month
                $dayOfMonth $dayOfYear $dayOfWeek $hour $minute $second $date`). Without it there is one row of totals.
            measures: Names of the result and what is computed: `$count` of rows (`True`) or of values (a path),
                `$countDistinct`, `$sum`, `$avg`, `$min`, `$max`, `$first`, `$last`.
            having: A filter of the result.
            sort: The order of the result, by its names; that of the groups unless told.
            limit: At most so many rows of the result.
            skip: Without the first ones.
            order: The order of the rows that `$first` and `$last` look at.
            search: Only rows that have every word of this text.
            tx: The transaction to read in.

        Raises:
            InvalidQueryError: if a path is no single value, or no number where one is needed.
            InvalidValueError: if a sum exceeds what its type holds.
        """
        arguments = {
            "filter": self.find(*filters).to_query().get("filter", {}),
            "search": search,
            "group": self._stored_operands("group", group),
            "measures": self._stored_operands("measures", measures),
            "having": dict(mapped("having", having)),
            "sort": list(listed("sort", sort)),
            "limit": limit,
            "skip": skip,
            "order": [self._stored_direction(part) for part in listed("order", order)] or None,
        }
        rows: list[dict[str, Any]] = await self._call("aggregate", arguments, tx)
        return rows

    def _stored_direction(self, part: str) -> str:
        sign = "-" if isinstance(part, str) and part.startswith("-") else ""
        return sign + self.entity.stored_name(part.removeprefix(sign) if sign else part)

    def _stored_operands(self, argument: str, named: Mapping[str, Any] | None) -> dict[str, Any]:
        """Groups or measures with the stored names of the fields."""

        def stored(value: Any) -> Any:
            if isinstance(value, Column):
                return self.entity.stored_name(value._sort_key)
            if isinstance(value, Mapping):
                return {operator: stored(operand) for operator, operand in value.items()}
            return self.entity.stored_name(value) if isinstance(value, str) else value

        try:
            return {name: stored(value) for name, value in mapped(argument, named).items()}
        except RecursionError:
            raise InvalidQueryError(f"{argument} is nested too deep, or holds itself") from None

    async def page(
        self,
        *filters: FilterLike,
        limit: int = 50,
        after: str | None = None,
        sort: SortLike | None = None,
        include: Sequence[Related] = (),
        search: str | None = None,
        tx: Transaction | None = None,
    ) -> Page[M]:
        """One page of the rows that satisfy every filter, by cursor: nothing is skipped or seen twice.

        Args:
            *filters: As for `find`.
            limit: Rows of a page, 1 to 1,000.
            after: The `next_cursor` of the page before; None for the first.
            sort: The order; the key comes last by itself.
            include: Relations whose rows are loaded too; see `Query.include`.
            search: Only rows that have every word of this text; without a sort they come by key, not ranked.
            tx: The transaction to read in.

        Raises:
            InvalidCursorError: if `after` is malformed or belongs to another query.
        """
        found = self.find(*filters, sort=sort, limit=limit, include=include)
        query = (found if search is None else found.search(search)).to_query()
        rows, cursor = await self._call("page", {**query, "after": after}, tx)
        page = cast("type[Page[M]]", Page[self.model])  # type: ignore[name-defined]
        return page.model_construct(items=rows, next_cursor=cursor, has_more=cursor is not None, limit=limit)

    # Writing.

    async def create(self, data: M | Data, *, tx: Transaction | None = None) -> M:
        """Inserts a row and returns it as it was stored.

        Raises:
            InvalidValueError: if the data does not fit the model.
            UniqueViolationError: if a row with its key or a unique value exists.
        """
        rows: list[M] = await self.create_many((data,), tx=tx)
        return rows[0]

    async def create_many(self, records: Iterable[M | Data], *, tx: Transaction | None = None) -> list[M]:
        """Inserts all or none of the rows and returns them as they were stored.

        The records are taken in slices, between which the event loop goes on. Of many, the first are inserted while the
        next are validated, so that a generator of any length needs no memory beside the rows that are returned.

        Raises:
            InvalidValueError: if a record does not fit the model.
            UniqueViolationError: if a row with a key or a unique value of one of them exists.
        """
        creation = self._native.create_many(records_of(self.entity, records), None if tx is None else tx._native)
        return await created(creation)

    async def update(
        self,
        id: Any,
        data: Data,
        *,
        array_filters: ArrayFilters = (),
        expected_version: int | None = None,
        tx: Transaction | None = None,
    ) -> M:
        """Changes the row with this key and returns it.

        Args:
            id: The key.
            data: A schema (unset fields stay untouched), a dict of fields, or a dict of operators.
            array_filters: Which elements the names in paths such as `visits.$[v].rating` stand for, a filter each:
                `[{"v.place": "Rome"}]`.
            expected_version: Change it only if it still has this version.
            tx: The transaction to write in.

        Raises:
            NotFoundError: if there is no such row.
            VersionConflictError: if it has another version.
            InvalidValueError: if a value does not fit the model.
        """
        arguments = {"id": self.entity.stored_key(id), **self._change("changes", data, array_filters)}
        row: M = await self._call("update", _versioned(arguments, expected_version), tx)
        return row

    async def update_one(
        self,
        filter: Selection,
        update: Data,
        *,
        array_filters: ArrayFilters = (),
        sort: SortLike | None = None,
        tx: Transaction | None = None,
    ) -> int:
        """Changes the first row that satisfies the filter; returns 1, or 0 where there is none.

        Args:
            filter: Which row.
            update: A dict of fields or operators, or a schema.
            array_filters: As for `update`.
            sort: Which row is the first.
            tx: The transaction to write in.
        """
        count: int = await self._call("update_one", self._update(filter, update, sort, array_filters), tx)
        return count

    async def update_many(
        self, filter: Selection, update: Data, *, array_filters: ArrayFilters = (), tx: Transaction | None = None
    ) -> int:
        """Changes every row that satisfies the filter; returns how many.

        Args:
            filter: Which rows.
            update: A dict of fields or operators, or a schema.
            array_filters: As for `update`.
            tx: The transaction to write in.

        Raises:
            EmptyFilterError: if the filter is empty; `farm_db.ALL` means every row.
        """
        arguments = {**self._select(filter), **self._change("update", update, array_filters)}
        count: int = await self._call("update_many", arguments, tx)
        return count

    async def find_one_and_update(
        self,
        filter: Selection,
        update: Data,
        *,
        array_filters: ArrayFilters = (),
        sort: SortLike | None = None,
        return_new: bool = True,
        tx: Transaction | None = None,
    ) -> M | None:
        """Changes the first row that satisfies the filter in one step; returns it, or None where there is none.

        Args:
            filter: Which row.
            update: A dict of fields or operators, or a schema.
            array_filters: As for `update`.
            sort: Which row is the first.
            return_new: The row after the change, else before it.
            tx: The transaction to write in.
        """
        arguments = {**self._update(filter, update, sort, array_filters), "return_new": return_new}
        row: M | None = await self._call("find_one_and_update", arguments, tx)
        return row

    async def replace(
        self, id: Any, data: M | Data, *, expected_version: int | None = None, tx: Transaction | None = None
    ) -> M:
        """Replaces the whole row with this key and returns it.

        Raises:
            NotFoundError: if there is no such row.
            VersionConflictError: if it has another version than the expected one.
        """
        arguments = {"id": self.entity.stored_key(id), "record": record_of(self.model, data)}
        row: M = await self._call("replace", _versioned(arguments, expected_version), tx)
        return row

    async def upsert(self, data: M | Data, on: Sequence[str | Column[Any]] = (), *, tx: Transaction | None = None) -> M:
        """Inserts a row, or changes the one with the same values in the `on` fields; returns it.

        Args:
            data: The whole record.
            on: The fields of a unique index, or of the key (the default).
            tx: The transaction to write in.
        """
        names = [name._sort_key if isinstance(name, Column) else name for name in listed("on", on)] or list(
            self.entity.key
        )
        arguments = {
            "record": record_of(self.model, data),
            "on": [self.entity.stored_name(name) for name in names],
        }
        row: M = await self._call("upsert", arguments, tx)
        return row

    async def delete(self, id: Any, *, hard: bool = False, tx: Transaction | None = None) -> None:
        """Deletes the row with this key; with soft delete it is only marked, unless `hard`.

        Raises:
            NotFoundError: if there is no such row.
        """
        await self._call("delete", {"id": self.entity.stored_key(id), **_hard(hard)}, tx)

    async def delete_many(self, filter: Selection, *, hard: bool = False, tx: Transaction | None = None) -> int:
        """Deletes every row that satisfies the filter; returns how many.

        Raises:
            EmptyFilterError: if the filter is empty; `farm_db.ALL` means every row.
        """
        count: int = await self._call("delete_many", {**self._select(filter), **_hard(hard)}, tx)
        return count

    async def restore(self, id: Any, *, tx: Transaction | None = None) -> M:
        """Brings a soft-deleted row back and returns it.

        Raises:
            NotFoundError: if there is no such row.
        """
        row: M = await self._call("restore", {"id": self.entity.stored_key(id)}, tx)
        return row

    async def save(self, instance: M, *, tx: Transaction | None = None) -> M:
        """Writes an instance, whether its row exists or not, and returns the row.

        A model with a version is written only over the version that the instance was read with, also when its row is
        soft-deleted; an instance that was never read is inserted. A model without a version simply wins.

        Raises:
            VersionConflictError: if someone else has changed the row since.
            UniqueViolationError: if a row with a unique value of this one exists.
        """
        version_name = self.entity.automatic.get("version")
        if any(getattr(instance, name) is None for name in self.entity.key):
            return await self.create(instance, tx=tx)
        if version_name is None:
            return await self.upsert(instance, tx=tx)
        if version_name not in instance.model_fields_set:
            return await self.create(instance, tx=tx)
        key = self.entity.key_of(instance)
        try:
            return await self.replace(key, instance, expected_version=self.version_of(instance), tx=tx)
        except NotFoundError:
            return await self._save_deleted(instance, tx) or await self.create(instance, tx=tx)

    async def _save_deleted(self, instance: M, tx: Transaction | None) -> M | None:
        """Writes an instance over its soft-deleted row of the same version; None where there is no row at all."""
        automatic = self.entity.automatic
        if "deleted" not in automatic:
            return None
        kept = {*self.entity.key, *(automatic.get(name) for name in ("created", "updated", "version"))}
        record = record_of(self.model, instance)
        values = {name: getattr(record, name) for name in self.entity.fields if name not in kept}
        own = self.key_filter(instance)
        arguments = {
            "filter": self._filter({**own, automatic["version"]: self.version_of(instance)}),
            "update": update_of(values, self.entity.fields),
            "deleted": True,
        }
        row: M | None = await self._call("find_one_and_update", arguments, tx)
        if row is None and await self.find(own, tx=tx).include_deleted().exists():
            message = f"this {self.model.__name__} was deleted or changed since it was read"
            raise VersionConflictError(message, {"entity": self.name, "expected_version": self.version_of(instance)})
        return row

    # What the verbs are made of.

    def version_of(self, instance: M) -> int | None:
        """The version of an instance; None where the model has none."""
        name = self.entity.automatic.get("version")
        version: int | None = getattr(instance, name) if name else None
        return version

    def key_filter(self, instance: M) -> dict[str, Any]:
        """The filter of an instance's own row."""
        return {name: getattr(instance, name) for name in self.entity.key}

    async def _call(self, verb: str, arguments: Mapping[str, Any], tx: Transaction | None) -> Any:
        return await self._native.call(verb, arguments, None if tx is None else tx._native)

    def _changes(self, data: Data) -> dict[str, Any]:
        changes = changes_of(self.entity, data)
        user = get_current_user()
        if user is not None and issubclass(self.model, AuditMixin):
            changes.setdefault("$set", {}).setdefault(self.entity.stored_name("updated_by"), user)
        return changes

    def _change(self, name: str, update: Data, array_filters: ArrayFilters) -> dict[str, Any]:
        """The argument of this name that holds the update, with its array filters."""
        arguments: dict[str, Any] = {name: self._changes(update)}
        filters = array_filters_of(array_filters, update, self.entity.fields)
        return {**arguments, "array_filters": filters} if filters else arguments

    def _filter(self, selection: Selection) -> dict[str, Any]:
        if selection is ALL:
            return {}
        filters = selection if isinstance(selection, (list, tuple)) else (selection,)
        return compile_filters(filters, self.entity.scope)

    def _select(self, selection: Selection) -> dict[str, Any]:
        arguments: dict[str, Any] = {"filter": self._filter(selection)}
        return {**arguments, "all": True} if selection is ALL else arguments

    def _update(
        self, selection: Selection, update: Data, sort: SortLike | None, array_filters: ArrayFilters
    ) -> dict[str, Any]:
        arguments = {"filter": self._filter(selection), **self._change("update", update, array_filters)}
        order = self.find(sort=sort).to_query().get("sort")
        return {**arguments, "sort": order} if order else arguments


def _versioned(arguments: dict[str, Any], version: int | None) -> dict[str, Any]:
    return arguments if version is None else {**arguments, "expected_version": version}


def _hard(hard: bool) -> dict[str, Any]:
    return {"hard": True} if hard else {}
