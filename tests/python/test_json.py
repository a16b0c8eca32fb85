"""`.json()` equals what Pydantic prints for the models that `find()` gives, byte for byte."""

# No `from __future__ import annotations` here: a model inside a function has an annotation that is a variable.
import json
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    UUID4,
    AfterValidator,
    AnyUrl,
    Base64Bytes,
    Base64Str,
    Base64UrlBytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    RootModel,
    SecretStr,
    SerializeAsAny,
    StringConstraints,
    TypeAdapter,
    WrapSerializer,
    computed_field,
    field_serializer,
    model_serializer,
)
from pydantic_core import core_schema

from farm_db import BaseDocument, Database, Document, FarmDbError, Field, InvalidValueError, ObjectId
from samples import as_held, decimals, floats, ints, moments, nested, texts
from support import opened

pytestmark = pytest.mark.every_backend


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Inner(BaseModel):
    name: str
    price: Decimal = Decimal("1.10")
    seen: datetime | None = None
    secret: str = Field(default="hidden", exclude=True)
    stored_as: int = Field(default=1, column="storedAs")


class AliasedInner(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    first_name: str = Field(serialization_alias="firstName")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int = 1


class Plain(Document, table="plain"):
    """Every type, nothing special."""

    id: int = Field(primary_key=True)
    number: int | None = None
    real: float | None = None
    exact: Decimal | None = None
    text: str | None = None
    data: bytes | None = None
    flag: bool | None = None
    uuid: UUID | None = None
    owner: ObjectId | None = None
    moment: datetime | None = None
    day: date | None = None
    clock: time | None = None
    colour: Colour | None = None
    level: Level = Level.LOW
    word: Literal["a", "b"] = "a"
    free: Any | None = None
    numbers: list[int] = []
    names: set[str] = set()
    pair: tuple[int, ...] = ()
    table: dict[str, list[Decimal]] = {}
    map: dict[str, Any] = {}
    inner: Inner | None = None
    inners: list[Inner] = []
    by_name: dict[str, Inner] = {}
    open: Open = Open()


class Aliased(Document, table="aliased", serialize_by_alias=True):
    id: int = Field(primary_key=True, serialization_alias="_id")
    display_name: str = Field(default="", serialization_alias="displayName")
    both: int = Field(default=0, alias="bothWays", validation_alias="bothWays")
    stored: int = Field(default=0, column="other")
    hidden: str = Field(default="x", exclude=True)
    inner: AliasedInner | None = None


class AliasedUnused(Document, table="aliased_unused"):
    id: int = Field(primary_key=True, serialization_alias="_id")
    display_name: str = Field(default="", serialization_alias="displayName")
    inner: AliasedInner | None = None


class Special(Document, table="special"):
    """What only Pydantic itself can print."""

    id: int = Field(primary_key=True)
    price: Decimal = Decimal(1)
    secret: SecretStr = SecretStr("")
    link: AnyUrl | None = None
    doubled: Annotated[int, PlainSerializer(lambda value: value * 2)] = 1
    roots: RootModel[list[int]] = RootModel[list[int]]([1])
    moment: datetime | None = None
    either: int | str = 1

    @computed_field
    @property
    def gross(self) -> Decimal:
        return self.price * 2

    @field_serializer("moment")
    def _epoch(self, value: datetime | None) -> int | None:
        return None if value is None else int(value.timestamp())


class Wrapped(Document, table="wrapped"):
    id: int = Field(primary_key=True)

    @model_serializer
    def _print(self) -> dict[str, Any]:
        return {"wrapped": self.id}


class Configured(Document, table="configured", ser_json_bytes="base64", ser_json_inf_nan="constants"):
    id: int = Field(primary_key=True)
    data: bytes = b""
    real: float = 0.0


class Holder(Document, table="holders"):
    """A nested model that has a serializer of its own."""

    id: int = Field(primary_key=True)
    special: list[Inner | None] = []
    deep: dict[str, Open] = {}


class WithComputed(BaseModel):
    base: int = 1

    @computed_field
    @property
    def next(self) -> int:
        return self.base + 1


class HoldsComputed(Document, table="holds_computed"):
    id: int = Field(primary_key=True)
    inner: WithComputed = WithComputed()


class Audited(BaseDocument, table="audited_documents"):
    name: str = ""


MODELS = [Plain, Aliased, AliasedUnused, Special, Wrapped, Configured, Holder, HoldsComputed, Audited]


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, MODELS) as database:
        yield database


