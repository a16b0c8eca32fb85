"""Filters, updates and sorts as callers write them, with attribute names, into what the core takes: stored names and
the core's values. Pure; what the operators mean is decided in the core."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from .errors import InvalidQueryError, InvalidValueError
from .field import ColumnOptions
from .plan import FieldPlan, Plan
from .values import PLAIN, plain, regex_of, shown

Fields = Mapping[str, FieldPlan]

_LOGIC = ("$and", "$or", "$nor")
_LISTS = ("$in", "$nin", "$all")
#: Operands that are no values of the field.
_FREE = ("$exists", "$size", "$type", "$regex", "$options", "$mod")
_ORDERED = ("$gt", "$gte", "$lt", "$lte")
#: A leg of an update's path that stands for elements of a list: all of them, those that an array filter chooses, or the
#: one that the filter has met.
_POSITIONAL = re.compile(r"\$(?:\[(.*)])?")


def resolve(path: str, fields: Fields) -> tuple[str, Plan | None]:
    """The stored path of an attribute path, and what stands there; unknown legs stay as they are.

    Raises:
        InvalidQueryError: if it is no text.
    """
    if not isinstance(path, str):
        raise InvalidQueryError(f"expected the name of a field, got {shown(path)}")
    known = fields.get(path)
    if known is not None:
        return known.stored, known.plan
    legs: list[str] = []
    plan: Plan | None = None
    scope: Fields | None = fields
    for leg in path.split("."):
        field = scope.get(leg) if scope is not None else None
        if field is not None:
            legs.append(field.stored)
            plan, scope = field.plan, inside(field.plan)
            continue
        legs.append(leg)
        # A key of a map leads to its value; an index or a positional leg (`$[]`, `$[name]`) to an element of a list.
        is_element = leg.isdigit() or _POSITIONAL.fullmatch(leg)
        plan = plan.item if plan is not None and (plan.kind == "map" or is_element) else None
        scope = inside(plan)
    return ".".join(legs), plan


def leads_on(plan: Plan | None) -> bool:
    """Whether there are fields below a place."""
    plan = _element(plan)
    return plan is not None and (bool(plan.fields) or plan.related is not None)


def _element(plan: Plan | None) -> Plan | None:
    while plan is not None and plan.kind == "list":
        plan = plan.item
    return plan


def inside(plan: Plan | None) -> Fields | None:
    """The fields below a place: of the nested model, of the models in a list, of the model behind a relation."""
    plan = _element(plan)
    if plan is not None and plan.related is not None:
        return plan.related()
    return {field.attribute: field for field in plan.fields} if plan is not None and plan.fields else None


def encode(plan: Plan | None, value: Any) -> Any:
    """A value for a place.

    Raises:
        InvalidValueError: if it is none of that place's type.
    """
    try:
        return plain(value) if plan is None else plan.encode(value)
    except ValueError as error:
        raise InvalidValueError(f"{shown(value)} does not fit here: {error}") from error


class at:  # noqa: N801 - it reads as a word, and a generator takes four times as long
    """Says in errors about values where they stand."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, InvalidValueError):
            error.context.setdefault("path", self.path)


