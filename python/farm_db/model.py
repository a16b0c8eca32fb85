"""`Document`: a Pydantic model that is also an entity of the database."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack, dataclass_transform

import pydantic
from pydantic import BaseModel, ConfigDict, PrivateAttr
from pydantic._internal._model_construction import ModelMetaclass

from .binding import repository_of
from .errors import NotFoundError
from .expression import Column, FilterLike
from .field import Field
from .relation import Relation, loaded_of

if TYPE_CHECKING:
    from .query import Query, Related, SortLike
    from .selection import ArrayFilters
    from .transaction import Transaction


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, pydantic.Field, PrivateAttr))
class DocumentMeta(ModelMetaclass):
    """Makes fields reachable on the class as columns; everything else is Pydantic's."""

    if not TYPE_CHECKING:  # a field has its own type on the class, and what is no field must stay an error

        def __getattr__(cls, name):
            if not name.startswith("_") and not _pydantic_asks(2):
                column = column_of(cls, name)
                if column is not None:
                    return column
            return super().__getattr__(name)


def _pydantic_asks(depth: int) -> bool:
    """Whether the attribute is asked for by Pydantic, `depth` frames up.

    While it collects a class's fields it looks for defaults and shadowed names by attribute; there it must find
    neither columns nor the verbs that a field may share its name with. (A flag set by the metaclass's `__new__` would
    not do: one more frame there hides the local names that annotations may use.)
    """
    module = sys._getframe(depth).f_globals.get("__name__", "")
    return isinstance(module, str) and module.startswith("pydantic.")


def column_of(model: type[Any], name: str) -> Column[Any] | None:
    """The column of a field, None where the model has no such field."""
    columns: dict[str, Column[Any]] = model.__farm_columns__
    known = columns.get(name)
    if known is not None or name not in model.__dict__.get("__pydantic_fields__", ()):
        return known
    from .schema import complete, describe

    complete(model)
    info = model.model_fields[name]
    plan = describe(info.annotation, info.metadata, config=model.model_config, stack=(model,))
    column = columns[name] = Column(name, plan.options.column or name, plan)
    return column


