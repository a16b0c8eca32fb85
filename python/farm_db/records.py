"""What callers write, validated: instances to insert, and the changed fields of an update."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaValidator, core_schema

from .errors import FarmDbError, InvalidQueryError, InvalidValueError, UnknownFieldError
from .filters import is_operators, update_of
from .values import deep_contents, shown

if TYPE_CHECKING:
    from . import _native
    from .entity import Entity
    from .model import Document
    from .selection import Data

M = TypeVar("M", bound="Document")

_MODEL_VALIDATE = BaseModel.model_validate.__func__  # type: ignore[attr-defined]


def invalid(model: type[BaseModel], error: ValidationError) -> InvalidValueError:
    """Pydantic's findings as our error: the first in the message, all in `context["errors"]`, without the input."""
    findings = error.errors(include_url=False, include_context=False, include_input=False)
    first = findings[0]
    path = ".".join(str(leg) for leg in first["loc"])
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    message = f"{first['msg'][:1].lower()}{first['msg'][1:]}{more}"
    context = {"model": model.__name__, "errors": findings}
    return InvalidValueError(message, {**context, "path": path} if path else context)


def validated(model: type[M], data: Any) -> M:
    """An instance of `model` from a dict of attributes or aliases.

    Raises:
        InvalidValueError: if the validators refuse it.
    """
    try:
        return model.model_validate(data, by_alias=True, by_name=True)
    except ValidationError as error:
        raise invalid(model, error) from error


def record_of(model: type[M], data: M | BaseModel | Mapping[str, Any]) -> M:
    """The instance that a caller wants stored.

    Args:
        model: The model of the repository.
        data: An instance (checked again where the model's Settings say `validate_on_save`), a schema (its unset
            fields get the model's defaults) or a dict.

    Raises:
        InvalidValueError: if the validators refuse it.
    """
    if type(data) is dict:
        return validated(model, data.copy())
    if isinstance(data, model):
        if model.__farm_setting__("validate_on_save", False):
            return validated(model, deep_contents(data))
        return data
    if isinstance(data, BaseModel):
        return validated(model, deep_contents(data, only_set=True))
    if isinstance(data, Mapping):
        return validated(model, dict(data))
    raise InvalidValueError(f"expected a {model.__name__}, a schema or a dict, got {type(data).__name__}")


def records_of(entity: Entity, records: Iterable[M | Data]) -> Iterator[M | dict[str, Any]]:
    """The instances that a caller wants stored, one after the other, so that none lives longer than it has to; of dicts
    for a plain model the validated attributes.

    Raises:
        InvalidValueError: if the validators refuse one.
    """
    model = cast("type[M]", entity.model)
    if getattr(model.model_validate, "__func__", None) is not _MODEL_VALIDATE:
        yield from (record_of(model, data) for data in records)
        return
    plain = entity.attributes_validator
    validate = (plain or model.__pydantic_validator__).validate_python
    for data in records:
        # What `record_of` does about a dict, without the calls in between.
        if type(data) is not dict:
            yield record_of(model, data)
            continue
        try:
            # In no variable, so that nobody else has it when it is taken.
            yield validate(data if plain else data.copy(), by_alias=True, by_name=True)
        except ValidationError as error:
            raise invalid(model, error) from error


async def created(creation: _native.Creation) -> list[Any]:
    """The rows of a `create_many`, which leaves the loop its turns meanwhile."""
    # Importing the package must not take the time that this takes.
    from asyncio import sleep

    try:
        while not creation.take():
            await (creation.room() or sleep(0))
        rows = await creation.insert()
        while rows is None and (rows := creation.rows()) is None:
            await (creation.room() or sleep(0))
    except Exception:
        with suppress(FarmDbError):
            # In no variable: it keeps the error, which keeps this frame.
            await (creation.undo() or sleep(0))
        raise
    else:
        return rows
    finally:
        creation.close()


