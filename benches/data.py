"""Deterministic rows; `node/data.mjs` has the same arithmetic.

Every value survives a round trip through every database unchanged: moments have whole milliseconds, floats are never
integral, text is ASCII.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
WORDS = (
    "able acid aged also area army away baby back ball band bank base bath bear beat "
    "bell best bird blue boat body bond bone book born both bowl bulk burn bush busy "
    "call calm came camp card care case cash cast cell chat chip city club coal coat "
    "code cold come cook cool cope copy core cost crew crop dark data date dawn days"
).split()
REGIONS = ("eu-north-1", "eu-west-1", "us-east-1", "us-west-2", "ap-south-1", "sa-east-1")
RESOURCE_FIELDS = (
    "id",
    "name",
    "description",
    "dependencies",
    "tags",
    "metadata",
    "rating",
    "active",
    "created_at",
    "updated_at",
)
USER_FIELDS = ("id", "email", "name", "active", "created_at")


def resource_id(n: int) -> str:
    return str(uuid.UUID(hashlib.md5(b"r%d" % n, usedforsecurity=False).hexdigest()))


def at(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def resource(n: int) -> dict[str, Any]:
    h = (n * 2654435761 + 12345) & 0xFFFFFFFF
    created = n * 1500 + 7
    return {
        "id": resource_id(n),
        "name": f"resource-{n:06d}",
        "description": " ".join(WORDS[((h >> (j % 24)) + j * 7) % 64] for j in range(16)),
        "dependencies": [f"pkg-{((h >> 3) + j * 7919) % 5000}" for j in range(h % 5)],
        "tags": [WORDS[((h >> 5) + j * 11) % 40] for j in range(1 + (h >> 8) % 5)],
        "metadata": {
            "owner": f"team-{h % 50}",
            "region": REGIONS[(h >> 4) % 6],
            "size": (h >> 6) % 100000,
            "flags": {"beta": (h >> 10) % 2 == 1, "internal": (h >> 11) % 3 == 0},
            "score": (((h >> 7) % 1000) * 2 + 1) / 2000,
        },
        "rating": (((h >> 9) % 1000) * 2 + 1) / 400,
        "active": (h >> 12) % 10 < 7,
        "created_at": at(created),
        "updated_at": at(created + (h >> 2) % 86400000),
    }


def user(n: int) -> dict[str, Any]:
    return {
        "id": n,
        "email": f"user{n}@example.org",
        "name": f"User {n}",
        "active": n % 3 != 0,
        "created_at": at(n * 1000),
    }


# Equality.


class NotEqual(AssertionError):
    """An answer is not what every contender must answer."""


def _milliseconds(value: Any, typed: bool) -> int:
    if isinstance(value, str):
        if typed:
            raise NotEqual(f"a moment came back as text: {value!r}")
        value = datetime.fromisoformat(value)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    since: timedelta = value - EPOCH
    return round(since.total_seconds() * 1000)


def canonical(row: dict[str, Any], typed: bool = True) -> dict[str, Any]:
    """A row as plain JSON values.

    Args:
        row: The row, with the names of RESOURCE_FIELDS or USER_FIELDS.
        typed: False for JSON bodies and rows of Node's workers, where a moment is text.

    Raises:
        NotEqual: where a type was lost on the way.
    """
    kinds = {"dependencies": (list, tuple), "tags": (list, tuple), "metadata": dict, "active": bool}
    out: dict[str, Any] = {}
    for key, value in row.items():
        if key in kinds and not isinstance(value, kinds[key]):  # type: ignore[arg-type]
            raise NotEqual(f"{key} is {type(value).__name__}")
        if key == "id":
            value = value if isinstance(value, int) else str(value)
        elif key in ("created_at", "updated_at"):
            value = _milliseconds(value, typed)
        elif key in ("dependencies", "tags"):
            value = [str(item) for item in value]
        elif key == "rating":
            value = float(value)
        out[key] = value
    return out


def digest(rows: list[dict[str, Any]]) -> str:
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
