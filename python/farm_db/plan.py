"""What one annotation of a model means to the database: the result of `schema`, used by everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .field import ColumnOptions
from .values import ordered, plain, plain_key

if TYPE_CHECKING:
    from ._native import Reader, Writer


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field of a model: its attribute, its stored name, what it holds and what the model says about it."""

    attribute: str
    stored: str
    plan: Plan
    options: ColumnOptions
    info: FieldInfo

    @property
    def has_default(self) -> bool:
        """Whether Python has a value for it when the caller has none."""
        return not self.info.is_required()


@dataclass(frozen=True, slots=True)
class Plan:
    """What one annotation means.

    Attributes:
        kind: The contract's type: `int`, `text`, `list`, `model` ...
        definition: The contract definition without a name.
        reader: How a stored value becomes a Python object (see `_native`).
        writer: How a Python object becomes a stored value (see `_native`).
        nullable: Whether None is a value.
        item: What the elements of a list or the values of a map are.
        fields: The fields of a nested model.
        related: What a path through a relation finds on the other side; worked out when it is asked for.
        parse: Makes a value of the annotated type from what a caller wrote; None where the core does it exactly.
        ordered: Whether stored values sort and compare as the Python values do.
        json_ready: Whether the stored value prints as Pydantic prints the Python value.
        options: What `Annotated` metadata inside the annotation says about the column.
    """

    kind: str
    definition: dict[str, Any]
    reader: Reader = None
    writer: Writer = None
    nullable: bool = False
    item: Plan | None = None
    fields: tuple[FieldPlan, ...] = ()
    related: Callable[[], Mapping[str, FieldPlan]] | None = None
    parse: Callable[[Any], Any] | None = None
    ordered: bool = True
    json_ready: bool = True
    options: ColumnOptions = ColumnOptions()  # noqa: RUF009 - frozen, without state

    def encode(self, value: Any) -> Any:
        """A value for this place in a filter, an update or a default, made of the core's types and stored names."""
        if value is None:
            return None
        if self.fields:
            return _encode_model(self, value)
        if self.item is not None:
            return _encode_container(self, self.item, value)
        if self.parse is not None:
            parsed = self.parse(value)
            return self.writer(parsed) if self.writer is not None else plain(parsed)
        return plain(value)


def _encode_model(plan: Plan, value: Any) -> Any:
    if isinstance(value, BaseModel):
        value = dict(value)
    if not isinstance(value, Mapping):
        return plain(value)
    known = {field.attribute: field for field in plan.fields}
    return {
        known[key].stored if key in known else key: known[key].plan.encode(item) if key in known else plain(item)
        for key, item in value.items()
    }


def _encode_container(plan: Plan, item: Plan, value: Any) -> Any:
    if plan.kind == "map":
        if isinstance(value, Mapping):
            return {plain_key(key): item.encode(element) for key, element in value.items()}
        return plain(value)
    if isinstance(value, AbstractSet):
        value = ordered(value)
    if isinstance(value, (list, tuple)):
        return [item.encode(element) for element in value]
    return item.encode(value)
