"""What `create` and `create_many` return is what `get` returns afterwards, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, PrivateAttr

from farm_db import Database, Document, Field
from support import Counter, opened

pytestmark = pytest.mark.every_backend

ROME = timezone(timedelta(hours=2))
NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


class Inner(BaseModel):
    text: str = "x"
    at: datetime | None = None


class Everything(Document, table="everything"):
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    text: str = "text"
    number: float = 0.0
    amount: Decimal = Decimal("1.10")
    at: datetime = NOON
    tags: list[str] = []
    nested: list[list[int]] = []
    unique: set[str] = set()
    free: Any = None
    metadata: dict[str, Any] = {}
    inner: Inner | None = None
    _seen: int = PrivateAttr(default=3)


RECORDS: list[dict[str, Any]] = [
    {},
    {"text": "ü", "number": -0.0, "amount": Decimal(100), "at": NOON.astimezone(ROME)},
    {"at": NOON.replace(microsecond=999), "tags": ["a", "b"], "nested": [[1], []], "unique": {"b", "a"}},
    {"free": {"list": [1, {"a": None}]}, "metadata": {"deep": {"a": [1.5]}, "flat": 1, "at": NOON.astimezone(ROME)}},
    {"free": [1, 2], "inner": {"text": "y", "at": NOON.astimezone(ROME)}, "number": 3},
]


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Counter, Everything]) as database:
        yield database


def shown(one: Everything) -> tuple[str, object, object, str]:
    """All that tells two instances apart; equal moments of other zones differ here."""
    return repr(one), one.model_fields_set, one._seen, one.model_dump_json()


@pytest.mark.parametrize("form", ["dict", "instance"])
async def test_create_many_returns_what_get_returns(db: Database, form: str) -> None:
    everything = db.repository(Everything)
    records = [Everything(**one) if form == "instance" else one for one in RECORDS]
    made = await everything.create_many(records)
    for one in made:
        stored = await everything.get(one.id)
        assert one == stored
        assert shown(one) == shown(stored)


@pytest.mark.parametrize("record", RECORDS)
async def test_create_returns_what_get_returns(db: Database, record: dict[str, Any]) -> None:
    made = await db.repository(Everything).create(record)
    stored = await db.repository(Everything).get(made.id)
    assert (made, repr(made), made.model_fields_set) == (stored, repr(stored), stored.model_fields_set)


async def test_what_is_returned_is_nobody_elses(db: Database) -> None:
    given = {"free": {"list": [1]}, "metadata": {"deep": {"a": 1}}, "tags": ["a"], "nested": [[1]]}
    [made] = await db.repository(Everything).create_many([given])
    made.free["list"].append(2)
    made.metadata["deep"]["a"] = 2
    made.tags.append("b")
    made.nested[0].append(2)
    assert given == {"free": {"list": [1]}, "metadata": {"deep": {"a": 1}}, "tags": ["a"], "nested": [[1]]}


async def test_an_instance_of_the_caller_stays_as_it_is(db: Database) -> None:
    mine = Counter(value=1)
    made = await db.repository(Counter).create(mine)
    also = await db.repository(Counter).create_many([mine, {"value": 2}])
    assert mine.id is None
    assert mine.model_fields_set == {"value"}
    assert not any(one is mine for one in (made, *also))
    assert [one.value for one in (made, *also)] == [1, 1, 2]
    assert all(one.id is not None for one in (made, *also))