async def assert_equal(db: Database, model: type[Document], *filters: Any, **options: Any) -> bytes:
    repository = db.repository(model)
    options = {"sort": "id"} | options
    rows = await repository.find(*filters, **options)
    expected = TypeAdapter(list[model]).dump_json(rows)
    printed = await repository.find(*filters, **options).json()
    assert printed == expected
    assert rows, "an empty result proves nothing"
    for by_alias in (True, False):
        expected = TypeAdapter(list[model]).dump_json(rows, by_alias=by_alias)
        assert await repository.find(*filters, **options).json(by_alias=by_alias) == expected
    lines = b"".join([some async for some in repository.find(*filters, **options).ndjson(batch=7)])
    assert lines == b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
    return printed


inner = st.builds(Inner, name=texts, price=decimals, seen=st.none() | moments, stored_as=ints)
open_models = st.builds(
    lambda known, extra: Open(known=known, **extra),
    ints,
    st.dictionaries(st.sampled_from(["x", "y z", "é", "Z"]), st.none() | ints | texts | moments, max_size=3),
)
plain = st.fixed_dictionaries(
    {},
    optional={
        "number": ints,
        "real": floats,
        # Not every database keeps a positive exponent.
        "exact": decimals.filter(lambda number: number.as_tuple().exponent <= 0),
        "text": texts,
        "data": st.text().map(str.encode),
        "flag": st.booleans(),
        "uuid": st.uuids(),
        "owner": st.binary(min_size=12, max_size=12).map(ObjectId),
        "moment": moments,
        "day": st.dates(),
        "clock": st.times(),
        "colour": st.sampled_from(Colour),
        "level": st.sampled_from(Level),
        "word": st.sampled_from("ab"),
        "numbers": st.lists(ints),
        "names": st.sets(texts, max_size=1),
        "pair": st.lists(ints).map(tuple),
        "table": st.dictionaries(st.sampled_from("abcé"), st.lists(decimals, max_size=3)),
        "inner": inner,
        "inners": st.lists(inner, max_size=3),
        "by_name": st.dictionaries(st.sampled_from("abcé"), inner, max_size=3),
        "open": open_models,
    },
)


def printable(value: Any) -> Any:
    """Without bytes, which no JSON holds unless they are UTF-8, and object ids, which have a test of their own."""
    if isinstance(value, (bytes, ObjectId)):
        return str(value)
    if isinstance(value, list):
        return [printable(item) for item in value]
    return {key: printable(item) for key, item in value.items()} if isinstance(value, dict) else value


def is_held(db: Database, values: dict[str, Any]) -> bool:
    """Whether the backend declares to take all of these as columns."""
    return not any(as_held(db.capabilities, value) is None is not value for value in values.values())


async def test_every_type_is_printed_as_pydantic_prints_it(db: Database) -> None:
    rows: list[dict[str, Any]] = []

    @given(st.lists(plain, min_size=1, max_size=4))
    def collect(examples: list[dict[str, Any]]) -> None:
        rows.extend(examples)

    collect()
    kept = [row for row in rows if is_held(db, row)]
    plain_rows = db.repository(Plain)
    await plain_rows.create_many([Plain(id=n, **kept[n % len(kept)]) for n in range(1000)])
    for limit in (1, 50, 1000):
        await assert_equal(db, Plain, limit=limit)
    for key in range(0, min(1000, len(kept)), 5):
        one = await plain_rows.get(key)
        assert await plain_rows.find({"id": key}).json() == b"[" + one.model_dump_json().encode() + b"]"


@pytest.mark.needs("free_days")
@pytest.mark.parametrize("field", ["free", "map"])
async def test_free_values_are_printed_as_pydantic_prints_them(db: Database, field: str) -> None:
    examples: list[Any] = []

    @given(nested)
    def collect(value: Any) -> None:
        examples.append({"k": printable(value)} if field == "map" else printable(value))

    collect()
    for number, value in enumerate(examples):
        await db.repository(Plain).create(Plain(id=number, **{field: value}))
    await assert_equal(db, Plain)


