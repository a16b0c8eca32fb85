"""The constraints and column options that stand in `Annotated` metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from pydantic import ConfigDict
from pydantic.fields import FieldInfo

from .field import ColumnOptions
from .values import SCALARS, plain, tagged

_LENGTHS = ("min_length", "max_length")
_BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")
_DIGITS = ("max_digits", "decimal_places")

#: Which constraints mean something for which types.
_NAMES: dict[str, tuple[str, ...]] = {
    "int": _BOUNDS,
    "float": _BOUNDS,
    "decimal": (*_BOUNDS, *_DIGITS),
    "text": (*_LENGTHS, "pattern"),
    "bytes": _LENGTHS,
    "datetime": _BOUNDS[:4],
    "date": _BOUNDS[:4],
    "time": _BOUNDS[:4],
    "list": _LENGTHS,
    "map": _LENGTHS,
}


def flatten(metadata: Iterable[Any]) -> Iterator[Any]:
    """Every piece of metadata; those inside a `Field()` of their own included."""
    for piece in metadata:
        if isinstance(piece, FieldInfo):
            yield from flatten(piece.metadata)
        else:
            yield piece


def options_of(metadata: Iterable[Any], inner: ColumnOptions) -> ColumnOptions:
    """The column options in the metadata, over those found further inside."""
    options = inner
    for piece in flatten(metadata):
        if isinstance(piece, ColumnOptions):
            options = options.merge(piece)
    return options


def constraints_of(metadata: Iterable[Any], kind: str, *, exact: bool, config: ConfigDict) -> dict[str, Any]:
    """The contract's constraints for a field of this kind.

    Args:
        metadata: `annotated_types` objects, `StringConstraints`, what Pydantic's `Field` leaves.
        kind: The contract's type.
        exact: Whether the stored value is the Python value; bounds on anything else stay with Pydantic.
        config: The model's configuration.
    """
    found: dict[str, Any] = {}
    if not exact:
        return found
    names = _NAMES.get(kind, ())
    for piece in flatten(metadata):
        if isinstance(piece, ColumnOptions):
            continue
        for name in names:
            value = getattr(piece, name, None)
            if value is not None and (name != "pattern" or config.get("regex_engine") != "python-re"):
                found[name] = _constraint(name, value)
    # `min_length=0` and an unbounded `Len` say nothing.
    return {name: value for name, value in found.items() if not (name == "min_length" and value == 0)}


def _constraint(name: str, value: Any) -> Any:
    if name == "pattern":
        return _pattern(value)
    if name in _BOUNDS:
        value = plain(value)
        return tagged(value) if type(value) in SCALARS else tagged(Decimal(str(value)))
    return int(value)


def _pattern(value: str | re.Pattern[str]) -> str:
    """The text of a regular expression, its flags written inside it."""
    if isinstance(value, str):
        return value
    letters = "".join(
        letter
        for flag, letter in ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"), (re.VERBOSE, "x"))
        if value.flags & flag
    )
    return f"(?{letters}){value.pattern}" if letters else value.pattern
