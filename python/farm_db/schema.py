"""Annotations as contract definitions, with what turns stored values into Python objects and back.

One `Plan` describes one annotation. Everything here is worked out once per model and involves no database.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from datetime import date
from enum import Enum, Flag
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NewType, TypeVar, Union, get_args, get_origin
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    RootModel,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    WrapValidator,
)
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError
from pydantic.types import UuidVersion

from .constraints import constraints_of, flatten, options_of
from .errors import InvalidSchemaError
from .plan import FieldPlan, Plan
from .values import SCALARS, ordered, plain, plain_key, tagged

if TYPE_CHECKING:
    from ._native import Reader, Shape, Writer

#: The containers that are read into something else than their contract type's list or dict.
_LISTS: dict[Any, Literal["list", "set", "frozenset", "tuple"]] = {
    list: "list",
    set: "set",
    frozenset: "frozenset",
    collections.abc.Sequence: "list",
    collections.abc.MutableSequence: "list",
    collections.abc.Iterable: "list",
    collections.abc.Collection: "list",
    collections.abc.Set: "set",
    collections.abc.MutableSet: "set",
}
_MAPS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_CORE_TYPES = {"str": "text"} | {
    name: name for name in ("int", "float", "decimal", "bytes", "bool", "uuid", "datetime", "date", "time")
}
#: Metadata with a core schema of its own that leaves alone how a value is printed.
_SILENT = (AfterValidator, BeforeValidator, WrapValidator, UuidVersion)
#: Keys of a dict that are stored as Pydantic prints them.
_PRINTED_KEYS = (int, UUID, date)
_JSON_TYPES = {"string": "text", "integer": "int", "number": "float", "boolean": "bool"}


def describe(
    annotation: Any,
    metadata: Iterable[Any] = (),
    *,
    config: ConfigDict,
    nullable: bool = False,
    stack: tuple[type, ...] = (),
) -> Plan:
    """The plan of an annotation.

    Args:
        annotation: Any type that Pydantic accepts.
        metadata: The `Annotated` metadata around it.
        config: The configuration of the model it stands in.
        nullable: Whether None was already found beside it.
        stack: The models around it; one that contains itself becomes an `any` there.

    Raises:
        InvalidSchemaError: for a type that no database can hold.
    """
    annotation, metadata = _unwrap(annotation, tuple(metadata))
    inner = partial(describe, config=config, stack=stack)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        nullable = nullable or len(members) < len(get_args(annotation))
        if len(members) == 1:
            return inner(members[0], metadata, nullable=nullable)
        plan = _any(annotation, nullable)
    else:
        plan = _plan(annotation, origin, inner, nullable, config, stack)
    constraints = constraints_of(metadata, plan.kind, exact=plan.ordered, config=config)
    definition = {**plan.definition, **constraints}
    if nullable:
        definition["nullable"] = True
    return replace(
        plan,
        definition=definition,
        nullable=nullable,
        options=options_of(metadata, plan.options),
        json_ready=plan.json_ready and not any(_prints(one) for one in flatten(metadata)),
    )


def _unwrap(annotation: Any, metadata: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """The bare type under `Annotated`, `type X = ...`, `NewType` and type variables; metadata from the inside out."""
    while True:
        # By name: Python 3.11 has the class only in typing_extensions.
        if type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeVar):
            annotation = annotation.__bound__ or Any
        elif get_origin(annotation) is typing.Annotated:
            annotation, *inner = get_args(annotation)
            metadata = (*inner, *metadata)
        else:
            return annotation, metadata


def _plan(
    annotation: Any,
    origin: Any,
    inner: Callable[..., Plan],
    nullable: bool,
    config: ConfigDict,
    stack: tuple[type, ...],
) -> Plan:
    if annotation in (Any, object, None, type(None)):
        return Plan("any", {"type": {"kind": "any"}}, writer=plain)
    if annotation in SCALARS:
        return _scalar(SCALARS[annotation])
    if annotation is EmailStr:
        return _scalar("text")
    if origin is Literal:
        return _literal(get_args(annotation), annotation, nullable)
    base = origin or annotation
    if base in _MAPS:
        return _map(get_args(annotation), annotation, inner, nullable)
    if base is tuple or base in _LISTS:
        return _list(base, get_args(annotation), annotation, inner, nullable)
    if isinstance(base, type) and issubclass(base, Enum):
        return _enum(base, nullable, keep_values=bool(config.get("use_enum_values")))
    if isinstance(base, type) and issubclass(base, BaseModel):
        return _model(annotation if isinstance(annotation, type) else base, inner, nullable, stack)
    return _foreign(annotation, nullable)


def _prints(piece: Any) -> bool:
    """Whether a piece of metadata may change how a value is printed: a serializer, an encoder, a schema of its own."""
    return hasattr(piece, "__get_pydantic_core_schema__") and not isinstance(piece, _SILENT)


def _scalar(kind: str) -> Plan:
    return Plan(kind, {"type": {"kind": kind}})


def _adapter(annotation: Any, nullable: bool) -> TypeAdapter[Any]:
    return TypeAdapter(annotation | None if nullable else annotation)


def _validator(annotation: Any, nullable: bool) -> Callable[[Any], Any]:
    """A function that makes a value of the annotated type from a stored one."""
    return partial(_adapter(annotation, nullable).validate_python, by_alias=True, by_name=True)


def _any(annotation: Any, nullable: bool) -> Plan:
    """A type that the contract cannot name: stored as it is, read by its validator."""
    return Plan("any", {"type": {"kind": "any"}}, ("call", _validator(annotation, nullable)), plain, json_ready=False)


class _Members(dict[Any, Any]):
    """Stored value to Enum member; what is not known is left to the Enum, which may have a `_missing_`."""

    def __init__(self, enum: type[Enum], nullable: bool) -> None:
        super().__init__({plain(one.value): one for one in enum if isinstance(plain(one.value), Hashable)})
        if nullable:
            self[None] = None
        self._enum = enum

    def __missing__(self, value: Any) -> Enum:
        return self._enum(value)


def _kind_of(values: Iterable[Any]) -> str:
    """The contract type that holds all these values."""
    kinds = {SCALARS.get(type(value), "any") for value in values}
    return kinds.pop() if len(kinds) == 1 else "any"


def _enum(enum: type[Enum], nullable: bool, *, keep_values: bool) -> Plan:
    values = [plain(member.value) for member in enum]
    definition: dict[str, Any] = {"type": {"kind": _kind_of(values)}}
    if not issubclass(enum, Flag):
        definition["enum"] = [tagged(value) for value in values]
    reader: Reader = None if keep_values else ("call", _Members(enum, nullable).__getitem__)
    return Plan(definition["type"]["kind"], definition, reader, json_ready=not _prints(enum))


def _literal(members: tuple[Any, ...], annotation: Any, nullable: bool) -> Plan:
    values = [plain(member) for member in members if member is not None]
    kind = _kind_of(values)
    definition = {"type": {"kind": kind}, "enum": [tagged(value) for value in values]}
    has_members = any(isinstance(member, Enum) for member in members)
    return Plan(kind, definition, ("call", _validator(annotation, nullable)) if has_members else None)


def _optional(writer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`writer`, with None left alone."""
    return lambda value: None if value is None else writer(value)