def translate(filter: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """A filter in the operator language with stored names.

    Raises:
        InvalidQueryError: if it names one stored field twice.
        InvalidValueError: if an operand does not fit its field.
    """
    out: dict[str, Any] = {}
    for key, value in filter.items():
        if key in _LOGIC:
            path, condition = key, [translate(_part(part), fields) for part in _parts(key, value)]
        elif isinstance(key, str) and key.startswith("$"):
            path, condition = key, plain(value)
        else:
            path, plan = resolve(key, fields)
            with at(path):
                condition = test(value, plan)
        if path in out:
            raise InvalidQueryError(f"the filter names {shown(path)} twice", {"path": path})
        out[path] = condition
    return out


def _parts(key: str, value: Any) -> Iterable[Any]:
    if isinstance(value, (list, tuple)):
        return value
    raise InvalidQueryError(f"{key} takes a list of filters", {"path": key})


def _part(part: Any) -> Mapping[str, Any]:
    """A filter inside another one: a dict, or an expression."""
    compiled = part.__farm_filter__() if hasattr(part, "__farm_filter__") else part
    if isinstance(compiled, Mapping):
        return compiled
    raise InvalidQueryError(f"expected a filter, got {shown(part)}")


def is_operators(value: Any) -> bool:
    """Whether a value is a dict of operators such as `{"$gte": 4}`."""
    if type(value) in PLAIN:
        return False
    if type(value) is not dict and not isinstance(value, Mapping):
        return False
    for key in value:
        if not str(key).startswith("$"):
            return False
    return bool(value)


def test(value: Any, plan: Plan | None) -> Any:
    """The condition at one path: operators, a regular expression or a value to equal."""
    if is_operators(value):
        return {name: operand(name, item, plan) for name, item in value.items()}
    if isinstance(value, re.Pattern):
        return regex_of(value)
    return encode(plan, value)


def operand(name: str, value: Any, plan: Plan | None) -> Any:
    """What stands beside one operator.

    Raises:
        InvalidQueryError: if the operator compares an order that the stored form does not have.
    """
    if name in _LISTS and _is_list(value):
        return [test(item, plan) for item in value]
    if name == "$elemMatch" and isinstance(value, Mapping):
        item = plan.item if plan is not None else None
        return test(value, item) if is_operators(value) else translate(value, inside(item) or {})
    if name == "$not":
        return test(value, plan)
    if name in _FREE:
        return regex_of(value)["$regex"] if isinstance(value, re.Pattern) else plain(value)
    if name in _ORDERED:
        check_ordered(plan)
    return encode(plan, value)


def check_ordered(plan: Plan | None) -> None:
    """Refuses an order of values that are stored in a form with another order.

    Raises:
        InvalidQueryError: if the place holds such values.
    """
    if plan is not None and not plan.ordered:
        raise InvalidQueryError("this field is stored in its text form, whose order is not that of its values")


def update_of(data: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """An update in the operator language with stored names; a dict of fields becomes a `$set`."""
    if not is_operators(data):
        for key in data:
            if str(key).startswith("$"):
                raise InvalidQueryError("an update is a dict of fields or of operators, not of both")
        return {"$set": _changes("$set", data, fields)}
    return {name: _changes(name, value, fields) for name, value in data.items()}


def array_filters_of(filters: Iterable[Any], update: Any, fields: Fields) -> list[dict[str, Any]]:
    """The array filters of an update (still with attribute names) with stored names.

    Raises:
        InvalidQueryError: if one of them is no filter.
        InvalidValueError: if an operand does not fit the elements.
    """
    if filters == ():
        return []
    scope = {
        name: FieldPlan(name, name, plan, ColumnOptions(), FieldInfo())
        for name, plan in _identifiers(update, fields)
        if plan is not None
    }
    if isinstance(filters, (Mapping, str, bytes)) or not isinstance(filters, Iterable):
        raise InvalidQueryError("array_filters is a list of filters", {"path": "array_filters"})
    return [_array_filter(position, one, scope) for position, one in enumerate(filters)]


def _array_filter(position: int, one: Any, scope: Fields) -> dict[str, Any]:
    try:
        return translate(_part(one), scope)
    except InvalidQueryError as error:
        error.context.setdefault("path", f"array_filters.{position}")
        raise


def _identifiers(update: Any, fields: Fields) -> Iterator[tuple[str, Plan | None]]:
    """The names in `$[name]` of an update's paths, and what the elements are."""
    if not isinstance(update, Mapping):
        return
    for changes in update.values() if is_operators(update) else (update,):
        for path in changes if isinstance(changes, Mapping) else ():
            legs = str(path).split(".")
            for end, leg in enumerate(legs, 1):
                if (found := _POSITIONAL.fullmatch(leg)) and found[1] is not None:
                    yield found[1], resolve(".".join(legs[:end]), fields)[1]


def _changes(name: str, changes: Any, fields: Fields) -> Any:
    if type(changes) is not dict and not isinstance(changes, Mapping):
        raise InvalidQueryError(f"{name} takes a dict of fields", {"path": name})
    out: dict[str, Any] = {}
    for key, value in changes.items():
        path, plan = resolve(key, fields)
        with at(path):
            out[path] = _change(name, value, plan, fields)
    return out


def _change(name: str, value: Any, plan: Plan | None, fields: Fields) -> Any:
    item = plan.item if plan is not None else None
    if name in ("$push", "$addToSet"):
        if is_operators(value):
            return {key: _modifier(key, one, item) for key, one in value.items()}
        return encode(item, value)
    if name == "$pull":
        if isinstance(value, Mapping) and not is_operators(value):
            return translate(value, inside(item) or {})
        return test(value, item)
    if name == "$pullAll":
        return _each(value, item)
    if name == "$rename":
        return resolve(str(value), fields)[0]
    if name in ("$unset", "$currentDate", "$pop"):
        return plain(value)
    return encode(plan, value)


def _modifier(key: str, value: Any, item: Plan | None) -> Any:
    return _each(value, item) if key == "$each" else plain(value)


def _each(value: Any, item: Plan | None) -> Any:
    """The elements of a list; what is none goes on as it is, and the core says what it wants."""
    return [encode(item, one) for one in value] if _is_list(value) else plain(value)


def listed(name: str, value: Any) -> Iterable[Any]:
    """An argument that is a list of something.

    Raises:
        InvalidQueryError: if it is none.
    """
    if isinstance(value, Iterable):
        return value
    raise InvalidQueryError(f"{name} is a list, got {shown(value)}", {"argument": name})


def mapped(name: str, value: Any) -> Mapping[Any, Any]:
    """An argument that is a dict; None is an empty one.

    Raises:
        InvalidQueryError: if it is none.
    """
    if value is None or isinstance(value, Mapping):
        return value or {}
    raise InvalidQueryError(f"{name} is a dict, got {shown(value)}", {"argument": name})


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def sort_of(keys: Iterable[Any], fields: Fields) -> list[str]:
    """Sort keys of every form as `"-created_at"` and `"name"` with stored names.

    Raises:
        InvalidQueryError: if a key is none of the forms, or the field has no order.
    """
    out: list[str] = []
    for key in keys:
        if isinstance(key, str) and (known := fields.get(key.removeprefix("-"))) is not None:
            check_ordered(known.plan)
            out.append(f"-{known.stored}" if key.startswith("-") else known.stored)
        elif isinstance(key, Mapping):
            out += sort_of(key.items(), fields)
        elif isinstance(key, list):
            out += sort_of(key, fields)
        else:
            path, descending = _sort_key(key)
            stored, plan = resolve(path, fields)
            check_ordered(plan)
            out.append(f"-{stored}" if descending else stored)
    return out


def _sort_key(key: Any) -> tuple[str, bool]:
    if isinstance(key, tuple) and len(key) == 2 and key[1] in (1, -1):
        return _sort_key(key[0])[0], key[1] == -1
    text = key if isinstance(key, str) else getattr(key, "_sort_key", None)
    if not isinstance(text, str) or not text.lstrip("+-"):
        raise InvalidQueryError(f'expected a sort key such as "-created_at", got {shown(key)}')
    return text.lstrip("+-"), text.startswith("-")
