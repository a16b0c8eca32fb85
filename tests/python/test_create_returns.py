"""What `create` and `create_many` return is what `get` returns afterwards, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cached_property, reduce
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, PrivateAttr, field_validator, model_validator

from farm_db import Database, Document, Field, InvalidValueError
from support import Counter, opened

pytestmark = pytest.mark.every_backend

ROME = timezone(timedelta(hours=2))
NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


class Inner(BaseModel):
    text: str = "x"
    at: datetime | None = None


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Plain(Document, table="plain"):
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


class Everything(Plain, table="everything"):
    """With a private attribute its instances are made by code of the model."""

    _seen: int = PrivateAttr(default=3)


RECORDS: list[dict[str, Any]] = [
    {},
    {"text": "ü", "number": -0.0, "amount": Decimal(100), "at": NOON.astimezone(ROME)},
    {"at": NOON.replace(microsecond=999), "tags": ["a", "b"], "nested": [[1], []], "unique": {"b", "a"}},
    {"free": {"list": [1, {"a": None}]}, "metadata": {"deep": {"a": [1.5]}, "flat": 1, "at": NOON.astimezone(ROME)}},
    {"free": [1, 2], "inner": {"text": "y", "at": NOON.astimezone(ROME)}, "number": 3},
    {
        "text": 'a "b" \\ \n',
        "tags": ['"', "\\", "\x01ü\U0001f600"],
        "metadata": {'"k\n': [True, 1, 1.0, None], "ü": ["x"]},
    },
    {"free": {"1": {1: 2}}, "metadata": {"zero": [0.0, {"a": 5e-324}], "large": [2**63 - 1, -(2**63)], "float": 1e300}},
    {"free": Decimal("1.50"), "metadata": {"a": [Decimal("1.50"), b"x", UUID(int=1)], "b": Level.LOW}},
    {"free": reduce(lambda inside, _: [inside], range(40), {"deep": [1]}), "nested": [[2**40], [], [0]]},
]

#: What no column takes, wherever it stands.
REFUSED: list[dict[str, Any]] = [
    {"text": "a\0b"},
    {"tags": ["a", "\0"]},
    {"free": {"a": ["\0"]}},
    {"metadata": {"a": {"$b": 1}}},
    {"metadata": {"a.b": 1}},
    {"metadata": {"": 1}},
    {"metadata": {"a": [float("nan")]}},
    {"free": 2**63},
    {"free": "\ud800"},
    {"free": reduce(lambda inside, _: [inside], range(101), [])},
]


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Counter, Everything, Plain, Odd]) as database:
        yield database


def shown(one: Plain) -> tuple[object, ...]:
    """All that tells two instances apart; equal moments of other zones differ here."""
    private = one._seen if isinstance(one, Everything) else one.__pydantic_private__
    return repr(one), one.model_fields_set, private, one.model_dump_json(), list(vars(one))


@pytest.mark.parametrize("model", [Plain, Everything])
@pytest.mark.parametrize("form", ["dict", "instance"])
async def test_create_many_returns_what_get_returns(db: Database, form: str, model: type[Plain]) -> None:
    everything = db.repository(model)
    records = [model(**one) if form == "instance" else one for one in RECORDS]
    made = await everything.create_many(records)
    for one in made:
        stored = await everything.get(one.id)
        assert one == stored
        assert shown(one) == shown(stored)


@pytest.mark.parametrize("form", ["dict", "instance"])
@pytest.mark.parametrize("wrong", REFUSED)
async def test_what_create_refuses_create_many_refuses_too(db: Database, wrong: dict[str, Any], form: str) -> None:
    plain = db.repository(Plain)
    record = Plain(**wrong) if form == "instance" else wrong
    with pytest.raises(InvalidValueError) as alone:
        await plain.create(record)
    with pytest.raises(InvalidValueError) as among:
        await plain.create_many([{}, record, {}])
    assert among.value.context["row"] == 1
    assert among.value.context.get("path") == alone.value.context.get("path")
    assert await plain.find().count() == 0


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


SHARED = ["shared"]


class Odd(Document, table="odd"):
    """Validators that give what others have too."""

    id: int = Field(primary_key=True)
    tags: list[str] = Field(default_factory=lambda: SHARED)
    free: Any = None
    level: Level = Level.LOW
    colours: list[Level] = []

    @field_validator("free")
    @classmethod
    def _shares(cls, value: Any) -> Any:
        return SHARED if value == "shared" else value

    @model_validator(mode="wrap")
    @classmethod
    def _keeps(cls, value: Any, handler: Any) -> Any:
        made = handler(value)
        if made.free == "kept":
            KEPT.append(made)
        return made


KEPT: list[Odd] = []


async def test_what_validators_share_stays_theirs(db: Database) -> None:
    odd = db.repository(Odd)
    KEPT.clear()
    given: list[Any] = [{"id": 1}, {"id": 2, "free": "shared"}, {"id": 3, "free": "kept"}, Odd(id=4, free={"a": [1]})]
    made = await odd.create_many(given)
    assert made == await odd.find(sort="id")
    assert [repr(one) for one in made] == [repr(one) for one in await odd.find(sort="id")]
    made[0].tags.append("mine")
    made[1].free.append("mine")
    made[3].free["a"].append(2)
    assert SHARED == ["shared"]
    assert given[3].free == {"a": [1]}
    assert KEPT[0] is not made[2]
    assert KEPT[0].model_fields_set == {"id", "free"}


async def test_an_instance_that_only_a_generator_had(db: Database) -> None:
    odd = db.repository(Odd)
    made = await odd.create_many(Odd(id=n, free={"n": [n]}, colours=[Level.HIGH]) for n in range(700))
    stored = await odd.find(sort="id")
    assert made == stored
    assert [repr(one) for one in made] == [repr(one) for one in stored]
    assert {one.__class__ for one in made} == {Odd}
    assert made[0].model_fields_set == stored[0].model_fields_set


async def test_a_subclass_of_the_caller_and_what_it_has_besides(db: Database) -> None:
    class More(Odd, abstract=True):
        @cached_property
        def doubled(self) -> int:
            return 2 * self.id

    def instances() -> Iterator[Odd]:
        for number in range(3):
            one = More(id=number)
            assert one.doubled == 2 * number
            yield one

    made = await db.repository(Odd).create_many(instances())
    assert [type(one) for one in made] == [Odd] * 3
    assert ["doubled" in vars(one) for one in made] == [False] * 3
