"""Relations between models: `author = many_to_one(lambda: Author, "author_id")`.

On the class a relation is a column whose attributes are the other model's (`Post.author.name == "x"`); on an instance
it is what `include=["author"]` has loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, cast, overload

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from .errors import InvalidQueryError, InvalidSchemaError
from .expression import Column
from .field import ColumnOptions
from .plan import FieldPlan, Plan

if TYPE_CHECKING:
    from .model import Document

T = TypeVar("T")

#: What a delete of the referenced row does to the rows that refer to it; nothing is enforced where it is not given.
OnDelete: TypeAlias = Literal["cascade", "set_null", "restrict"]
_Kind: TypeAlias = Literal["many_to_one", "one_to_one", "one_to_many", "many_to_many"]
#: A model, a function that returns it (for one that is defined below), or its class's name.
Target: TypeAlias = "type[T] | Callable[[], type[T]] | str"


class RelationNotLoadedError(InvalidQueryError, AttributeError):
    """A related row was asked of an instance that was read without it."""


class Relation(Generic[T]):
    """What `many_to_one` and its like return; `ToOne` and `ToMany` say what an instance has."""

    many = False

    def __init__(
        self,
        kind: _Kind,
        target: Any,
        fields: str | Sequence[str] | None,
        *,
        through: Any = None,
        on_delete: OnDelete | None = None,
        inverse: bool = False,
    ) -> None:
        self.kind = kind
        self.name = ""
        self._target = target
        self._fields = (fields,) if isinstance(fields, str) else None if fields is None else tuple(fields)
        self._through = through
        self._on_delete = on_delete
        self._inverse = inverse

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @property
    def target(self) -> type[Document]:
        """The model at the other end.

        Raises:
            InvalidSchemaError: if there is no such model.
        """
        return _model(self._target)

    def column(self) -> Column[Any]:
        """The relation as it stands in queries."""
        return Column(self.name, self.name, self.plan())

    def plan(self) -> Plan:
        """The other model's fields and relations, as a nested model has its own."""
        one = Plan("model", {}, related=self._scope)
        return Plan("list", {}, item=one) if self.many else one

    def _scope(self) -> Mapping[str, FieldPlan]:
        from .entity import entity_of

        return entity_of(self.target).scope

    def definition(self, model: type[Document]) -> dict[str, Any]:
        """The relation of the contract.

        Raises:
            InvalidSchemaError: if it names a field that its model does not have.
        """
        definition: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "target": self.target.get_collection_name(),
        }
        if self._through is not None:
            through = _model(self._through)
            definition["through"] = through.get_collection_name()
            definition["fields"] = self._stored(through, self._fields or _between(through, model, self.target))
        else:
            holder = self.target if self.many or self._inverse else model
            definition["fields"] = self._stored(holder, self._fields or (f"{self.name}_id",))
        if self._inverse:
            definition["inverse"] = True
        if self._on_delete is not None:
            definition["on_delete"] = self._on_delete
        return definition

    def _stored(self, holder: type[Document], names: Sequence[str]) -> list[str]:
        from .entity import entity_of

        fields = entity_of(holder).fields
        for name in names:
            if name not in fields:
                message = f"relation {self.name!r} names {holder.__name__}.{name}, which is no field"
                raise InvalidSchemaError(message, {"relation": self.name, "field": name})
        return [fields[name].stored for name in names]

    def _of(self, instance: Any) -> Any:
        # What is loaded stands in the instance's `__dict__` and comes first; here it is missing.
        name = f"{type(instance).__name__}.{self.name}"
        message = f"{name} was not loaded: read it with include=[{self.name!r}]"
        raise RelationNotLoadedError(message, {"relation": self.name, "model": type(instance).__name__})

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}>"


