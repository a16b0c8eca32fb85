"""Models: contracts, shapes, configuration. No database."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import json
import pickle
import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID, uuid4

import pydantic
import pytest
from annotated_types import Ge, MaxLen
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    NaiveDatetime,
    RootModel,
    SecretStr,
    StringConstraints,
    computed_field,
    field_serializer,
)

from farm_db import (
    BaseDocument,
    Database,
    Document,
    Field,
    Index,
    Indexed,
    InvalidQueryError,
    InvalidSchemaError,
    ObjectId,
    _native,
)
from farm_db.entity import entity_of
from farm_db.schema import describe
from model_samples import Account, Profile, fields_of

CONFIG = ConfigDict()


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Node(BaseModel):
    name: str
    children: list[Node] = []


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    content: T


class Tags(RootModel[list[str]]):
    pass


Slug = NewType("Slug", str)


def definition(annotation: Any, *metadata: Any) -> dict[str, Any]:
    return describe(annotation, metadata, config=CONFIG).definition


# Types


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, {"kind": "int"}),
        (float, {"kind": "float"}),
        (Decimal, {"kind": "decimal"}),
        (str, {"kind": "text"}),
        (bytes, {"kind": "bytes"}),
        (bool, {"kind": "bool"}),
        (UUID, {"kind": "uuid"}),
        (ObjectId, {"kind": "object_id"}),
        (datetime, {"kind": "datetime"}),
        (AwareDatetime, {"kind": "datetime"}),
        (NaiveDatetime, {"kind": "datetime"}),
        (date, {"kind": "date"}),
        (time, {"kind": "time"}),
        (Any, {"kind": "any"}),
        (Slug, {"kind": "text"}),
        (SecretStr, {"kind": "text"}),
        (AnyUrl, {"kind": "text"}),
        (Path, {"kind": "text"}),
        (timedelta, {"kind": "text"}),
        (pydantic.UUID4, {"kind": "uuid"}),
        (list, {"kind": "list", "items": {"type": {"kind": "any"}}}),
        (dict, {"kind": "map", "values": {"type": {"kind": "any"}}}),
        (list[str], {"kind": "list", "items": {"type": {"kind": "text"}}}),
        (list[str | None], {"kind": "list", "items": {"type": {"kind": "text"}, "nullable": True}}),
        (set[int], {"kind": "list", "items": {"type": {"kind": "int"}}}),
        (frozenset[int], {"kind": "list", "items": {"type": {"kind": "int"}}}),
        (tuple[int, ...], {"kind": "list", "items": {"type": {"kind": "int"}}}),
        (tuple[int, str], {"kind": "list", "items": {"type": {"kind": "any"}, "nullable": True}}),
        (Sequence[int], {"kind": "list", "items": {"type": {"kind": "int"}}}),
        (dict[str, list[int]], {"kind": "map", "values": {"type": definition(list[int])["type"]}}),
        (dict[UUID, int], {"kind": "map", "values": {"type": {"kind": "int"}}}),
        (Tags, {"kind": "list", "items": {"type": {"kind": "text"}}}),
        (Box[int], {"kind": "model", "fields": [{"name": "content", "type": {"kind": "int"}}]}),
    ],
)
def test_every_type_has_its_place_in_the_contract(annotation: Any, expected: dict[str, Any]) -> None:
    assert definition(annotation) == {"type": expected}
    assert definition(annotation | None if annotation is not Any else Any).get("nullable", True)


def test_emails_are_text() -> None:
    if importlib.util.find_spec("email_validator"):
        assert definition(pydantic.EmailStr) == {"type": {"kind": "text"}}


def test_enumerations_list_their_values() -> None:
    assert definition(Colour) == {"type": {"kind": "text"}, "enum": ["red", "blue"]}
    assert definition(Level) == {"type": {"kind": "int"}, "enum": [1, 2]}
    assert definition(Literal["a", "b"]) == {"type": {"kind": "text"}, "enum": ["a", "b"]}
    assert definition(Literal[1, "b"]) == {"type": {"kind": "any"}, "enum": [1, "b"]}
    assert definition(Colour | None) == {"type": {"kind": "text"}, "enum": ["red", "blue"], "nullable": True}


def test_unions_of_several_types_are_any() -> None:
    assert definition(int | str) == {"type": {"kind": "any"}}
    assert definition(int | str | None) == {"type": {"kind": "any"}, "nullable": True}


def test_nested_models_lie_inside() -> None:
    assert definition(Profile) == {
        "type": {
            "kind": "model",
            "fields": [
                {"name": "city", "type": {"kind": "text"}, "nullable": True, "default": None},
                {"name": "age", "type": {"kind": "int"}, "ge": 0, "default": 0},
            ],
        }
    }


def test_a_model_that_contains_itself_becomes_any_inside() -> None:
    inside = definition(Node)["type"]["fields"][1]
    assert inside == {
        "name": "children",
        "type": {"kind": "list", "items": {"type": {"kind": "any"}}},
        "default": [],
    }


def test_a_type_that_cannot_be_stored_is_refused_by_name() -> None:
    class Wrong(Document):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        id: int = Field(primary_key=True)
        lock: asyncio.Lock

    with pytest.raises(InvalidSchemaError, match=r"Wrong\.lock"):
        entity_of(Wrong)


def test_constraints_come_from_everywhere() -> None:
    assert definition(str, MaxLen(3)) == {"type": {"kind": "text"}, "max_length": 3}
    assert definition(Annotated[str, StringConstraints(min_length=1, max_length=4, pattern="^a")]) == {
        "type": {"kind": "text"},
        "min_length": 1,
        "max_length": 4,
        "pattern": "^a",
    }
    assert definition(Annotated[str, StringConstraints(pattern=re.compile("^a", re.IGNORECASE))])["pattern"] == "(?i)^a"
    assert definition(Annotated[int, Ge(1)] | None) == {"type": {"kind": "int"}, "ge": 1, "nullable": True}
    assert definition(list[Annotated[str, Field(max_length=4)]], MaxLen(2)) == {
        "type": {"kind": "list", "items": {"type": {"kind": "text"}, "max_length": 4}},
        "max_length": 2,
    }
    assert definition(pydantic.PositiveInt) == {"type": {"kind": "int"}, "gt": 0}
    assert definition(Annotated[date, Ge(date(2024, 1, 31))])["ge"] == {"$day": "2024-01-31"}
    price = definition(Annotated[Decimal, Field(max_digits=5, decimal_places=2, multiple_of=Decimal("0.05"))])
    assert price == {
        "type": {"kind": "decimal"},
        "max_digits": 5,
        "decimal_places": 2,
        "multiple_of": {"$numberDecimal": "0.05"},
    }


# Entities


class Everything(Document, table="everything"):
    id: str = Field(default_factory=lambda: "x", primary_key=True)
    name: str = Field(max_length=100, index=True)
    code: Annotated[str, Field(unique=True)] = "c"
    alias_name: str = Field(default="", column="stored")
    tags: list[str] = Field(default=[], index=True)
    labels: list[str] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)
    price: Decimal = Decimal("1.10")
    ratio: float = 0.5
    blob: bytes = b"\x00"
    when: datetime = datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))
    day: date = date(2024, 1, 31)
    clock: time = time(12)
    who: UUID = UUID(int=1)
    oid: ObjectId = ObjectId("59a47286cfa9a3a73e51e72c")
    colour: Colour = Colour.RED
    profile: Profile = Profile(city="Bonn")
    maybe: str | None = None
    needed: str | None
    made: int = Field(default_factory=lambda: 3)

    class Settings:
        indexes = (Index("name", "-when"), [("alias_name", 1), ("day", -1)], "-profile.city", "tags", "tags")


def test_defaults_that_never_change_are_in_the_contract() -> None:
    fields = fields_of(Everything)
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    assert defaults == {
        "code": "c",
        "stored": "",
        "tags": [],
        "labels": [],
        "extra": {},
        "price": {"$numberDecimal": "1.10"},
        "ratio": 0.5,
        "blob": {"$binary": {"base64": "AA==", "subType": "00"}},
        "when": {"$date": "2024-01-31T11:00:00.000000Z"},
        "day": {"$day": "2024-01-31"},
        "clock": {"$time": "12:00:00.000000"},
        "who": {"$uuid": "00000000-0000-0000-0000-000000000001"},
        "oid": {"$oid": "59a47286cfa9a3a73e51e72c"},
        "colour": "red",
        "profile": {"city": "Bonn", "age": 0},
        "maybe": None,
    }
    assert fields["needed"] == {"type": {"kind": "text"}, "nullable": True}


def test_options_and_indexes_use_stored_names() -> None:
    fields = fields_of(Everything)
    assert fields["id"] == {"type": {"kind": "text"}, "primary_key": True}
    assert fields["name"]["index"] is True
    assert fields["code"]["unique"] is True
    assert entity_of(Everything).definition("everything")["indexes"] == [
        {"fields": ["name", "-when"]},
        {"fields": ["stored", "-day"]},
        {"fields": ["-profile.city"]},
    ]


def test_the_core_accepts_the_contract() -> None:
    database = Database(models=[Everything, Account])
    canonical = json.loads(database.contract)
    assert [entity["name"] for entity in canonical["entities"]] == ["accounts", "everything"]
    assert len(database.contract_hash) == 64
    assert Database(models=[Account, Everything]).contract_hash == database.contract_hash


def test_keys_are_generated_where_python_has_none() -> None:
    def key(annotation: Any, **options: Any) -> dict[str, Any]:
        field = Field(primary_key=True, **options)
        model = pydantic.create_model("Made", __base__=Document, id=(annotation, field))
        return fields_of(model)["id"]

    assert key(int, default=None) == {"type": {"kind": "int"}, "primary_key": True, "generated": "auto_increment"}
    assert key(int | None, default=None) == key(int, default=None)
    assert key(UUID, default=None)["generated"] == "uuid"
    assert key(ObjectId | None, default=None)["generated"] == "object_id"
    assert key(str, default=None, generated="uuid")["generated"] == "uuid"
    assert "generated" not in key(int)
    assert "generated" not in key(UUID, default_factory=uuid4)
    assert "generated" not in key(ObjectId, default_factory=ObjectId)


def test_keys_may_have_several_fields() -> None:
    class Line(Document):
        order: int = Field(primary_key=True)
        number: int = Field(primary_key=True, column="nr")

    entity = entity_of(Line)
    line = Line(order=1, number=2)
    assert entity.key == ("order", "number")
    assert entity.key_of(line) == {"order": 1, "nr": 2}
    assert entity.stored_key({"number": 2, "order": 1}) == {"nr": 2, "order": 1}
    with pytest.raises(InvalidQueryError, match="order, number"):
        entity.stored_key(1)


def test_names_come_from_keywords_settings_or_the_class() -> None:
    class Plain(Document):
        id: int = Field(primary_key=True)

    class Named(Document, collection="other"):
        id: int = Field(primary_key=True)

    class Child(Plain):
        class Settings:
            name = "children"

    class Grandchild(Child):
        pass

    assert [model.get_collection_name() for model in (Plain, Named, Child, Grandchild)] == [
        "plains",
        "other",
        "children",
        "grandchilds",
    ]


def test_bases_have_no_table() -> None:
    class Base(Document, abstract=True):
        id: int = Field(primary_key=True)

    class Keyless(Document):
        name: str

    class Concrete(Base):
        pass

    for wrong in (Document, Base, Keyless, BaseDocument):
        with pytest.raises(InvalidSchemaError):
            Database(models=[wrong])
    assert entity_of(Concrete).key == ("id",)


def test_two_models_cannot_share_a_table() -> None:
    class One(Document, table="same"):
        id: int = Field(primary_key=True)

    class Two(Document, table="same"):
        id: int = Field(primary_key=True)

    database = Database(models=[One])
    with pytest.raises(InvalidSchemaError, match="same"):
        database.register_model(Two)
    assert database.repository(One) is database.repository(One)
    assert database.repository(One, "archive").name == "archive"
    assert database.models == [One]


def test_wrong_definitions_are_named() -> None:
    class Unknown(Document):
        id: int = Field(primary_key=True)

        class Settings:
            indexes = ("nmae",)

    class Open(Document, extra="allow"):
        id: int = Field(primary_key=True)

    with pytest.raises(InvalidSchemaError, match="nmae"):
        entity_of(Unknown).definition("x")
    with pytest.raises(InvalidSchemaError, match="extra keys"):
        entity_of(Open)
    for wrong in (1, {"a": 1}, [("a", 2)], [1]):
        with pytest.raises(InvalidSchemaError):
            Index.parse(wrong)
    with pytest.raises(InvalidSchemaError):
        Index()


def test_indexes_of_beanie_are_understood() -> None:
    class Member(Document):
        id: int = Field(primary_key=True)
        email: Indexed(str, unique=True)  # type: ignore[valid-type]
        username: Indexed(str, unique=True) | None = None  # type: ignore[valid-type]
        city: Annotated[str, Indexed()] = ""

    fields = fields_of(Member)
    assert fields["email"]["unique"] is True
    assert fields["username"] == {"type": {"kind": "text"}, "nullable": True, "unique": True, "default": None}
    assert fields["city"]["index"] is True


def test_indexed_fields_of_nested_models_are_indexed() -> None:
    class Address(BaseModel):
        city: str = Field(default="", index=True)
        code: str = Field(default="", unique=True, column="zip")

    class Person(Document):
        id: int = Field(primary_key=True)
        address: Address

    assert entity_of(Person).definition("x")["indexes"] == [
        {"fields": ["address.city"]},
        {"fields": ["address.zip"], "unique": True},
    ]


def test_the_condition_of_an_index_uses_stored_names() -> None:
    class Partial(Document):
        id: int = Field(primary_key=True)
        email: str = Field(default="", column="mail")

        class Settings:
            indexes = (Index("email", unique=True, where={"email": {"$ne": None}}, name="mails"),)

    assert entity_of(Partial).definition("x")["indexes"] == [
        {"fields": ["mail"], "unique": True, "where": {"mail": {"$ne": None}}, "name": "mails"}
    ]


def test_a_field_may_have_the_name_of_a_verb() -> None:
    class Counter(Document):
        id: int = Field(primary_key=True)
        count: int
        update: str = "daily"

    class Special(Counter):
        extra: int = 1

    counter = Special(id=1, count=5)
    counter.count += 1
    assert (counter.count, counter.update) == (6, "daily")
    assert (Special.count == 1).to_filter() == {"count": {"$eq": 1}}  # type: ignore[attr-defined]
    with pytest.raises(pydantic.ValidationError):
        Special(id=1)  # type: ignore[call-arg]


def test_models_are_pydantic_models() -> None:
    everything = Everything(name="x", needed=None)
    assert Everything.model_validate_json(everything.model_dump_json()) == everything
    assert Everything.model_json_schema()["properties"]["oid"]["pattern"] == "^[0-9a-f]{24}$"
    assert pickle.loads(pickle.dumps(everything)) == everything
    assert copy.deepcopy(everything) == everything
    assert everything.model_copy(update={"name": "y"}).name == "y"

    class Narrow(Everything):
        name: str
        maybe: str | None = "set"

    assert Narrow(name="y", needed="z").maybe == "set"
    with pytest.raises(AttributeError):
        Everything.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_forward_references_are_resolved_late() -> None:
    class Early(Document):
        id: int = Field(primary_key=True)
        late: Late | None = None  # noqa: F821

    with pytest.raises(InvalidSchemaError, match="unknown type"):
        entity_of(Early)


# Readers and writers


def read(annotation: Any) -> Any:
    return describe(annotation, config=CONFIG).reader


def test_exact_types_need_no_reader() -> None:
    for annotation in (int, str, datetime, UUID, ObjectId, list[int], dict[str, Decimal], Any, str | None):
        assert read(annotation) is None


def test_containers_are_read_as_what_they_are() -> None:
    assert read(set[int]) == ("set", None)
    assert read(tuple[str, ...]) == ("tuple", None)
    assert read(frozenset[str]) == ("frozenset", None)
    assert isinstance(read(Profile), _native.Shape)
    kind, inner = read(dict[str, list[Profile]])
    assert kind == "map"
    assert inner[0] == "list"
    assert isinstance(inner[1], _native.Shape)


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        (Colour, Colour.RED, "red"),
        (Colour | None, None, None),
        (Level, Level.HIGH, 2),
        (timedelta, timedelta(days=1, microseconds=1), "P1DT0.000001S"),
        (AnyUrl, AnyUrl("http://a.de/"), "http://a.de/"),
        (AnyUrl | None, None, None),
        (Path, Path("a/b"), "a/b"),
        (SecretStr, SecretStr("x"), "x"),
        (int | str, "x", "x"),
        (dict[UUID, int], {UUID(int=1): 2}, {"00000000-0000-0000-0000-000000000001": 2}),
        (tuple[int, str], (1, "x"), [1, "x"]),
        (Tags, Tags(["a"]), ["a"]),
        (Node, Node(name="a", children=[Node(name="b")]), {"name": "a", "children": [{"name": "b", "children": []}]}),
        (list[Profile] | dict[str, int], [Profile(city="x")], [{"city": "x", "age": 0}]),
    ],
)
def test_what_is_written_is_read_again(annotation: Any, value: Any, stored: Any) -> None:
    plan = describe(annotation, config=CONFIG)
    assert plan.encode(value) == stored
    if plan.writer is not None:
        assert plan.writer(value) == stored
    if isinstance(plan.reader, tuple) and plan.reader[0] == "call":
        assert plan.reader[1](stored) == value


def test_naive_datetimes_stay_naive() -> None:
    kind, function = read(NaiveDatetime)
    assert kind == "call"
    assert function(datetime(2024, 1, 1, tzinfo=timezone.utc)) == datetime(2024, 1, 1)


def test_enum_values_are_kept_where_the_model_says_so() -> None:
    plan = describe(Colour, config=ConfigDict(use_enum_values=True))
    assert plan.reader is None

    class Light(BaseDocument):
        colour: Colour

    assert Light(colour=Colour.RED).colour == "red"


def test_sets_are_stored_in_a_stable_order() -> None:
    plan = describe(set[Colour], config=CONFIG)
    assert plan.encode({Colour.RED, Colour.BLUE}) == ["blue", "red"]


def test_only_plain_models_are_printed_by_the_core() -> None:
    assert entity_of(Everything).prints_plainly

    class Computed(Document):
        id: int = Field(primary_key=True)

        @computed_field  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return self.id * 2

    class Serialised(Document):
        id: int = Field(primary_key=True)

        @field_serializer("id")
        def as_text(self, value: int) -> str:
            return str(value)

    class Secret(Document):
        id: int = Field(primary_key=True)
        secret: SecretStr

    for model in (Computed, Serialised, Secret):
        assert not entity_of(model).prints_plainly, model