@pytest.mark.parametrize(
    "values",
    [
        {"moment": datetime(2024, 1, 1, tzinfo=UTC)},
        {"moment": datetime(2024, 1, 1, 12, 30, 0, 5)},
        {"moment": datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)},
        {"moment": datetime(2024, 1, 1, 0, 0, 0, 100_000, tzinfo=UTC)},
        {"moment": datetime(1, 1, 1, tzinfo=UTC)},
        {"moment": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)},
        {"clock": time(1, 2, 3)},
        {"clock": time(1, 2, 3, 40_000)},
        *(
            {"exact": Decimal(text)}
            for text in ("1E+2", "1E-7", "0.000001", "0E+3", "0.00", "12E+30", "-1.10", "1E-60")
        ),
        *(
            {"real": real}
            for real in (1.0, -0.0, 1e16, 1e15, 1e-5, 1e-7, 0.0001, 1e22, 123456789.125, 5e-324, 1e300, -0.5)
        ),
        {"real": float("inf"), "table": {"a": [Decimal("1E+9")]}},
        {"number": 2**63 - 1},
        {"number": -(2**63)},
        {"text": '\x01\x1f"\\/\b\f\n\r\t\x7f\u2028\u2029é👩‍👧\ufffe'},
        {
            "map": {
                '"\\\n': {"é": [None, True, 1, 1.0, "x"]},
                "d": Decimal("1E+5"),
                "m": datetime(2024, 1, 1, tzinfo=UTC),
            }
        },
        {"free": {"owner": ObjectId(b"\x01" * 12)}},
        {"colour": Colour.BLUE, "level": Level.HIGH},
        {"free": [{"x": Decimal(1)}]},
        {"open": Open(known=5, more={"x": [1]}, flag=True)},
    ],
    ids=ascii,
)
async def test_the_forms_that_printers_disagree_about(db: Database, values: dict[str, Any]) -> None:
    if is_held(db, values):
        await db.repository(Plain).create({"id": 1, **values})
        await assert_equal(db, Plain)
    else:
        with pytest.raises(InvalidValueError):
            await db.repository(Plain).create({"id": 1, **values})


