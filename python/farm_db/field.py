"""What a model says about its stored fields beyond their types: keys, indexes, names, automatic values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypedDict, TypeVar, Unpack, overload

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .errors import InvalidSchemaError

if TYPE_CHECKING:
    from annotated_types import SupportsGe, SupportsGt, SupportsLe, SupportsLt
    from pydantic import AliasChoices, AliasPath
    from pydantic.config import JsonDict
    from pydantic.types import Discriminator
    from typing_extensions import deprecated

T = TypeVar("T")

Generated: TypeAlias = Literal["auto_increment", "uuid", "object_id"]
Auto: TypeAlias = Literal["created", "updated", "version", "deleted", "deleted_flag", "search"]


class FieldOptions(TypedDict, total=False):
    """The keyword arguments that `pydantic.Field` takes beside the default."""

    default_factory: Callable[[], Any] | Callable[[dict[str, Any]], Any] | None
    alias: str | None
    alias_priority: int | None
    validation_alias: str | AliasPath | AliasChoices | None
    serialization_alias: str | None
    title: str | None
    field_title_generator: Callable[[str, FieldInfo], str] | None
    description: str | None
    examples: list[Any] | None
    exclude: bool | None
    discriminator: str | Discriminator | None
    deprecated: deprecated | str | bool | None
    json_schema_extra: JsonDict | Callable[[JsonDict], None] | None
    frozen: bool | None
    validate_default: bool | None
    repr: bool
    init: bool | None
    init_var: bool | None
    kw_only: bool | None
    pattern: str | re.Pattern[str] | None
    strict: bool | None
    coerce_numbers_to_str: bool | None
    gt: SupportsGt | None
    ge: SupportsGe | None
    lt: SupportsLt | None
    le: SupportsLe | None
    multiple_of: float | None
    allow_inf_nan: bool | None
    max_digits: int | None
    decimal_places: int | None
    min_length: int | None
    max_length: int | None
    union_mode: Literal["smart", "left_to_right"]
    fail_fast: bool | None


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """The database side of one field; stands among the field's `Annotated` metadata, where Pydantic leaves it alone."""

    primary_key: bool = False
    index: bool = False
    unique: bool = False
    column: str | None = None
    generated: Generated | None = None
    auto: Auto | None = None

    def merge(self, other: ColumnOptions) -> ColumnOptions:
        """Both sets of options; where both name one, `other` wins."""
        return ColumnOptions(
            primary_key=self.primary_key or other.primary_key,
            index=self.index or other.index,
            unique=self.unique or other.unique,
            column=other.column or self.column,
            generated=other.generated or self.generated,
            auto=other.auto or self.auto,
        )


def Field(  # noqa: N802 - named as in Pydantic, which it replaces
    default: Any = PydanticUndefined,
    *,
    primary_key: bool = False,
    index: bool = False,
    unique: bool = False,
    column: str | None = None,
    generated: Generated | None = None,
    auto: Auto | None = None,
    **options: Unpack[FieldOptions],
) -> Any:
    """`pydantic.Field` with the database's side; also inside `Annotated`.

    Args:
        default: The default value, as in Pydantic.
        primary_key: The field is the key, or a part of it when several fields are.
        index: The field has an index of its own.
        unique: No two rows have the same value (living rows only, where the model is soft-deleted).
        column: The stored name, when it is not the attribute's.
        generated: Who makes an absent key: the database counts (`"auto_increment"`), or the core makes a `"uuid"`
            or an `"object_id"`.
        auto: What the core fills in: the moment of creation (`"created"`) or of the last write (`"updated"`), the
            optimistic `"version"`, the moment of a soft delete (`"deleted"`) and the flag beside it
            (`"deleted_flag"`), the words of the fields that `Settings.search` names (`"search"`).
        **options: Everything else that `pydantic.Field` takes.

    Returns:
        The field's description; typed `Any` so that it stands where a value of the field's type is expected.
    """
    info: FieldInfo = pydantic.Field(default, **options)  # type: ignore[call-overload]
    marker = ColumnOptions(primary_key, index, unique, column, generated, auto)
    if marker != ColumnOptions():
        info.metadata.append(marker)
    return info


@overload
def Indexed(annotation: type[T], *, unique: bool = False) -> type[T]: ...
@overload
def Indexed(annotation: None = None, *, unique: bool = False) -> ColumnOptions: ...
def Indexed(annotation: Any = None, *, unique: bool = False) -> Any:  # noqa: N802 - Beanie's name
    """Marks a field as indexed, as Beanie users write it.

    `email: Indexed(str, unique=True)`; type checkers understand `email: Annotated[str, Indexed(unique=True)]`.
    """
    marker = ColumnOptions(index=not unique, unique=unique)
    return marker if annotation is None else Annotated[annotation, marker]


class Index:
    """An index over one or more fields.

    Args:
        *fields: Field names or dotted paths in order; a leading `-` is descending.
        unique: No two rows are equal in these fields.
        where: A filter of the rows that the index covers, such as `{"deleted_at": None}`.
        name: Its name in the database; made from the fields unless told.

    Raises:
        InvalidSchemaError: without any field.
    """

    __slots__ = ("fields", "name", "unique", "where")

    def __init__(
        self, *fields: str, unique: bool = False, where: Mapping[str, Any] | None = None, name: str | None = None
    ) -> None:
        if not fields:
            raise InvalidSchemaError("an index needs at least one field")
        self.fields = fields
        self.unique = unique
        self.where = where
        self.name = name

    @classmethod
    def parse(cls, spec: Any) -> Index:
        """The index of any accepted form: `Index`, `"-field"`, `[("a", 1), ("b", -1)]`, `["a", "-b"]`.

        Raises:
            InvalidSchemaError: if it is none of these.
        """
        if isinstance(spec, Index):
            return spec
        if isinstance(spec, str):
            return cls(spec)
        if isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], str) and not isinstance(spec[1], str):
            return cls(_part(spec))
        if isinstance(spec, Iterable) and not isinstance(spec, Mapping):
            return cls(*(_part(part) for part in spec))
        raise InvalidSchemaError(f"{spec!r} is no index: expected a field name, a list of them or an Index")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Index):
            return NotImplemented
        return (self.fields, self.unique, self.where, self.name) == (
            other.fields,
            other.unique,
            other.where,
            other.name,
        )

    def __hash__(self) -> int:
        return hash((self.fields, self.unique, self.name))

    def __repr__(self) -> str:
        parts = [repr(field) for field in self.fields]
        parts += [f"{key}={value!r}" for key in ("unique", "where", "name") if (value := getattr(self, key))]
        return f"Index({', '.join(parts)})"


def _part(part: Any) -> str:
    """One field of an index as `name` or `-name`."""
    if isinstance(part, str):
        return part
    if isinstance(part, Sequence) and len(part) == 2 and isinstance(part[0], str) and part[1] in (1, -1):
        return part[0] if part[1] == 1 else f"-{part[0]}"
    raise InvalidSchemaError(f"{part!r} is no part of an index: expected a name or (name, 1 or -1)")