def changes_of(entity: Entity, data: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """An update in the operator language with stored names, its `$set` checked by the model's validators.

    Args:
        entity: The entity to change.
        data: A dict of fields or of operators; or a schema or instance, whose unset fields stay untouched. An
            instance's key and automatic fields stay untouched too.

    Raises:
        InvalidQueryError: if it is no update.
        InvalidValueError: if a validator refuses a value.
        UnknownFieldError: if the model has no such field.
    """
    if type(data) is not dict:
        if isinstance(data, BaseModel):
            fields = deep_contents(data, only_set=True)
            if isinstance(data, entity.model):
                own = {*entity.key, *entity.automatic.values()}
                fields = {name: value for name, value in fields.items() if name not in own}
            return update_of(_checked(entity, fields), entity.fields)
        if not isinstance(data, Mapping):
            raise InvalidQueryError(f"an update is a dict of fields or of operators, got {shown(data)}")
    if not is_operators(data):
        return update_of(_checked(entity, data), entity.fields)
    checked = {
        name: _checked(entity, value) if name == "$set" and isinstance(value, Mapping) else value
        for name, value in data.items()
    }
    return update_of(checked, entity.fields)


def _checked(entity: Entity, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values after the validators of their fields; what lies deeper (`profile.city`) is left to the core."""
    values = {entity.aliases.get(name, name): value for name, value in values.items()}
    if odd := [name for name in values if not isinstance(name, str)]:
        raise InvalidQueryError(f"expected the name of a field, got {shown(odd[0])}")
    whole = {name: value for name, value in values.items() if name in entity.fields}
    for name in values:
        if name not in whole and not name.startswith("$") and "." not in name:
            _refuse_unknown(entity, name)
    try:
        checked = entity.validator.validate_python(whole, by_name=True)
    except ValidationError as error:
        raise invalid(entity.model, error) from error
    return {**values, **checked}


def _refuse_unknown(entity: Entity, name: str) -> None:
    if name not in {field.stored for field in entity.fields.values()}:
        model = entity.model.__name__
        raise UnknownFieldError(f"{model} has no field {shown(name)}", {"model": model, "field": name})


def attributes_validator(model: type[BaseModel]) -> SchemaValidator | None:
    """A validator of dicts that gives the attributes of an instance in their order, without making the instance.

    None where the model does more than to validate its fields: where its code sees the dict or the instance, or where
    an instance has more than fields.
    """
    schema = cast("dict[str, Any]", model.__pydantic_core_schema__)
    more = ("custom_init", "root_model", "post_init", "strict")
    if schema["type"] != "model" or any(schema.get(key) for key in more):
        return None
    inner, config = schema["schema"], schema.get("config", {})
    if inner["type"] != "model-fields" or config.get("extra_fields_behavior") == "allow" or config.get("strict"):
        return None
    fields = {
        name: core_schema.typed_dict_field(
            field["schema"],
            required=field["schema"]["type"] != "default",
            validation_alias=field.get("validation_alias"),
        )
        for name, field in inner["fields"].items()
    }
    return SchemaValidator(core_schema.typed_dict_schema(fields, cls_name=model.__name__, config=config))


def partial_validator(model: type[BaseModel]) -> SchemaValidator:
    """A validator of some of a model's fields: those given, by their own validators and nothing else's."""
    schema = cast("dict[str, Any]", model.__pydantic_core_schema__)
    definitions = schema["definitions"] if schema["type"] == "definitions" else []
    config: Any = None
    while "fields" not in schema:
        # Through `definitions`, the functions of model validators and `model` down to `model-fields`.
        config = schema.get("config", config)
        schema = _target(schema, definitions) if schema["type"] == "definition-ref" else schema["schema"]
    fields = {
        name: core_schema.typed_dict_field(
            _without_default(field["schema"]), required=False, validation_alias=field.get("validation_alias")
        )
        for name, field in schema["fields"].items()
    }
    partial: core_schema.CoreSchema = core_schema.typed_dict_schema(fields, config=config)
    if definitions:
        partial = core_schema.definitions_schema(partial, definitions)
    return SchemaValidator(partial)


def _target(reference: dict[str, Any], definitions: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in definitions if one.get("ref") == reference["schema_ref"])
    return found


def _without_default(schema: Any) -> Any:
    """An absent field stays absent; `Field(default=...)` must not come in."""
    if schema["type"] == "default":
        return schema["schema"]
    if str(schema["type"]).startswith("function-") and "schema" in schema:
        return {**schema, "schema": _without_default(schema["schema"])}
    return schema
