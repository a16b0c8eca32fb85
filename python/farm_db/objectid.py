"""`ObjectId`: the 12-byte identifier that MongoDB made popular, usable on every backend.

Four bytes of time (seconds since 1970), five of randomness per process, three of a counter: ids made by one process
sort by the second of their making. Interchangeable with `bson.ObjectId`, which need not be installed.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, SchemaSerializer, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_COUNTER_LIMIT = 0x1000000


class _Generator:
    """Makes ids; every process has its own randomness, a forked child included."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reseed()

    def reseed(self) -> None:
        self._random = os.urandom(5)
        self._counter = int.from_bytes(os.urandom(3), "big")

    def next(self) -> bytes:
        with self._lock:
            self._counter = (self._counter + 1) % _COUNTER_LIMIT
            counter = self._counter
        seconds = int(time.time()) & 0xFFFFFFFF
        return seconds.to_bytes(4, "big") + self._random + counter.to_bytes(3, "big")


_generator = _Generator()


def _after_fork() -> None:
    """A new generator: the parent's lock may be held by a thread that the child does not have."""
    global _generator
    _generator = _Generator()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ObjectId:
    """A 12-byte identifier; immutable, ordered, hashable.

    Args:
        value: 24 hexadecimal digits, 12 bytes, another object id (`bson.ObjectId` too), or nothing for a new one.

    Raises:
        ValueError: if the text or bytes are no object id.
        TypeError: if the value is of another type.
    """

    __slots__ = ("_bytes",)
    _bytes: bytes

    def __init__(self, value: str | bytes | ObjectId | Any | None = None) -> None:
        raw = _generator.next() if value is None else _raw(value)
        object.__setattr__(self, "_bytes", raw)

    @classmethod
    def from_bytes(cls, raw: bytes) -> ObjectId:
        """The object id of these 12 bytes."""
        return cls(raw)

    @classmethod
    def is_valid(cls, value: Any) -> bool:
        """Whether `value` is an object id or can be made into one."""
        try:
            _raw(value)
        except (TypeError, ValueError):
            return False
        return True

    @property
    def binary(self) -> bytes:
        """The 12 bytes."""
        return self._bytes

    @property
    def generation_time(self) -> datetime:
        """When it was made: an aware UTC datetime, to the second."""
        return datetime.fromtimestamp(int.from_bytes(self._bytes[:4], "big"), tz=timezone.utc)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an ObjectId cannot be changed")

    def __str__(self) -> str:
        return self._bytes.hex()

    def __repr__(self) -> str:
        return f"ObjectId('{self._bytes.hex()}')"

    def __bytes__(self) -> bytes:
        return self._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._bytes,)

    def __eq__(self, other: object) -> bool:
        raw = _bytes_of(other)
        return NotImplemented if raw is None else self._bytes == raw

    def __lt__(self, other: object) -> bool:
        raw = _bytes_of(other)
        return NotImplemented if raw is None else self._bytes < raw

    def __le__(self, other: object) -> bool:
        raw = _bytes_of(other)
        return NotImplemented if raw is None else self._bytes <= raw

    def __gt__(self, other: object) -> bool:
        raw = _bytes_of(other)
        return NotImplemented if raw is None else self._bytes > raw

    def __ge__(self, other: object) -> bool:
        raw = _bytes_of(other)
        return NotImplemented if raw is None else self._bytes >= raw

    @classmethod
    def _validate(cls, value: Any) -> ObjectId:
        if isinstance(value, cls):
            return value
        try:
            return cls(_raw(value))
        except (TypeError, ValueError) as error:
            raise PydanticCustomError("object_id", "Input should be an object id: 24 hexadecimal digits") from error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema(when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": "^[0-9a-f]{24}$"}


# How Pydantic prints one where no field says what it is (`dict[str, Any]`): it asks the object for this attribute.
ObjectId.__pydantic_serializer__ = SchemaSerializer(  # type: ignore[attr-defined]
    core_schema.any_schema(serialization=core_schema.to_string_ser_schema(when_used="json"))
)


def _bytes_of(value: object) -> bytes | None:
    """The bytes of any object id, ours or `bson`'s; None for everything else."""
    if isinstance(value, ObjectId):
        return value._bytes
    if type(value).__name__ == "ObjectId":
        raw = getattr(value, "binary", None)
        if isinstance(raw, bytes) and len(raw) == 12:
            return raw
    return None


def _raw(value: Any) -> bytes:
    raw = _bytes_of(value)
    if raw is not None:
        return raw
    if isinstance(value, str):
        # bytes.fromhex would skip blanks; an id has none.
        if len(value) == 24 and value.isascii() and value.isalnum():
            return bytes.fromhex(value)
        raise ValueError(f"{value!r} is no object id: expected 24 hexadecimal digits")
    if isinstance(value, (bytes, bytearray)):
        if len(value) == 12:
            return bytes(value)
        raise ValueError(f"an object id has 12 bytes, got {len(value)}")
    raise TypeError(f"expected an object id, text or bytes, got {type(value).__name__}")