class Document(BaseModel, metaclass=DocumentMeta):
    """The base of all stored models.

    Class keywords:
        table, collection: The name in the database; the class's name in lower case and an `s` unless told.
        abstract: The class is only a base for others, without a table.

    An inner `class Settings` may have `name`, `collection` or `table` (the same), `indexes` (`"name"`, `"-name"`,
    `Index(...)`, `[("a", 1), ("b", -1)]`; those of base classes are added), `search` (the fields and paths whose words
    `search` looks for; see `SearchableMixin`), `validate_on_save` (run all validators
    again before an instance is written) and `use_enum_values` (as in Pydantic's configuration).

    On the class, fields are columns: `Resource.name == "x"` is a condition for `find`.
    """

    model_config = ConfigDict(ignored_types=(Relation,))

    __farm_abstract__: ClassVar[bool] = True
    __farm_table__: ClassVar[str | None] = None
    __farm_columns__: ClassVar[dict[str, Column[Any]]] = {}

    if TYPE_CHECKING:

        def __init_subclass__(
            cls,
            *,
            table: str | None = None,
            collection: str | None = None,
            abstract: bool = False,
            **kwargs: Unpack[ConfigDict],
        ) -> None: ...

    else:

        def __init_subclass__(cls, *, table=None, collection=None, abstract=False, **kwargs):
            super().__init_subclass__(**kwargs)
            cls.__farm_table__ = table or collection
            cls.__farm_columns__ = {}
            cls.__farm_abstract__ = abstract
            if getattr(cls.__dict__.get("Settings"), "use_enum_values", False):
                cls.model_config["use_enum_values"] = True

    # What the class says about itself.

    @classmethod
    def get_collection_name(cls) -> str:
        """The name of the table or collection."""
        settings = cls.__dict__.get("Settings")
        named = (getattr(settings, key, None) for key in ("collection", "table", "name"))
        return cls.__farm_table__ or next(filter(None, named), None) or f"{cls.__name__.lower()}s"

    @classmethod
    def get_indexes(cls) -> list[Any]:
        """The indexes of `Settings`, as they were written, those of base classes first, each once."""
        indexes: list[Any] = []
        for base in reversed(cls.__mro__):
            settings = base.__dict__.get("Settings")
            for index in getattr(settings, "indexes", ()):
                if index not in indexes:
                    indexes.append(index)
        return indexes

    @classmethod
    def __farm_setting__(cls, name: str, default: Any) -> Any:
        """A setting, from the nearest class that has it."""
        for base in cls.__mro__:
            settings = base.__dict__.get("Settings")
            if settings is not None and hasattr(settings, name):
                return getattr(settings, name)
        return default

    # Active record: the verbs of the bound repository.

    @classmethod
    def find(
        cls,
        *filters: FilterLike,
        sort: SortLike | None = None,
        limit: int | None = None,
        skip: int | None = None,
        include: Sequence[Related] = (),
        tx: Transaction | None = None,
    ) -> Query[Self]:
        """A lazy query of the rows that satisfy every filter; see `Repository.find`."""
        return repository_of(cls).find(*filters, sort=sort, limit=limit, skip=skip, include=include, tx=tx)

    @classmethod
    def search(
        cls,
        text: str,
        *filters: FilterLike,
        sort: SortLike | None = None,
        limit: int | None = None,
        skip: int | None = None,
        tx: Transaction | None = None,
    ) -> Query[Self]:
        """A lazy query of the rows that have every word of the text, the best first; see `Repository.search`."""
        return repository_of(cls).search(text, *filters, sort=sort, limit=limit, skip=skip, tx=tx)

    @classmethod
    async def find_one(
        cls,
        *filters: FilterLike,
        sort: SortLike | None = None,
        include: Sequence[Related] = (),
        tx: Transaction | None = None,
    ) -> Self | None:
        """The first row that satisfies every filter, or None."""
        return await repository_of(cls).find_one(*filters, sort=sort, include=include, tx=tx)

    @classmethod
    async def get(cls, id: Any, *, include: Sequence[Related] = (), tx: Transaction | None = None) -> Self:
        """The row with this key.

        Raises:
            NotFoundError: if there is none.
        """
        return await repository_of(cls).get(id, include=include, tx=tx)

    @classmethod
    async def create(cls, data: Any, *, tx: Transaction | None = None) -> Self:
        """Inserts a row; see `Repository.create`."""
        return await repository_of(cls).create(data, tx=tx)

    @classmethod
    async def count(cls, *filters: FilterLike, tx: Transaction | None = None) -> int:
        """How many rows satisfy every filter."""
        return await repository_of(cls).count(*filters, tx=tx)

    async def insert(self, *, tx: Transaction | None = None) -> Self:
        """Inserts this instance and takes over what was stored (a generated key, automatic fields).

        Raises:
            UniqueViolationError: if a row with its key or a unique value exists.
        """
        return self._take_over(await repository_of(type(self)).create(self, tx=tx))

    async def save(self, *, tx: Transaction | None = None) -> Self:
        """Writes this instance, whether its row exists or not, and takes over what was stored.

        A model with a version is written only over the version it was read with.

        Raises:
            VersionConflictError: if someone else has changed the row since.
        """
        return self._take_over(await repository_of(type(self)).save(self, tx=tx))

    async def update(
        self,
        data: Mapping[str, Any] | BaseModel,
        *,
        array_filters: ArrayFilters = (),
        tx: Transaction | None = None,
    ) -> Self:
        """Changes fields of this instance's row by a dict of fields or operators, or a schema, and takes over the row.

        Args:
            data: As for `Repository.update`.
            array_filters: As for `Repository.update`.
            tx: The transaction to write in.

        Raises:
            NotFoundError: if the row is gone.
            VersionConflictError: if someone else has changed the row since.
        """
        repository = repository_of(type(self))
        row = await repository.update(
            repository.entity.key_of(self),
            data,
            array_filters=array_filters,
            expected_version=repository.version_of(self),
            tx=tx,
        )
        return self._take_over(row)

    async def delete(self, *, hard: bool = False, tx: Transaction | None = None) -> None:
        """Deletes this instance's row; with soft delete it is only marked, unless `hard`.

        Raises:
            NotFoundError: if the row is gone.
        """
        repository = repository_of(type(self))
        await repository.delete(repository.entity.key_of(self), hard=hard, tx=tx)

    async def refresh(self, *, tx: Transaction | None = None) -> Self:
        """Reads the row again, a soft-deleted one too, and takes it over.

        Raises:
            NotFoundError: if the row is gone.
        """
        repository = repository_of(type(self))
        row = await repository.find(repository.key_filter(self), tx=tx).include_deleted().first()
        if row is None:
            raise NotFoundError(f"this {type(self).__name__} is not in the database", {"model": type(self).__name__})
        return self._take_over(row)

    def _take_over(self, row: Self) -> Self:
        for name, _ in list(loaded_of(self)):
            # What was loaded may belong to the row as it was.
            del self.__dict__[name]
        self.__dict__.update(row.__dict__)
        # The native module shares one set among the instances of a result.
        object.__setattr__(self, "__pydantic_fields_set__", set(row.model_fields_set))
        return self


class _Verb:
    """A verb of `Document` that steps back where a model has a field of its name (`count`, `update` ...).

    To Pydantic, which looks for defaults by attribute, it is not there; on the class such a field is its column. On
    instances the field's value comes first by itself, because this is no data descriptor.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        if _pydantic_asks(2):
            raise AttributeError(self.name)
        if instance is None and self.name in owner.__pydantic_fields__:
            return column_of(owner, self.name)
        return self.function.__get__(instance, owner)


for _name in ("find", "search", "find_one", "get", "create", "count", "insert", "save", "update", "delete", "refresh"):
    _verb = _Verb(Document.__dict__[_name])
    _verb.__set_name__(Document, _name)
    type.__setattr__(Document, _name, _verb)
