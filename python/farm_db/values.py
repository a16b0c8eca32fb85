"""Python values as the core knows them, and as tagged JSON (ARCHITECTURE.md, "Values and tagged JSON")."""

from __future__ import annotations

import base64
import dataclasses
import math
import re
import reprlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, RootModel

from .errors import InvalidValueError
from .objectid import ObjectId

#: The types of the core's single values; looked up exactly, subclasses go the long way.
SCALARS: dict[type, str] = {
    int: "int",
    float: "float",
    Decimal: "decimal",
    str: "text",
    bytes: "bytes",
    bool: "bool",
    UUID: "uuid",
    ObjectId: "object_id",
    datetime: "datetime",
    date: "date",
    time: "time",
}
PLAIN: frozenset[type] = frozenset({*SCALARS, type(None)})


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = 200


def shown(value: Any) -> str:
    """A value in a message: short, and whatever was given, because it may come from a request."""
    try:
        return _SHORT.repr(value)
    except Exception:
        # An int of more digits than Python writes, an object whose own `repr` fails or is nested too deep.
        return f"<{type(value).__qualname__}>"


def utc_now() -> datetime:
    """The current moment as an aware UTC datetime."""
    return datetime.now(timezone.utc)


def plain(value: Any) -> Any:
    """`value` made of nothing but the core's types, lists and dicts; models by their attributes.

    What none of these describes is refused with InvalidValueError.
    """
    if type(value) in PLAIN:
        return value
    try:
        return _composed(value)
    except RecursionError:
        raise InvalidValueError("a value is nested too deep, or holds itself") from None


def _composed(value: Any) -> Any:
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, RootModel):
        return plain(value.root)
    if isinstance(value, BaseModel):
        return {name: plain(item) for name, item in contents(value).items()}
    if isinstance(value, Mapping):
        return {plain_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, AbstractSet):
        return [plain(item) for item in ordered(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return _other(value)


def _other(value: Any) -> Any:
    """A value of a class that is none of ours: by the class it extends.

    Raises:
        InvalidValueError: if it extends none that a database can hold.
    """
    if type(value).__name__ == "ObjectId" and ObjectId.is_valid(value):
        return ObjectId(value)
    for kind in (bool, int, float, Decimal, bytes, UUID, datetime, date, time):
        if isinstance(value, kind):
            return value
    if isinstance(value, str):
        return str(value)
    raise InvalidValueError(f"{type(value).__qualname__} is no value that a database can hold")


def plain_key(key: Any) -> str:
    """A key of a dict as text: an Enum by its value, everything else by `str`."""
    return key if type(key) is str else str(key.value if isinstance(key, Enum) else key)


def ordered(values: AbstractSet[Any]) -> list[Any]:
    """The elements of a set in a stable order where they have one."""
    try:
        return sorted(values, key=plain)
    except TypeError:
        return list(values)


def contents(model: BaseModel) -> dict[str, Any]:
    """A model's fields by name, undeclared ones (`extra="allow"`) included; untouched by serializers.

    What else stands in the instance's `__dict__`, such as loaded relations and cached properties, is no field.
    """
    fields = type(model).__pydantic_fields__
    declared = {name: value for name, value in model.__dict__.items() if name in fields}
    return {**declared, **(model.__pydantic_extra__ or {})}


def deep_contents(value: Any, *, only_set: bool = False) -> Any:
    """A model, and the models inside it, as dicts of attributes; what validation starts from.

    Args:
        value: The model, or what stands in one.
        only_set: Only attributes that someone has set.
    """
    if isinstance(value, RootModel):
        return deep_contents(value.root, only_set=only_set)
    if isinstance(value, BaseModel):
        chosen = value.model_fields_set if only_set else contents(value).keys()
        return {
            name: deep_contents(item, only_set=only_set) for name, item in contents(value).items() if name in chosen
        }
    if type(value) is dict:
        return {key: deep_contents(item, only_set=only_set) for key, item in value.items()}
    if type(value) is list:
        return [deep_contents(item, only_set=only_set) for item in value]
    return value


def regex_of(pattern: re.Pattern[str]) -> dict[str, str]:
    """A compiled regular expression as the operators `$regex` and `$options`."""
    flags = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"), (re.VERBOSE, "x"))
    options = "".join(letter for flag, letter in flags if pattern.flags & flag)
    return {"$regex": pattern.pattern, "$options": options} if options else {"$regex": pattern.pattern}


def tagged(value: Any) -> Any:
    """A plain value as tagged JSON, ready for `json.dumps`.

    Raises:
        TypeError: for a value that is not plain.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$numberDouble": _float_name(value)}
    if isinstance(value, Mapping):
        return {key: tagged(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tagged(item) for item in value]
    if isinstance(value, Decimal):
        return {"$numberDecimal": str(value)}
    if isinstance(value, bytes):
        return {"$binary": {"base64": base64.b64encode(value).decode(), "subType": "00"}}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    if isinstance(value, ObjectId):
        return {"$oid": str(value)}
    return _tagged_moment(value)


def _float_name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _tagged_moment(value: Any) -> dict[str, str]:
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
        return {"$date": moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"}
    if isinstance(value, date):
        return {"$day": value.isoformat()}
    if isinstance(value, time):
        return {"$time": value.replace(tzinfo=None).isoformat(timespec="microseconds")}
    raise TypeError(f"{type(value).__name__} is no value of a contract")