def _list(base: Any, arguments: tuple[Any, ...], annotation: Any, inner: Callable[..., Plan], nullable: bool) -> Plan:
    if base is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        item = inner(Any, nullable=True)
        definition = {"type": {"kind": "list", "items": item.definition}}
        reader: Reader = ("tuple", None) if not arguments else ("call", _validator(annotation, nullable))
        return Plan("list", definition, reader, _optional(plain), item=item, json_ready=not arguments)
    item = inner(arguments[0] if arguments else Any)
    definition = {"type": {"kind": "list", "items": item.definition}}
    container = "tuple" if base is tuple else _LISTS[base]
    reader = None if container == "list" and item.reader is None else (container, item.reader)
    # `plain` does the same for these, and need not be called for what is plain already.
    writer = plain if base is list and item.writer is plain else _list_writer(container, item.writer)
    return Plan("list", definition, reader, writer, item=item, json_ready=item.json_ready)


def _list_writer(container: str, element: Writer) -> Writer:
    if container in ("list", "tuple") and element is None:
        return None
    start: Callable[[Any], Any] = ordered if container in ("set", "frozenset") else list
    if element is None:
        return _optional(start)
    write = element
    return lambda value: None if value is None else [write(one) for one in start(value)]


def _map(arguments: tuple[Any, ...], annotation: Any, inner: Callable[..., Plan], nullable: bool) -> Plan:
    keys, values = arguments or (str, Any)
    item = inner(values)
    definition = {"type": {"kind": "map", "values": item.definition}}
    if keys in (str, Any):
        reader: Reader = None if item.reader is None else ("map", item.reader)
        # As for lists. Keys that may be anything are refused where they are no text, so they are looked at one by one.
        write = plain if arguments and keys is str and item.writer is plain else _map_writer(item.writer)
        return Plan("map", definition, reader, write, item=item, json_ready=item.json_ready)
    writer = _map_writer(item.writer, plain_key)
    is_text = get_origin(keys) is Literal or (isinstance(keys, type) and issubclass(keys, (str, Enum)))
    json_ready = item.json_ready and not _holds_models(item) and (is_text or keys in _PRINTED_KEYS)
    return Plan("map", definition, ("call", _validator(annotation, nullable)), writer, item=item, json_ready=json_ready)


