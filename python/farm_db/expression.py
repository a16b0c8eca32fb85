"""Typed expressions: `Resource.rating >= 4`, `col(Resource.tags).contains("a")`, `-Resource.created_at`.

At run time an attribute of a model class is a `Column`, whose comparisons are `Expression`s. Type checkers see the
attribute's own type, so comparisons check as `bool` (which every filter position accepts); `col()` gives them the
`Column` for its methods, as in SQLModel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

from .errors import InvalidQueryError
from .filters import Fields, check_ordered, encode, inside, is_operators, leads_on, test, translate
from .plan import Plan

T = TypeVar("T")


class Expression:
    """A condition; combine with `&`, `|` and `~`, give it to `find` and its like."""

    __slots__ = ("_filter",)

    def __init__(self, filter: Mapping[str, Any]) -> None:
        self._filter = dict(filter)

    def to_filter(self) -> dict[str, Any]:
        """The condition in the operator language, with stored names."""
        return self._filter

    __farm_filter__ = to_filter

    def __and__(self, other: Expression | bool) -> Expression:
        return Expression({"$and": [*self._parts("$and"), *_expression(other)._parts("$and")]})

    def __or__(self, other: Expression | bool) -> Expression:
        return Expression({"$or": [*self._parts("$or"), *_expression(other)._parts("$or")]})

    def __rand__(self, other: bool) -> Expression:
        return _expression(other) & self

    def __ror__(self, other: bool) -> Expression:
        return _expression(other) | self

    def __invert__(self) -> Expression:
        return Expression({"$nor": [self._filter]})

    def _parts(self, operator: str) -> list[Any]:
        """The parts of a condition that is already joined by this operator, else the condition itself."""
        return self._filter[operator] if list(self._filter) == [operator] else [self._filter]

    def __bool__(self) -> bool:
        raise TypeError(
            "an expression has no truth value before the database answers: "
            "join with & | ~ instead of `and` `or` `not`, and write a range as .between(low, high)"
        )

    def __repr__(self) -> str:
        return f"Expression({self._filter!r})"


#: What every filter position takes. `bool` is how type checkers see `Resource.name == "x"`; a real one is refused.
FilterLike: TypeAlias = Expression | bool | Mapping[str, Any]


class SortKey:
    """A column with a direction: `-Resource.created_at`."""

    __slots__ = ("_sort_key",)

    def __init__(self, sort_key: str) -> None:
        self._sort_key = sort_key

    def __repr__(self) -> str:
        return f"SortKey({self._sort_key!r})"


class Column(Generic[T]):
    """A field of a model, or a place inside one, as it stands in queries.

    Attributes lead on into nested models (`Resource.profile.city`), keys into maps and lists
    (`Resource.metadata["colour"]`). A nested field wins over a method of its name, as type checkers see it.
    """

    __slots__ = ("_path", "_plan", "_sort_key")

    if not TYPE_CHECKING:

        def __new__(cls, path="", stored="", plan=None):
            """A column, of the class that looks inside where there is something."""
            return object.__new__(_Parent if cls is Column and leads_on(plan) else cls)

    def __init__(self, path: str, stored: str, plan: Plan | None) -> None:
        self._sort_key = path
        self._path = stored
        self._plan = plan

    def __getattr__(self, name: str) -> Column[Any]:
        raise AttributeError(f"{self._sort_key!r} has no field {name!r} inside, and a column has no such method")

    def __getitem__(self, key: str | int) -> Column[Any]:
        name = str(key)
        fields = inside(self._plan)
        if fields is not None and name in fields:
            return self._child(name, fields[name].stored, fields[name].plan)
        is_element = self._plan is not None and (self._plan.kind == "map" or name.isdigit())
        return self._child(name, name, self._plan.item if self._plan is not None and is_element else None)

    def __iter__(self) -> Any:
        raise TypeError(f"{self._sort_key!r} is a column: it cannot be iterated over")

    def _child(self, name: str, stored: str, plan: Plan | None) -> Column[Any]:
        return Column(_join(self._sort_key, name), _join(self._path, stored), plan)

    # A comparison with a whole value.

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self._test("$eq", self._operand(other))

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return self._test("$ne", self._operand(other))

    def __lt__(self, other: T) -> Expression:
        return self._order("$lt", other)

    def __le__(self, other: T) -> Expression:
        return self._order("$lte", other)

    def __gt__(self, other: T) -> Expression:
        return self._order("$gt", other)

    def __ge__(self, other: T) -> Expression:
        return self._order("$gte", other)

    __hash__ = object.__hash__

    def between(self, low: T, high: T) -> Expression:
        """From `low` to `high`, both included."""
        check_ordered(self._plan)
        return Expression({self._path: {"$gte": self._operand(low), "$lte": self._operand(high)}})

    def in_(self, values: Iterable[Any]) -> Expression:
        """Equal to one of the values (of a list field: one of its elements is)."""
        return self._test("$in", [self._operand(value) for value in values])

    def not_in(self, values: Iterable[Any]) -> Expression:
        """Equal to none of the values."""
        return self._test("$nin", [self._operand(value) for value in values])

    def is_null(self) -> Expression:
        """Null, or missing inside a document."""
        return self._test("$eq", None)

    def is_not_null(self) -> Expression:
        """Neither null nor missing."""
        return self._test("$ne", None)

    def exists(self, flag: bool = True) -> Expression:
        """Present inside its document, null included."""
        return self._test("$exists", flag)

    # Text.

    def like(self, pattern: str) -> Expression:
        """SQL's LIKE: `%` is any text, `_` one character, a backslash takes the next character literally."""
        return self._regex(_like(pattern), "s")

    def ilike(self, pattern: str) -> Expression:
        """`like`, without regard to upper and lower case."""
        return self._regex(_like(pattern), "is")

    def startswith(self, text: str) -> Expression:
        """Text that begins with `text`."""
        return self._regex(f"^{_escape(text)}")

    def endswith(self, text: str) -> Expression:
        """Text that ends with `text`."""
        return self._regex(rf"{_escape(text)}\z")

    def regex(self, pattern: str | re.Pattern[str], options: str = "") -> Expression:
        """Text in which a regular expression is found; options are letters of `imsx`."""
        if isinstance(pattern, re.Pattern):
            return Expression({self._path: test(pattern, None)})
        return self._regex(pattern, options)

    # Lists and maps.

    def contains(self, value: Any) -> Expression:
        """A list with this element, or text with this text in it."""
        if self._plan is not None and self._plan.kind == "text":
            return self._regex(_escape(str(value)))
        return self._test("$eq", self._operand(value))

    def contains_all(self, values: Iterable[Any]) -> Expression:
        """A list with every one of these elements."""
        return self._test("$all", [self._operand(value) for value in values])

    def size(self, length: int) -> Expression:
        """A list of this length."""
        return self._test("$size", length)

    def elem_match(self, condition: Mapping[str, Any] | Expression | bool | Callable[[Any], Any]) -> Expression:
        """A list with one element that satisfies the whole condition.

        Args:
            condition: A function of the element (`lambda item: (item.price > 3) & (item.name == "x")`), an expression
                on this list's fields (`Order.items.price > 3`), or a dict of fields or operators.
        """
        item = self._plan.item if self._plan is not None else None
        fields = inside(item) or {}
        if callable(condition) and not isinstance(condition, Expression):
            condition = cast(FilterLike, condition(Column(self._sort_key, self._path, item)))
        if isinstance(condition, Mapping):
            inner = test(condition, item) if is_operators(condition) else translate(condition, fields)
        else:
            inner = _relative(_expression(condition).to_filter(), self._path)
        return self._test("$elemMatch", inner)

    any = elem_match

    # Order.

    def __neg__(self) -> SortKey:
        return SortKey(f"-{self._sort_key}")

    def __pos__(self) -> SortKey:
        return SortKey(self._sort_key)

    def __bool__(self) -> bool:
        raise TypeError(f"{self._sort_key!r} is a column and has no truth value: compare it, and join with & | ~")

    def __repr__(self) -> str:
        return f"Column({self._sort_key!r})"

    def __farm_filter__(self) -> dict[str, Any]:
        """A bool column by itself is a condition: that it is true."""
        if self._plan is None or self._plan.kind != "bool":
            raise InvalidQueryError(f"{self._sort_key!r} alone is no condition: compare it with something")
        return {self._path: {"$eq": True}}

    def _test(self, operator: str, value: Any) -> Expression:
        return Expression({self._path: {operator: value}})

    def _order(self, operator: str, value: Any) -> Expression:
        check_ordered(self._plan)
        return self._test(operator, self._operand(value))

    def _operand(self, value: Any) -> Any:
        if isinstance(value, (Column, Expression)):
            raise InvalidQueryError(f"{self._sort_key!r} can be compared with values, not with another column")
        return encode(self._plan, value)

    def _regex(self, pattern: str, options: str = "") -> Expression:
        return Expression({self._path: {"$regex": pattern, "$options": options} if options else {"$regex": pattern}})


