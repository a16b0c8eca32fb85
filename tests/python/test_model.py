"""Models: contracts, shapes, errors, object ids, mixins, configuration. No database."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import json
import pickle
import re
import subprocess
import sys
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
    TypeAdapter,
    computed_field,
    field_serializer,
    field_validator,
)

import farm_db
from farm_db import (
    AuditMixin,
    BaseDocument,
    Database,
    DatabaseClosedError,
    DatabaseManager,
    Document,
    FarmDbError,
    Field,
    Index,
    Indexed,
    InvalidQueryError,
    InvalidSchemaError,
    InvalidValueError,
    MetadataMixin,
    ObjectId,
    Page,
    Repository,
    SearchableMixin,
    SoftDeleteMixin,
    TimestampMixin,
    _native,
    errors,
    get_database_manager,
    init_database,
    reset_current_user,
    set_current_user,
)
from farm_db.configuration import DEFAULT_URL, FROM_ENVIRONMENT, locate
from farm_db.entity import entity_of
from farm_db.records import record_of
from farm_db.schema import describe

CONFIG = ConfigDict()


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Profile(BaseModel):
    city: str | None = None
    age: int = Field(default=0, ge=0)


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


def fields_of(model: type[Document]) -> dict[str, dict[str, Any]]:
    return {field.pop("name"): field for field in entity_of(model).definition("x")["fields"]}


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


# Records


class Account(Document):
    id: int = Field(default=None, primary_key=True)
    email: str = Field(alias="mail")
    age: int = Field(default=0, ge=0)

    @field_validator("email")
    @classmethod
    def lower(cls, value: str) -> str:
        return value.lower()


def test_records_come_from_dicts_schemas_and_instances() -> None:
    class Create(BaseModel):
        email: str
        age: int = 7

    account = Account(mail="A@b.de")
    assert record_of(Account, account) is account
    assert record_of(Account, {"email": "A@b.de"}) == account
    assert record_of(Account, {"mail": "A@b.de"}) == account
    assert record_of(Account, Create(email="A@b.de")) == account
    assert record_of(Account, Create(email="A@b.de", age=8)).age == 8


def test_wrong_records_name_the_field_and_never_the_value() -> None:
    with pytest.raises(InvalidValueError) as caught:
        record_of(Account, {"email": "x", "age": "secret-value"})
    assert caught.value.context["path"] == "age"
    assert "secret-value" not in str(caught.value) + repr(caught.value.context)
    with pytest.raises(InvalidValueError):
        record_of(Account, 3)  # type: ignore[arg-type]


def test_instances_are_checked_again_where_settings_say_so() -> None:
    class Checked(Document):
        id: int = Field(primary_key=True)
        profile: Profile = Profile()

        class Settings:
            validate_on_save = True

    wrong = Checked(id=1)
    wrong.profile.age = -1
    with pytest.raises(InvalidValueError, match=r"profile\.age"):
        record_of(Checked, wrong)
    unchecked = Account(mail="x")
    unchecked.age = -1
    assert record_of(Account, unchecked) is unchecked


# Mixins


class User(BaseDocument, SearchableMixin):
    email: str = Field(unique=True)
    profile: Profile = Field(default_factory=Profile)
    roles: list[str] = []

    class Settings:
        collection = "users"
        indexes = ("email", [("roles", 1), ("email", -1)], "created_at")


def test_a_base_document_has_everything() -> None:
    user = User(email="a@b.de")
    assert isinstance(user.id, ObjectId)
    assert user.created_at.tzinfo is not None
    assert (user.version, user.is_deleted, user.deleted_at, user.tags, user.metadata) == (1, False, None, [], {})
    assert list(User.model_fields)[:3] == ["search_vector", "id", "metadata"]
    fields = fields_of(User)
    assert {name: field["auto"] for name, field in fields.items() if "auto" in field} == {
        "created_at": "created",
        "updated_at": "updated",
        "version": "version",
        "deleted_at": "deleted",
        "is_deleted": "deleted_flag",
    }


def test_indexes_of_all_bases_are_collected_once() -> None:
    compound = [("roles", 1), ("email", -1)]
    assert User.get_indexes() == ["created_at", "updated_at", "is_deleted", "tags", "email", compound]
    assert entity_of(User).definition("users")["indexes"] == [
        {"fields": ["created_at"]},
        {"fields": ["updated_at"]},
        {"fields": ["is_deleted"]},
        {"fields": ["tags"]},
        {"fields": ["roles", "-email"]},
    ]


def test_mixins_change_their_instance() -> None:
    user = User(email="A@b.de", profile=Profile(city="Bonn"), roles=["Admin", "dev"])
    user.soft_delete()
    assert user.is_deleted
    assert user.deleted_at is not None
    user.restore()
    assert (user.is_deleted, user.deleted_at) == (False, None)
    user.add_tag("a")
    user.add_tag("a")
    user.add_tag("b")
    user.remove_tag("a")
    user.remove_tag("a")
    assert user.tags == ["b"]
    user.set_metadata("k", 1)
    assert (user.get_metadata("k"), user.get_metadata("x", 2)) == (1, 2)
    user.increment_version("u1")
    assert (user.version, user.updated_by) == (2, "u1")
    user.update_search_vector(["email", "profile.city", "roles", "profile.nothing", "missing", "metadata.k"])
    assert user.search_vector == "a@b.de bonn admin dev 1"


def test_documents_become_dicts() -> None:
    user = User(email="a@b.de")
    assert user.to_dict()["id"] == str(user.id)
    assert "deleted_at" not in user.to_dict()
    assert user.to_dict(exclude_none=False)["deleted_at"] is None
    assert user.to_dict(exclude_unset=True) == {"email": "a@b.de"}


def test_mixins_stand_alone() -> None:
    class Small(Document, TimestampMixin, SoftDeleteMixin, AuditMixin, MetadataMixin):
        id: int = Field(default=None, primary_key=True)

    assert entity_of(Small).automatic.keys() == {"created", "updated", "version", "deleted", "deleted_flag"}


def test_the_current_user_signs() -> None:
    token = set_current_user("u1")
    try:
        user = User(email="x")
        assert (user.created_by, user.updated_by) == ("u1", "u1")
        assert User(email="x", created_by="u2").created_by == "u2"
        changes = Repository(User, "users")._changes({"email": "y"})
        assert changes == {"$set": {"email": "y", "updated_by": "u1"}}
    finally:
        reset_current_user(token)
    assert User(email="x").created_by is None


# Object ids


def test_object_ids_convert_and_compare() -> None:
    one = ObjectId("59a47286cfa9a3a73e51e72c")
    assert ObjectId(one.binary) == ObjectId(one) == ObjectId.from_bytes(one.binary) == one
    assert str(one) == bytes(one).hex() == "59a47286cfa9a3a73e51e72c"
    assert repr(one) == "ObjectId('59a47286cfa9a3a73e51e72c')"
    assert one.generation_time == datetime(2017, 8, 28, 19, 44, 6, tzinfo=timezone.utc)
    other = ObjectId("59a47286cfa9a3a73e51e72d")
    assert one < other
    assert one <= other
    assert other > one
    assert other >= one
    assert one != str(one)
    assert len({one, ObjectId(str(one)), other}) == 2
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one


def test_new_object_ids_differ_and_carry_their_time() -> None:
    ids = [ObjectId() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert abs((datetime.now(timezone.utc) - ids[0].generation_time).total_seconds()) < 5


def test_wrong_object_ids_are_refused() -> None:
    for wrong in ("x", "59a47286cfa9a3a73e51e72", "zza47286cfa9a3a73e51e72c", " 9a47286cfa9a3a73e51e72c", b"x"):
        assert not ObjectId.is_valid(wrong)
        with pytest.raises(ValueError):
            ObjectId(wrong)
    with pytest.raises(TypeError):
        ObjectId(3)
    with pytest.raises(AttributeError):
        ObjectId()._bytes = b""


def test_object_ids_are_pydantic_values() -> None:
    adapter = TypeAdapter(ObjectId)
    one = ObjectId()
    assert adapter.validate_python(str(one)) == adapter.validate_json(f'"{one}"') == one
    assert adapter.dump_python(one) is one
    assert adapter.dump_json(one) == f'"{one}"'.encode()
    with pytest.raises(pydantic.ValidationError, match="24 hexadecimal"):
        adapter.validate_python("x")


def test_object_ids_of_bson_are_equal() -> None:
    bson = pytest.importorskip("bson")
    theirs = bson.ObjectId()
    ours = ObjectId(theirs)
    assert ours == theirs
    assert hash(ours) == hash(theirs)
    assert TypeAdapter(ObjectId).validate_python(theirs) == ours


# Errors


def test_there_is_one_class_for_every_kind_of_the_core() -> None:
    table = _native.error_table()
    assert len(table) == len(errors.ERRORS)
    for name, code, retryable, http_status, meaning in table:
        kind = getattr(farm_db, f"{name}Error")
        assert kind is errors.ERRORS[code]
        assert (kind.code, kind.retryable, kind.http_status, kind.meaning) == (code, retryable, http_status, meaning)


def test_errors_carry_their_facts() -> None:
    error = errors.from_native("not_found", "no row (at id)", {"entity": "users", "path": "id"})
    assert isinstance(error, farm_db.NotFoundError)
    assert (error.message, str(error), error.context["entity"]) == ("no row", "no row (at id)", "users")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.context) == (type(error), error.message, error.context)
    assert isinstance(errors.from_native("unheard_of", "x", {}), FarmDbError)


# Databases that are not connected


def test_everything_needs_a_connection() -> None:
    database = Database("sqlite:///nowhere.db", models=[User])

    async def main() -> None:
        users = database.repository(User)
        assert await users() is users
        for call in (
            lambda: users.get(ObjectId()),
            lambda: users.find().to_list(),
            lambda: users.create({"email": "x"}),
            lambda: User.find_one(),
            lambda: User(email="x").save(),
            lambda: database.ensure_schema(),
            lambda: database.execute("select 1"),
        ):
            with pytest.raises(DatabaseClosedError):
                await call()
        with pytest.raises(DatabaseClosedError):
            async with database.transaction():
                pass
        with pytest.raises(DatabaseClosedError):
            await get_database_manager()
        assert await database.health_check() == {"name": "default", "status": "closed", "connected": False}
        await database.close()

    asyncio.run(main())
    assert not Path("nowhere.db").exists()


def test_the_manager_is_a_database_made_from_a_dict() -> None:
    manager = DatabaseManager({"type": "sqlite", "database": "some dir/app.db", "models": [User], "max_pool_size": 4})
    assert manager.database._url == "sqlite:///some%20dir/app.db"
    assert manager.database._options == {"type": "sqlite", "max_pool_size": 4}
    assert manager.models == [User]
    assert not manager.is_initialized
    assert asyncio.run(manager.health_check()) == {"status": "not_initialized", "connected": False}
    assert asyncio.run(manager.get_stats()) == {}
    assert callable(init_database)


def test_the_url_comes_from_the_first_that_knows_it(tmp_path: Path) -> None:
    assert locate("sqlite:///a.db", {}, {"DATABASE_URL": "x"}, tmp_path) == ("sqlite:///a.db", {})
    assert locate(None, {}, {}, tmp_path) == (DEFAULT_URL, {})
    settings = '[tool.farm-db]\nurl = "sqlite:///p.db"\n[tool.farm-db.options]\nmax_size = 3\nqueue_limit = 5\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert locate(None, {"max_size": 4}, {}, deep) == ("sqlite:///p.db", {"max_size": 4, "queue_limit": 5})
    assert locate(None, {}, {"DATABASE_URL": "sqlite:///e.db"}, deep)[0] == FROM_ENVIRONMENT
    assert locate(None, {}, {"DATABASE_TYPE": "sqlite"}, deep)[0] == FROM_ENVIRONMENT
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(farm_db.InvalidConfigurationError):
        locate(None, {}, {}, deep)


# FastAPI


def test_models_pages_and_repositories_fit_fastapi() -> None:
    fastapi = pytest.importorskip("fastapi")
    database = Database("sqlite:///nowhere.db", models=[User], name="main")
    app = fastapi.FastAPI()
    app.include_router(database.health_router())
    database.install_error_handlers(app)
    users = Annotated[Repository[User], fastapi.Depends(database.repository(User))]

    async def one(id: ObjectId, repository: Any) -> User:
        return User(id=id, email=f"{repository.name}@x")

    async def page() -> Page[User]:
        return Page[User].model_construct(items=[User(email="x")], next_cursor=None, has_more=False, limit=1)

    async def fail(status: int) -> None:
        raise {404: farm_db.NotFoundError, 503: farm_db.PoolTimeoutError}[status]("at host:1", {"secret": "s"})

    one.__annotations__ = {"id": ObjectId, "repository": users, "return": User}
    page.__annotations__ = {"return": Page[User]}
    fail.__annotations__ = {"status": int}
    app.get("/users/{id}")(one)
    app.get("/users")(page)
    app.get("/fail/{status}")(fail)
    pytest.importorskip("httpx")

    async def main() -> None:
        import httpx

        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            id = ObjectId()
            answer = (await client.get(f"/users/{id}")).json()
            assert (answer["id"], answer["email"]) == (str(id), "users@x")
            assert (await client.get("/users/x")).status_code == 422
            assert (await client.get("/users")).json()["items"][0]["email"] == "x"
            assert (await client.get("/health/live")).json() == {"status": "alive"}
            assert (await client.get("/health/ready")).status_code == 503
            assert (await client.get("/health/db")).json()["status"] == "closed"
            missing = await client.get("/fail/404")
            assert missing.status_code == 404
            assert missing.json() == {
                "error": {"code": "not_found", "message": "at host:1", "context": {"secret": "s"}}
            }
            busy = await client.get("/fail/503")
            assert busy.headers["retry-after"] == "1"
            assert busy.json()["error"]["context"] == {}
            assert "host" not in busy.text
            assert (await client.get("/openapi.json")).status_code == 200

    asyncio.run(main())


def test_importing_brings_in_no_web_framework() -> None:
    code = "import sys, farm_db; print([m for m in ('fastapi', 'starlette', 'pytest', 'bson') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
