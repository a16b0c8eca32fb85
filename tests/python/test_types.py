"""Every kind of annotation a model may have: what is created is what is read, updated and found."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID

import pytest
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    NaiveDatetime,
    RootModel,
    SecretBytes,
    SecretStr,
    StringConstraints,
    TypeAdapter,
)

from farm_db import Database, Document, Field, ObjectId
from support import opened

pytestmark = pytest.mark.every_backend

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Word(str, enum.Enum):  # noqa: UP042 - as many write it
    A = "a"
    B = "b"


@dataclass
class Point:
    x: int
    y: float


class Box(BaseModel, Generic[T]):
    content: T


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Renamed(BaseModel):
    inner_name: str = Field(column="in", alias="innerName")
    when: datetime | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    value: int


class Private(BaseModel):
    value: int
    _seen: int = 0

    def model_post_init(self, context: Any) -> None:
        self._seen = self.value + 1


CASES: dict[str, tuple[Any, list[Any]]] = {
    "enum": (Colour, [Colour.RED, Colour.BLUE]),
    "int_enum": (Size, [Size.SMALL, Size.LARGE]),
    "flag": (Rights, [Rights.READ, Rights.READ | Rights.WRITE]),
    "text_enum": (Word, [Word.A, Word.B]),
    "literal": (Literal["x", "y"], ["x", "y"]),
    "mixed_literal": (Literal["x", 1] | None, ["x", 1, None]),
    "new_type": (UserId, [UserId(5)]),
    "annotated": (Annotated[str, StringConstraints(min_length=1, to_lower=True)], ["abc"]),
    "optional": (int | None, [None, 0, 5]),
    "union": (int | str, [1, "1"]),
    "model_union": (Cat | Dog, [Cat(), Dog(name="Rex")]),
    "tagged_union": (Annotated[Cat | Dog, Field(discriminator="kind")], [Cat(lives=3), Dog(name="Rex")]),
    "list": (list[int], [[], [1, 2, 1]]),
    "sequence": (Sequence[str], [["b", "a"]]),
    "set": (set[int], [set(), {3, 1, 2}]),
    "frozenset": (frozenset[str], [frozenset(), frozenset({"a"})]),
    "tuple": (tuple[int, str], [(1, "a")]),
    "long_tuple": (tuple[Decimal, ...], [(), (Decimal("1.10"), Decimal(2))]),
    "list_of_enums": (list[Colour], [[Colour.BLUE, Colour.RED]]),
    "list_of_none": (list[int | None], [[None, 1, None]]),
    "list_of_lists": (list[list[date]], [[[date(2024, 1, 1)], []]]),
    "dict": (dict[str, int], [{}, {"b": 1, "a": 2}]),
    "dict_of_models": (dict[str, Frozen], [{"k": Frozen(value=1)}]),
    "dict_by_int": (dict[int, str], [{1: "a", -2: "b"}]),
    "dict_by_enum": (dict[Colour, list[int]], [{Colour.RED: [1], Colour.BLUE: []}]),
    "dict_by_uuid": (dict[UUID, bool], [{UUID(int=7): True}]),
    "model": (Renamed, [Renamed(innerName="x", when=datetime(2024, 1, 1, tzinfo=timezone.utc))]),
    "models": (list[Renamed], [[Renamed(innerName="x"), Renamed(innerName="y")]]),
    "generic_model": (Box[Decimal], [Box[Decimal](content=Decimal("1.50"))]),
    "recursive_model": (Tree, [Tree(name="a", children=[Tree(name="b", children=[Tree(name="c")])])]),
    "frozen_model": (Frozen, [Frozen(value=3)]),
    "private_model": (Private, [Private(value=3)]),
    "root_model": (RootModel[list[int]], [RootModel[list[int]]([1, 2])]),
    "dataclass": (Point, [Point(1, 2.5)]),
    "timedelta": (timedelta, [timedelta(days=1, microseconds=5), timedelta(seconds=-3)]),
    "url": (AnyUrl, [AnyUrl("https://example.org/a?b=c")]),
    "address": (IPv4Address, [IPv4Address("10.0.0.1")]),
    "path": (PurePosixPath, [PurePosixPath("/a/b")]),
    "secret": (SecretStr, [SecretStr("s3cret")]),
    "secret_bytes": (SecretBytes, [SecretBytes(b"s3cret")]),
    "naive": (NaiveDatetime, [datetime(2024, 1, 1, 12)]),
    "object_id": (ObjectId, [ObjectId(b"\x01" * 12)]),
    "anything": (Any, [None, 1, "x", [1, {"a": Decimal("1.0")}]]),
}
#: What has no equality in a filter: stored in a form of its own, or not comparable as a whole.
NOT_FOUND_BY_EQUALITY = {"set", "frozenset", "optional", "anything"}


def model_of(name: str) -> type[Document]:
    annotation = CASES[name][0]
    namespace = {
        "__annotations__": {"id": int, "value": annotation},
        "id": Field(primary_key=True),
        "__module__": __name__,
    }
    return type(Document)("Typed", (Document,), namespace, table=f"typed_{name}")


MODELS = {name: model_of(name) for name in CASES}


@pytest.fixture
async def db(url: str, request: pytest.FixtureRequest) -> AsyncGenerator[Database]:
    async with opened(url, [MODELS[request.param]]) as database:
        yield database


@pytest.mark.parametrize(("db", "name"), [(name, name) for name in CASES], indirect=["db"], ids=list(CASES))
async def test_what_is_created_is_read_updated_found_and_printed(db: Database, name: str) -> None:
    model, examples = MODELS[name], CASES[name][1]
    repository = db.repository(model)
    for number, value in enumerate(examples):
        given = model(id=number, value=value)
        created = await repository.create(given)
        assert created == given
        assert type(created.value) is type(value)
        assert await repository.get(number) == given
        assert (await repository.find({"id": number}))[0] == given
        again = await repository.update(number, {"value": value})
        assert again == given
        assert await repository.update_many({"id": number}, {"$set": {"value": value}}) == 1
        assert await repository.get(number) == given
        assert await repository.replace(number, given) == given
        assert await repository.upsert(given) == given
        if name not in NOT_FOUND_BY_EQUALITY:
            assert given in await repository.find(model.value == value)
            assert given in await repository.find({"value": value})
    assert await repository.create_many([model(id=100 + n, value=value) for n, value in enumerate(examples)])
    rows = await repository.find(sort="id")
    assert await repository.find(sort="id").json() == TypeAdapter(list[model]).dump_json(rows)
    stream = [row async for row in repository.find(sort="id")]
    assert stream == rows


@pytest.mark.parametrize("db", ["private_model"], indirect=True)
async def test_models_that_are_read_have_run_their_post_init(db: Database) -> None:
    repository = db.repository(MODELS["private_model"])
    await repository.create({"id": 1, "value": {"value": 41}})
    assert (await repository.get(1)).value._seen == 42


@pytest.mark.only("sqlite", "postgres", "mysql")
async def test_validators_run_on_reading_where_they_are_asked_for(url: str) -> None:
    model = MODELS["annotated"]
    async with opened(url, [model]) as database:
        await database.execute("INSERT INTO typed_annotated VALUES (1, 'SHOUTING')")
        assert (await database.repository(model).get(1)).value == "SHOUTING"
    async with opened(url, [model], validate_on_read=True) as database:
        repository = database.repository(model)
        # Also where the row is there at once, as later ones of SQLite are.
        assert {(await repository.get(1)).value for _ in range(50)} == {"shouting"}
        assert (await repository.find())[0].value == "shouting"
        assert [row.value async for row in repository.find()] == ["shouting"]
        assert (await repository.page()).items[0].value == "shouting"
        assert (await repository.find_one()).value == "shouting"


async def test_models_that_are_read_can_be_copied_changed_pickled_and_compared(url: str) -> None:
    import copy
    import pickle

    model = MODELS["model"]
    async with opened(url, [model]) as database:
        await database.repository(model).create({"id": 1, "value": {"innerName": "x"}})
        row, other = await database.repository(model).get(1), await database.repository(model).get(1)
        assert row == other
        row.value.inner_name = "changed"
        assert other.value.inner_name == "x", "two reads share no state"
        deep = copy.deepcopy(other)
        assert deep == other
        assert deep.value is not other.value
        assert other.model_copy(update={"id": 2}).id == 2
        assert other.model_dump() == {"id": 1, "value": {"inner_name": "x", "when": None}}
        assert other.value.model_fields_set >= {"inner_name"}
        assert pickle.loads(pickle.dumps(other.value)) == other.value