def _map_writer(element: Writer, key: Callable[[Any], str] | None = None) -> Writer:
    if element is None and key is None:
        return None
    write, name = element or (lambda value: value), key or (lambda value: value)
    return lambda value: None if value is None else {name(one): write(item) for one, item in value.items()}


def _model(model: type[BaseModel], inner: Callable[..., Plan], nullable: bool, stack: tuple[type, ...]) -> Plan:
    complete(model)
    if model in stack:
        return _any(model, nullable)
    if issubclass(model, RootModel):
        root = inner(model.model_fields["root"].annotation, stack=(*stack, model))
        validate = _validator(model, nullable)
        # The reader knows nothing of what is inside, so neither does the printer.
        json_ready = root.json_ready and root.reader is None and prints_plainly(model, ())
        return Plan(
            root.kind, root.definition, ("call", validate), _optional(plain), parse=validate, json_ready=json_ready
        )
    fields = fields_of(model, stack)
    definition: dict[str, Any] = {"kind": "model", "fields": [definition_of(field) for field in fields]}
    if model.model_config.get("extra") == "allow":
        definition["extra"] = True
    return Plan(
        "model",
        {"type": definition},
        shape_of(model, fields),
        None,
        fields=fields,
        json_ready=prints_plainly(model, fields),
    )