class _Parent(Column[T]):
    """A column that others lie inside of. Only these pay for looking at every attribute that is asked for."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattribute__(self, name):
            if not name.startswith("_"):
                fields = inside(object.__getattribute__(self, "_plan"))
                if fields is not None and name in fields:
                    return self._child(name, fields[name].stored, fields[name].plan)
            return object.__getattribute__(self, name)


def col(value: T | None) -> Column[T]:
    """The column behind `Model.field`, so that type checkers know its methods: `col(Resource.tags).contains("a")`.

    Raises:
        TypeError: for anything that is not an attribute of a model class.
    """
    if isinstance(value, Column):
        return value
    raise TypeError(f"col() takes an attribute of a model class such as Resource.name, got {value!r}")


def compile_filters(filters: Sequence[Any], fields: Fields) -> dict[str, Any]:
    """All conditions as one filter in the operator language with stored names; empty for none.

    Raises:
        InvalidQueryError: for something that is no condition.
    """
    try:
        if len(filters) == 1:
            return _compile(filters[0], fields)
        parts = [_compile(one, fields) for one in filters]
    except RecursionError:
        raise InvalidQueryError("a filter is nested too deep, or holds itself") from None
    parts = [part for part in parts if part]
    return parts[0] if len(parts) == 1 else {"$and": parts} if parts else {}


def _compile(one: Any, fields: Fields) -> dict[str, Any]:
    if isinstance(one, (Expression, Column)):
        return one.__farm_filter__()
    if isinstance(one, Mapping):
        return translate(one, fields)
    if isinstance(one, bool):
        raise InvalidQueryError(f"a filter is {one}: that comparison was made by Python, not with a model's attribute")
    raise InvalidQueryError(f"expected an expression or a dict as a filter, got {type(one).__name__}")


def _expression(other: Any) -> Expression:
    """The other side of `&` and `|`."""
    if isinstance(other, Expression):
        return other
    if isinstance(other, Column):
        return Expression(other.__farm_filter__())
    raise TypeError(f"expected an expression, got {other!r}: put each comparison into parentheses")


def _join(path: str, leg: str) -> str:
    return f"{path}.{leg}" if path else leg


def _relative(filter: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A condition on places below `path` as a condition on one element of the list there."""
    if list(filter) == [path]:
        return dict(filter[path])
    if list(filter) == ["$and"] and all(list(part) == [path] for part in filter["$and"]):
        return _merged([part[path] for part in filter["$and"]])
    return {
        key if key.startswith("$") else _below(key, path): (
            [_relative(part, path) for part in value] if key.startswith("$") else value
        )
        for key, value in filter.items()
    }


def _below(key: str, path: str) -> str:
    if key.startswith(f"{path}."):
        return key[len(path) + 1 :]
    raise InvalidQueryError(f"{key!r} does not lie inside {path!r}", {"path": key})


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several tests of one element of a list of plain values."""
    merged: dict[str, Any] = {}
    for part in parts:
        if merged.keys() & part.keys():
            raise InvalidQueryError("a test of plain elements cannot use one operator twice")
        merged.update(part)
    return merged


_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


def _escape(text: str) -> str:
    """`text` as a regular expression that finds it; only what every engine knows as special is escaped."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def _like(pattern: str) -> str:
    """A LIKE pattern as an anchored regular expression."""
    out: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            out.append(".*")
        elif character == "_":
            out.append(".")
        else:
            out.append(_escape(next(characters, "\\") if character == "\\" else character))
    return f"^{''.join(out)}\\z"