class ToOne(Relation[T]):
    """A relation to one row at most: None on an instance that has none."""

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> type[T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> T | None: ...
    def __get__(self, instance: object | None, owner: type[Any]) -> Any:
        return self.column() if instance is None else self._of(instance)


class ToMany(Relation[T]):
    """A relation to any number of rows: a list on an instance, in the order of their key."""

    many = True

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> type[T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> list[T]: ...
    def __get__(self, instance: object | None, owner: type[Any]) -> Any:
        return self.column() if instance is None else self._of(instance)


def many_to_one(
    target: Target[T], fields: str | Sequence[str] | None = None, *, on_delete: OnDelete | None = None
) -> ToOne[T]:
    """This model holds the key of one other row.

    Args:
        target: The other model.
        fields: The attributes of this model that hold the key, in the key's order; `<name>_id` unless told.
        on_delete: What a delete of the other row does here; enforced by the database where it can, else by farm-db.
    """
    return ToOne("many_to_one", target, fields, on_delete=on_delete)


def one_to_one(
    target: Target[T],
    fields: str | Sequence[str] | None = None,
    *,
    on_delete: OnDelete | None = None,
    inverse: bool = False,
) -> ToOne[T]:
    """This model holds the key of one other row that no other row of this model has; make the attribute unique.

    Args:
        target: The other model.
        fields: The attributes that hold the key: this model's, or the other's where `inverse`; `<name>_id` unless told.
        on_delete: As for `many_to_one`.
        inverse: The other model holds this one's key.
    """
    return ToOne("one_to_one", target, fields, on_delete=on_delete, inverse=inverse)


def one_to_many(target: Target[T], fields: str | Sequence[str]) -> ToMany[T]:
    """The other model holds this one's key.

    Args:
        target: The other model.
        fields: Its attributes that hold this model's key.
    """
    return ToMany("one_to_many", target, fields)


def many_to_many(target: Target[T], through: Target[Any], fields: Sequence[str] | None = None) -> ToMany[T]:
    """A third model holds the keys of both.

    Args:
        target: The other model.
        through: The model between.
        fields: Its attributes that hold this model's key, then those that hold the other's; those of its own relations
            to the two models unless told.
    """
    return ToMany("many_to_many", target, fields, through=through)


def relations_of(model: type[Any]) -> dict[str, Relation[Any]]:
    """The relations of a model, those of its base classes first."""
    relations: dict[str, Relation[Any]] = {}
    for base in reversed(model.__mro__):
        relations.update({name: one for name, one in base.__dict__.items() if isinstance(one, Relation)})
    return relations


def scope_of(model: type[Any]) -> dict[str, FieldPlan]:
    """The relations of a model as what a path may lead through."""
    return {
        name: FieldPlan(name, name, one.plan(), ColumnOptions(), FieldInfo())
        for name, one in relations_of(model).items()
    }


def loaded_of(instance: Any) -> Iterator[tuple[str, Any]]:
    """The relations that an instance was read with, and what they hold."""
    for name in relations_of(type(instance)):
        if name in instance.__dict__:
            yield name, instance.__dict__[name]


def json_of(instance: Any, by_alias: bool | None = None) -> bytes:
    """What Pydantic prints for an instance, followed by the related rows that it was read with."""
    body: bytes = type(instance).__pydantic_serializer__.to_json(instance, by_alias=by_alias)
    loaded = [to_json(name) + b":" + _json_of_rows(rows, by_alias) for name, rows in loaded_of(instance)]
    if not loaded:
        return body
    if not body.endswith(b"}"):
        raise InvalidQueryError(
            f"{type(instance).__name__} is not printed as an object: it has no place for related rows"
        )
    return body[:-1] + (b"" if body == b"{}" else b",") + b",".join(loaded) + b"}"


def _json_of_rows(rows: Any, by_alias: bool | None) -> bytes:
    if isinstance(rows, list):
        return b"[" + b",".join([json_of(row, by_alias) for row in rows]) + b"]"
    return b"null" if rows is None else json_of(rows, by_alias)


def _between(through: type[Document], *sides: type[Document]) -> tuple[str, ...]:
    """The attributes of the model between that hold the keys of the two sides, by its own relations."""
    names: list[str] = []
    for side in sides:
        owning = [one for one in relations_of(through).values() if not one.many and not one._inverse]
        found = [one for one in owning if one.target is side]
        if len(found) != 1:
            message = (
                f"{through.__name__} has {len(found)} relations to {side.__name__}: "
                "name its fields, many_to_many(..., fields=[...])"
            )
            raise InvalidSchemaError(message, {"model": through.__name__})
        names += found[0]._fields or (f"{found[0].name}_id",)
    return tuple(names)


def _model(target: Any) -> type[Document]:
    from .model import Document

    if isinstance(target, str):
        named = {model for model in _subclasses(Document) if model.__name__ == target}
        if len(named) == 1:
            return named.pop()
        raise InvalidSchemaError(f"there are {len(named)} models named {target!r}", {"model": target})
    found = target if isinstance(target, type) else target() if callable(target) else target
    if isinstance(found, type) and issubclass(found, Document):
        return found
    raise InvalidSchemaError(f"{found!r} is no model: a relation leads to a Document")


def _subclasses(model: type[Document]) -> Iterator[type[Document]]:
    for subclass in cast("list[type[Document]]", type.__subclasses__(model)):
        yield subclass
        yield from _subclasses(subclass)
