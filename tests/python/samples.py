"""Values that break things, strategies that make more of them, and an equality that misses nothing."""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from farm_db import ObjectId

NAUGHTY = [
    "",
    " ",
    "\t\r\n",
    "null",
    "NULL",
    "undefined",
    "true",
    "0",
    "1e5",
    "NaN",
    '\'; DROP TABLE "values"; --',
    'a"b',
    "a'b",
    "a\\b",
    "\\u0000",
    "%s %d ? ?1 :id $1 @x",
    "{{7*7}}",
    "a\x00b",
    "\x01\x1f\x7f\x80\x9f",
    "\ufeffbom",
    "\u200b\u202e\u2066rtl",
    "é",
    "e\u0301",
    "\ufb00 \xdf \u0130 \u0131 \u017f",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "𐍈\U0010ffff",
    "\ufffe\uffff\ufffd",
    "田中さんにあげて下さい",
    "ثم نفس سقطت",
    "$where",
    "$oid",
    "a.b.c",
    "__proto__",
    "x" * 100_000,
]
EDGES: dict[str, list[Any]] = {
    "int_": [0, 1, -1, 2**31, -(2**31), 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)],
    "float_": [
        0.0,
        -0.0,
        0.1,
        1.0,
        -1.5,
        1e-300,
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        2.0**53,
        2.0**53 + 2,
        2.0**63,
        math.inf,
        -math.inf,
        1 / 3,
    ],
    "decimal": [
        Decimal(text)
        for text in (
            "0",
            "-0",
            "0.00",
            "1",
            "1.0",
            "1.10",
            "-1.10",
            "1E+2",
            "12E+30",
            "1E-30",
            "0.1",
            "9999999999999999999999999999999999",
            "-0.1234567890123456789012345678901234",
            "1234567890123456789012345678901.234",
            "9007199254740993",
            "0.30000000000000000000000000000004",
        )
    ],
    "text": NAUGHTY,
    "bytes_": [b"", b"\x00", b"\xff\xfe", bytes(range(256)), b"text", b"\x00" * 10_000],
    "bool_": [True, False],
    "uuid": [UUID(int=0), UUID(int=2**128 - 1), UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")],
    "object_id": [ObjectId(b"\x00" * 12), ObjectId(b"\xff" * 12), ObjectId("59a47286cfa9a3a73e51e72c")],
    "datetime_": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(1582, 10, 14, 12, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 30, 45, 123_456, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 30, 45, 100_000, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 3, 31, 2, 30, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45, seconds=7))),
    ],
    "date_": [date(1, 1, 1), date(1969, 12, 31), date(1970, 1, 1), date(2000, 2, 29), date(9999, 12, 31)],
    "time_": [time(0), time(23, 59, 59, 999_999), time(12, 0, 0, 1), time(12, 0, 0, 100_000)],
}

ints = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)
decimals = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(map(int, str(digits))), exponent)),
    st.integers(0, 1),
    st.one_of(st.integers(0, 9999), st.integers(0, 10**34 - 1)),
    st.integers(-60, 60),
)
#: NUL is refused; see `test_bad_input.py`.
texts = st.one_of(st.sampled_from(NAUGHTY[:-1]), st.text()).map(lambda text: text.replace("\x00", "0"))
#: Keys of maps: not empty, without dots, no `$` in front.
keys = texts.map(lambda text: text.replace(".", "").lstrip("$") or "k")
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.one_of(st.just(UTC), zones))
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "int_": ints,
    "float_": floats,
    "decimal": decimals,
    "text": texts,
    "bytes_": st.binary(),
    "bool_": st.booleans(),
    "uuid": st.uuids(),
    "object_id": st.binary(min_size=12, max_size=12).map(ObjectId),
    "datetime_": moments,
    "date_": st.dates(),
    "time_": st.times(),
}
scalars = st.one_of(st.none(), *STRATEGIES.values())
nested = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


def is_negative_zero(value: Any) -> bool:
    return isinstance(value, (float, Decimal)) and value == 0 and math.copysign(1, value) < 0


def order(value: Any) -> Any:
    """The place of a value among those of its type: Python's own, but short bytes come before long ones."""
    return (len(value), value) if isinstance(value, bytes) else value


def without_zeros(value: Decimal) -> Decimal:
    """The equal number without zeros at its end and without an exponent."""
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    kept = Decimal((sign, tuple(map(int, text)), exponent + len(digits) - len(text))) if text else Decimal(0)
    return Decimal(f"{kept:f}") if -60 < kept.as_tuple().exponent < 60 else kept


def as_held(capabilities: dict[str, Any], value: Any) -> Any:
    """A value as a backend with these capabilities gives it back; `None` where it declares to refuse it."""
    if isinstance(value, Decimal) and not capabilities["decimal_scale"]:
        plain = without_zeros(value)
        places = -plain.as_tuple().exponent
        # One with an exponent has more digits than it shows.
        fits = 0 <= places <= capabilities["decimal_places"] and len(plain.as_tuple().digits) <= 34
        return plain if fits else None
    if isinstance(value, float) and math.isinf(value) and not capabilities["infinite_floats"]:
        return None
    if isinstance(value, Decimal) and value.as_tuple().exponent > 0 and not capabilities["positive_exponents"]:
        plain = Decimal(f"{value:f}")
        return plain if len(plain.as_tuple().digits) <= 34 else None
    if isinstance(value, datetime):
        return value - timedelta(microseconds=value.microsecond % capabilities["moment_precision"])
    if isinstance(value, list | dict):
        return _held_inside(capabilities, value)
    return value


def _held_inside(capabilities: dict[str, Any], value: list[Any] | dict[str, Any]) -> Any:
    inner = value.values() if isinstance(value, dict) else value
    # A decimal inside JSON is text, and keeps its digits everywhere; an infinity has a tag there.
    facts = {**capabilities, "positive_exponents": True, "decimal_scale": True, "infinite_floats": True}
    held = [as_held(facts, one) for one in inner]
    refused = any(one is None is not given for one, given in zip(held, inner, strict=True))
    plain_days = [one for one in inner if isinstance(one, date | time) and not isinstance(one, datetime)]
    days = plain_days and not capabilities["free_days"]
    if refused or days:
        return None
    return dict(zip(value, held, strict=True)) if isinstance(value, dict) else held


def same(found: Any, given_: Any) -> bool:
    """Equality to the bit and the type: 1.10 is not 1.1, True is not 1; one moment is one moment in any zone, and zero
    may lose its sign."""
    if is_negative_zero(given_):
        return type(found) is type(given_) and found == 0
    if isinstance(given_, datetime) and isinstance(found, datetime):
        return found == given_ and found.utcoffset() == timedelta(0)
    if type(found) is not type(given_):
        return False
    if isinstance(given_, float):
        return struct.pack("<d", found) == struct.pack("<d", given_)
    if isinstance(given_, Decimal):
        return found.as_tuple() == given_.as_tuple()
    if isinstance(given_, list):
        return len(found) == len(given_) and all(map(same, found, given_))
    if isinstance(given_, dict):
        return list(found) == list(given_) and all(same(found[key], given_[key]) for key in given_)
    return found == given_