def _foreign(annotation: Any, nullable: bool) -> Plan:
    """A type that only Pydantic knows: exact where its core schema is a scalar's, else by its JSON form."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        schema = typing.cast("dict[str, Any]", adapter.core_schema)
        printed = adapter.json_schema(mode="serialization").get("type")
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema) as error:
        raise InvalidSchemaError(f"type {annotation!r} cannot be stored") from error
    if isinstance(annotation, type) and issubclass(annotation, (SecretStr, SecretBytes)):
        return _secret(annotation, nullable)
    if schema["type"] in _CORE_TYPES:
        naive = schema.get("tz_constraint") == "naive"
        plan = replace(_scalar(_CORE_TYPES[schema["type"]]), json_ready="serialization" not in schema)
        # Stored moments are printed with their zone, which these do not have.
        return replace(plan, reader=("call", _without_zone), json_ready=False) if naive else plan
    if printed not in _JSON_TYPES:
        return _any(annotation, nullable)
    write = _optional(partial(adapter.dump_python, mode="json"))
    validate = _validator(annotation, nullable)
    kind = _JSON_TYPES[printed]
    return Plan(kind, {"type": {"kind": kind}}, ("call", validate), write, parse=validate, ordered=False)


def _secret(secret: type[SecretStr | SecretBytes], nullable: bool) -> Plan:
    """A secret is stored as it is; its JSON form would be asterisks."""
    kind = "text" if issubclass(secret, SecretStr) else "bytes"
    validate = _validator(secret, nullable)
    write = _optional(lambda value: value.get_secret_value())
    return Plan(kind, {"type": {"kind": kind}}, ("call", validate), write, parse=validate, json_ready=False)


def _without_zone(moment: Any) -> Any:
    return moment if moment is None else moment.replace(tzinfo=None)


def complete(model: type[BaseModel]) -> None:
    """Resolves forward references that were open when the class was made.

    Raises:
        InvalidSchemaError: if a name in an annotation does not exist.
    """
    if not model.__pydantic_complete__ and not model.model_rebuild(raise_errors=False):
        raise InvalidSchemaError(f"{model.__name__} has an annotation that names an unknown type")


def fields_of(model: type[BaseModel], stack: tuple[type, ...] = ()) -> tuple[FieldPlan, ...]:
    """The plans of a model's fields, in their order.

    Raises:
        InvalidSchemaError: if a field's type cannot be stored.
    """
    plans = []
    for name, info in model.model_fields.items():
        try:
            plan = describe(info.annotation, info.metadata, config=model.model_config, stack=(*stack, model))
        except InvalidSchemaError as error:
            where = {"model": model.__name__, "field": name}
            raise InvalidSchemaError(f"{model.__name__}.{name}: {error.message}", {**where, **error.context}) from error
        plans.append(FieldPlan(name, plan.options.column or name, plan, plan.options, info))
    return tuple(plans)


def definition_of(field: FieldPlan) -> dict[str, Any]:
    """The contract's definition of a field: name, type, constraints and a default that never changes."""
    definition = {"name": field.stored, **field.plan.definition}
    factory = field.info.default_factory
    if factory in (list, set, frozenset, tuple) and field.plan.kind == "list":
        definition["default"] = []
    elif factory is dict and field.plan.kind == "map":
        definition["default"] = {}
    elif factory is None and not field.info.is_required():
        default = field.plan.encode(field.info.default)
        if default is not None or field.plan.nullable or field.plan.kind == "any":
            definition["default"] = tagged(default)
    return definition


def shape_of(model: type[BaseModel], fields: tuple[FieldPlan, ...]) -> Shape:
    """How the native module makes instances of `model`, and reads them."""
    from ._native import Shape

    return Shape(
        model,
        [(field.stored, field.attribute, field.plan.reader, field.plan.writer) for field in fields],
        post_init=model.__pydantic_post_init__ is not None,
        extra=model.model_config.get("extra") == "allow",
        json_keys=_json_keys(model, fields),
    )


def _json_keys(model: type[BaseModel], fields: tuple[FieldPlan, ...]) -> dict[str, str | None]:
    """The keys in JSON of the fields that are not printed under their attribute; None for those not printed at all."""
    keys: dict[str, str | None] = {}
    for field in fields:
        if field.info.exclude:
            keys[field.attribute] = None
        elif model.model_config.get("serialize_by_alias") and field.info.serialization_alias:
            keys[field.attribute] = field.info.serialization_alias
    return keys


def prints_plainly(model: type[BaseModel], fields: tuple[FieldPlan, ...]) -> bool:
    """Whether `model_dump_json` of an instance prints the stored values and no more, so that the core may do it."""
    decorators = model.__pydantic_decorators__
    config = model.model_config
    changed = (
        decorators.field_serializers
        or decorators.model_serializers
        or decorators.computed_fields
        or config.get("json_encoders")
        or any(key.startswith("ser_json_") for key in config)
        or any(
            "__get_pydantic_core_schema__" in base.__dict__ for base in model.__mro__ if base not in BaseModel.__mro__
        )
    )
    return not changed and all(_field_prints_plainly(field) for field in fields)


def _field_prints_plainly(field: FieldPlan) -> bool:
    info = field.info
    return info.exclude is True or (field.plan.json_ready and not getattr(info, "exclude_if", None))


def has_aliases(fields: Iterable[FieldPlan]) -> bool:
    """Whether any of the fields, or of those of models inside them, has another name in JSON by `by_alias`."""
    return any(
        field.info.serialization_alias not in (None, field.attribute)
        or any(has_aliases(part.fields) for part in _parts(field.plan))
        for field in fields
    )


def _holds_models(plan: Plan) -> bool:
    """Whether there are models in what a plan describes."""
    return any(part.fields for part in _parts(plan))


def _parts(plan: Plan) -> Iterator[Plan]:
    """A plan and those of its elements."""
    yield plan
    if plan.item is not None:
        yield from _parts(plan.item)