async def test_aliases_excluded_fields_and_column_names_follow_the_configuration(db: Database) -> None:
    await db.repository(Aliased).create(
        Aliased(id=1, display_name="n", bothWays=2, stored=3, inner=AliasedInner(first_name="f"))
    )
    printed = await assert_equal(db, Aliased)
    assert b'"displayName":"n"' in printed
    assert b'"bothWays":2' in printed
    assert b"hidden" not in printed
    await db.repository(AliasedUnused).create({"id": 1, "display_name": "n", "inner": {"first_name": "f"}})
    printed = await assert_equal(db, AliasedUnused)
    assert b'"display_name":"n"' in printed


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (
            Special,
            {
                "price": Decimal("2.50"),
                "secret": "s3cret",
                "link": "https://example.org/x",
                "moment": datetime(2024, 1, 1, tzinfo=UTC),
            },
        ),
        (Special, {"either": "text", "doubled": 21, "roots": [1, 2]}),
        (Wrapped, {}),
        (Configured, {"data": b"\xff\x00", "real": float("inf")}),
        (Holder, {"special": [None, {"name": "n", "secret": "s"}], "deep": {"a": {"known": 1, "extra": "e"}}}),
        (HoldsComputed, {"inner": {"base": 41}}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_serializers_computed_fields_and_settings_are_honoured(
    db: Database, model: type[Document], values: dict[str, Any]
) -> None:
    if not is_held(db, values):
        values = {name: value for name, value in values.items() if is_held(db, {name: value})}
    await db.repository(model).create({"id": 1, **values})
    printed = await assert_equal(db, model)
    assert b"s3cret" not in printed


class Shout(str):
    """A text that is printed otherwise than it is stored."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return core_schema.str_schema(serialization=core_schema.plain_serializer_function_ser_schema(str.upper))


class Overridden(BaseModel):
    value: int = 1

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        schema = handler(source)
        schema["serialization"] = core_schema.plain_serializer_function_ser_schema(lambda one: {"over": one.value})
        return schema


Twice = Annotated[int, PlainSerializer(lambda value: value * 2)]
#: What is printed otherwise than it is stored, in every place of an annotation.
PRINTED_OTHERWISE: dict[str, tuple[Any, Any]] = {
    "serializer": (Twice, 3),
    "serializer_of_an_optional": (Twice | None, 3),
    "serializer_in_a_list": (list[Twice], [1, 2]),
    "serializer_in_a_dict": (dict[str, Twice], {"a": 1}),
    "wrapping_serializer": (list[Annotated[int, WrapSerializer(lambda value, print_: print_(value) + 1)]], [1]),
    "encoded_bytes": (Base64Bytes, b"aGFsbG8="),
    "encoded_bytes_in_a_list": (list[Base64UrlBytes], [b"aGFsbG8="]),
    "encoded_text": (Base64Str, "aGFsbG8="),
    "a_type_with_a_schema": (Shout, "x"),
    "a_model_with_a_schema": (Overridden, {}),
    "a_list_of_a_model_with_a_schema": (list[Overridden], [{}]),
    "keys_of_bools": (dict[bool, int], {True: 1}),
    "keys_of_another_form": (dict[timedelta, int], {timedelta(days=1): 1}),
    "models_by_int": (dict[int, AliasedInner], {1: {"first_name": "f"}}),
    "a_root_of_a_model": (RootModel[AliasedInner], {"first_name": "f"}),
    "any_subclass": (SerializeAsAny[Inner], {"name": "n"}),
}
#: What looks as if it were, and must stay fast.
PRINTED_PLAINLY: dict[str, tuple[Any, Any]] = {
    "validated": (list[Annotated[int, AfterValidator(abs), BeforeValidator(int)]], [1]),
    "constrained": (list[Annotated[str, Field(max_length=3), StringConstraints(to_upper=True)]], ["x"]),
    "keys_of_ints": (dict[int, float], {1: 1e16}),
    "keys_of_uuids": (dict[UUID, datetime], {UUID(int=1): datetime(2024, 1, 1, tzinfo=UTC)}),
    "keys_of_days": (dict[date, int], {date(2024, 1, 1): 1}),
    "keys_of_members": (dict[Colour, int], {Colour.RED: 1}),
    "keys_of_literals": (dict[Literal["a", "b"], int], {"a": 1}),
    "a_root": (RootModel[list[datetime]], [datetime(2024, 1, 1, tzinfo=UTC)]),
    "uuids_of_a_version": (UUID4, "6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
    "a_span": (timedelta, timedelta(days=1, microseconds=5)),
    "an_address": (AnyUrl, "https://exämple.org/ü?x=1"),
}


@pytest.mark.only("sqlite")
@pytest.mark.parametrize("name", [*PRINTED_OTHERWISE, *PRINTED_PLAINLY])
async def test_an_annotation_is_printed_as_pydantic_prints_it_wherever_it_stands(url: str, name: str) -> None:
    annotation, value = (PRINTED_OTHERWISE | PRINTED_PLAINLY)[name]

    class Holds(Document, table="holds"):
        id: int = Field(primary_key=True)
        value: annotation

    async with opened(url, [Holds]) as db:
        await db.repository(Holds).create({"id": 1, "value": value})
        await assert_equal(db, Holds)
        assert db.repository(Holds).entity.prints_plainly is (name in PRINTED_PLAINLY)


async def test_base_documents_print_their_ids_and_moments(db: Database) -> None:
    await db.repository(Audited).create_many([{"name": str(n), "metadata": {"n": n}, "tags": ["a"]} for n in range(5)])
    await assert_equal(db, Audited, sort="-name")


async def test_filters_sorts_limits_and_empty_results_apply(db: Database) -> None:
    await db.repository(Plain).create_many([{"id": n, "number": n % 3} for n in range(30)])
    await assert_equal(db, Plain, {"number": 1}, sort="-id", limit=4, skip=2)
    await assert_equal(db, Plain, {"map": {"$ne": {"a": 1}}})
    assert await db.repository(Plain).find({"number": 99}).json() == b"[]"


async def test_a_projection_prints_only_its_fields_in_the_order_of_the_model(db: Database) -> None:
    await db.repository(Plain).create({"id": 1, "number": 5, "text": "x"})
    query = db.repository(Plain).find().fields("text", "id")
    assert await query.json() == b'[{"id":1,"text":"x"}]'


async def test_a_projection_without_what_a_computed_field_needs_is_refused_with_a_typed_error(db: Database) -> None:
    await db.repository(Special).create({"id": 1, "price": Decimal(3)})
    with pytest.raises(FarmDbError):
        await db.repository(Special).find().fields("id").json()


async def test_a_set_is_printed_in_the_order_of_its_elements(db: Database) -> None:
    names = {f"{n:03}" for n in range(50)}
    await db.repository(Plain).create({"id": 1, "names": names})
    assert json.loads(await db.repository(Plain).find().json())[0]["names"] == sorted(names)


async def test_bytes_that_are_no_utf8_are_refused_as_pydantic_refuses_them(db: Database) -> None:
    await db.repository(Plain).create({"id": 1, "data": b"\xff"})
    with pytest.raises(InvalidValueError, match="UTF-8"):
        await db.repository(Plain).find().json()


async def test_json_reads_inside_a_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await db.repository(Plain).create({"id": 7}, tx=tx)
        assert b'"id":7' in await db.repository(Plain).find(tx=tx).json()
        assert await db.repository(Plain).find().json() == b"[]"
