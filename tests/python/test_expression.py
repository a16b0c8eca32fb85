"""Expressions, filters, updates and sorts: what they compile to. No database."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from enum import Enum
from ipaddress import IPv4Address
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, field_validator, model_validator

from farm_db import (
    ALL,
    Document,
    Expression,
    Field,
    InvalidQueryError,
    InvalidValueError,
    ObjectId,
    Repository,
    UnknownFieldError,
    col,
)
from farm_db.entity import entity_of
from farm_db.expression import compile_filters
from farm_db.filters import sort_of, translate, update_of
from farm_db.records import changes_of

pytestmark = pytest.mark.every_backend


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    name: str
    price: float = 0
    size: int = Field(default=0, column="sz")


class Profile(BaseModel):
    city: str | None = None
    zip_code: str = Field(default="", column="zip")


class Order(Document):
    id: UUID = Field(primary_key=True)
    name: str = Field(default="", column="title")
    rating: float | None = None
    paid: bool = False
    count: int = 0
    tags: list[str] = []
    colour: Colour = Colour.RED
    items: list[Item] = []
    scores: list[int] = []
    profile: Profile = Profile()
    extra: dict[str, Any] = {}
    owner: ObjectId | None = None
    took: timedelta | None = None
    url: AnyUrl | None = None
    addresses: list[IPv4Address] = []


FIELDS = entity_of(Order).fields
orders = Repository(Order, "orders")


def compiled(*filters: Any) -> dict[str, Any]:
    return compile_filters(filters, FIELDS)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Order.rating == 4, {"rating": {"$eq": 4}}),
        (Order.rating != 4, {"rating": {"$ne": 4}}),
        (Order.rating < 4, {"rating": {"$lt": 4}}),
        (Order.rating <= 4, {"rating": {"$lte": 4}}),
        (Order.rating > 4, {"rating": {"$gt": 4}}),
        (Order.rating >= 4, {"rating": {"$gte": 4}}),
        (Order.rating.between(1, 2), {"rating": {"$gte": 1, "$lte": 2}}),
        (Order.rating.in_([1, 2]), {"rating": {"$in": [1, 2]}}),
        (Order.rating.not_in((1,)), {"rating": {"$nin": [1]}}),
        (Order.rating.is_null(), {"rating": {"$eq": None}}),
        (Order.rating.is_not_null(), {"rating": {"$ne": None}}),
        (Order.rating == None, {"rating": {"$eq": None}}),  # noqa: E711
        (Order.profile.city.exists(), {"profile.city": {"$exists": True}}),
        (Order.tags.contains("a"), {"tags": {"$eq": "a"}}),
        (Order.tags.contains_all(["a", "b"]), {"tags": {"$all": ["a", "b"]}}),
        (Order.tags.size(2), {"tags": {"$size": 2}}),
        (Order.tags == ["a"], {"tags": {"$eq": ["a"]}}),
        (Order.colour == Colour.RED, {"colour": {"$eq": "red"}}),
    ],
)
def test_comparisons_become_operators(expression: Expression, expected: dict[str, Any]) -> None:
    assert expression.to_filter() == expected
    assert compiled(expression) == expected


def test_a_renamed_field_is_asked_for_by_its_stored_name() -> None:
    assert (Order.name == "x").to_filter() == {"title": {"$eq": "x"}}
    assert (Order.profile.zip_code == "x").to_filter() == {"profile.zip": {"$eq": "x"}}
    assert (Order.items.price > 1).to_filter() == {"items.price": {"$gt": 1}}


def test_nested_fields_win_over_methods_of_their_name() -> None:
    assert (Order.items.size > 1).to_filter() == {"items.sz": {"$gt": 1}}
    assert (Order.count == 1).to_filter() == {"count": {"$eq": 1}}


def test_keys_lead_into_maps_and_lists() -> None:
    assert (Order.extra["a"]["b"] == 1).to_filter() == {"extra.a.b": {"$eq": 1}}
    assert (Order.tags[0] == "a").to_filter() == {"tags.0": {"$eq": "a"}}
    assert (Order.items[0].size == 1).to_filter() == {"items.0.sz": {"$eq": 1}}
    assert (Order.profile["zip_code"] == "1").to_filter() == {"profile.zip": {"$eq": "1"}}


def test_expressions_join() -> None:
    a, b, c = Order.count == 1, Order.count == 2, Order.count == 3
    parts = [{"count": {"$eq": number}} for number in (1, 2, 3)]
    assert (a & b & c).to_filter() == {"$and": parts}
    assert (a | b | c).to_filter() == {"$or": parts}
    assert (~a).to_filter() == {"$nor": [parts[0]]}
    assert (a | (b & c)).to_filter() == {"$or": [parts[0], {"$and": parts[1:]}]}
    assert (Order.paid & a).to_filter() == {"$and": [{"paid": {"$eq": True}}, parts[0]]}
    assert (a & Order.paid).to_filter() == {"$and": [parts[0], {"paid": {"$eq": True}}]}


def test_several_filters_all_hold() -> None:
    assert compiled() == {}
    assert compiled({}, Order.count == 1) == {"count": {"$eq": 1}}
    assert compiled(Order.count == 1, {"name": "x"}) == {"$and": [{"count": {"$eq": 1}}, {"title": "x"}]}
    assert compiled(Order.paid) == {"paid": {"$eq": True}}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: (Order.count == 1) and (Order.count == 2),
        lambda: not (Order.count == 1),  # noqa: SIM201
        lambda: 1 < Order.count < 3,
        lambda: bool(Order.count),
        lambda: list(Order.tags),
        lambda: (Order.count == 1) & True,
        lambda: col("count"),
    ],
)
def test_python_logic_on_expressions_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        wrong()


def test_what_is_no_filter_is_refused() -> None:
    for wrong in (True, False, "name", 1, None, Order.count):
        with pytest.raises(InvalidQueryError):
            compiled(wrong)
    with pytest.raises(InvalidQueryError, match="another column"):
        Order.count == Order.rating  # noqa: B015
    with pytest.raises(AttributeError, match="no field 'town'"):
        Order.profile.town  # noqa: B018
    with pytest.raises(AttributeError):
        Order.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("expression", "pattern", "options"),
    [
        (Order.name.like("a%b_c"), r"^a.*b.c\z", "s"),
        (Order.name.ilike("100\\%.%"), r"^100%\..*\z", "is"),
        (Order.name.like("a\\"), r"^a\\\z", "s"),
        (Order.name.startswith("a.b"), r"^a\.b", None),
        (Order.name.endswith("$"), r"\$\z", None),
        (Order.name.contains("(a)"), r"\(a\)", None),
        (Order.name.regex("^x", "i"), "^x", "i"),
        (Order.name.regex(re.compile("^x", re.IGNORECASE | re.DOTALL)), "^x", "is"),
    ],
)
def test_text_tests_become_regular_expressions(expression: Expression, pattern: str, options: str | None) -> None:
    expected = {"$regex": pattern} | ({"$options": options} if options else {})
    assert expression.to_filter() == {"title": expected}


@pytest.mark.parametrize(
    "condition",
    [
        lambda item: (item.size > 3) & (item.name == "x"),
        (Order.items.size > 3) & (Order.items.name == "x"),
    ],
)
def test_one_element_satisfies_a_whole_condition(condition: Any) -> None:
    expected = {"items": {"$elemMatch": {"$and": [{"sz": {"$gt": 3}}, {"name": {"$eq": "x"}}]}}}
    assert Order.items.any(condition).to_filter() == expected


def test_elements_are_tested_by_dicts_and_operators() -> None:
    assert Order.items.elem_match({"size": {"$gt": 3}}).to_filter() == {"items": {"$elemMatch": {"sz": {"$gt": 3}}}}
    wanted = {"scores": {"$elemMatch": {"$gt": 3, "$lt": 5}}}
    assert Order.scores.elem_match({"$gt": 3, "$lt": 5}).to_filter() == wanted
    assert Order.scores.any(lambda score: (score > 3) & (score < 5)).to_filter() == wanted
    with pytest.raises(InvalidQueryError, match="twice"):
        Order.scores.any(lambda score: (score > 3) & (score > 5))
    with pytest.raises(InvalidQueryError, match="inside"):
        Order.items.any(Order.count == 1)


def test_operands_take_the_stored_form() -> None:
    assert (Order.took == timedelta(hours=1)).to_filter() == {"took": {"$eq": "PT1H"}}
    assert (Order.url == "http://a.de").to_filter() == {"url": {"$eq": "http://a.de/"}}
    assert Order.addresses.contains(IPv4Address("1.2.3.4")).to_filter() == {"addresses": {"$eq": "1.2.3.4"}}
    assert (Order.items == [Item(name="x", size=2)]).to_filter() == {
        "items": {"$eq": [{"name": "x", "price": 0, "sz": 2}]}
    }
    assert Order.extra.contains({1, 2}).to_filter() == {"extra": {"$eq": [1, 2]}}


def test_an_order_that_the_stored_form_has_not_is_refused() -> None:
    with pytest.raises(InvalidQueryError, match="text form"):
        Order.took > timedelta(hours=1)  # noqa: B015
    with pytest.raises(InvalidQueryError, match="text form"):
        compiled({"took": {"$gt": timedelta(hours=1)}})
    with pytest.raises(InvalidQueryError, match="text form"):
        sort_of(["took"], FIELDS)
    with pytest.raises(InvalidValueError):
        Order.took == "soon"  # noqa: B015


def test_dict_filters_are_translated_at_every_depth() -> None:
    filter = {
        "$or": [{"name": "x"}, {"$nor": [{"profile.zip_code": {"$ne": "1"}}]}, Order.name == "y"],
        "items": {"$elemMatch": {"size": {"$in": [1, 2]}}},
        "items.0.size": {"$not": {"$gt": 3}},
        "tags": {"$all": ("a", {"$elemMatch": {"$eq": "b"}})},
        "colour": {"$in": [Colour.BLUE]},
        "unknown.path": 1,
        "name": re.compile("x"),
    }
    assert translate(filter, FIELDS) == {
        "$or": [{"title": "x"}, {"$nor": [{"profile.zip": {"$ne": "1"}}]}, {"title": {"$eq": "y"}}],
        "items": {"$elemMatch": {"sz": {"$in": [1, 2]}}},
        "items.0.sz": {"$not": {"$gt": 3}},
        "tags": {"$all": ["a", {"$elemMatch": {"$eq": "b"}}]},
        "colour": {"$in": ["blue"]},
        "unknown.path": 1,
        "title": {"$regex": "x"},
    }


def test_a_condition_is_never_lost_by_translation() -> None:
    with pytest.raises(InvalidQueryError, match="twice"):
        translate({"name": "x", "title": "y"}, FIELDS)


def test_object_ids_of_bson_are_understood() -> None:
    bson = pytest.importorskip("bson")
    raw = bson.ObjectId()
    assert compiled({"owner": raw}) == {"owner": ObjectId(str(raw))}
    assert isinstance((Order.owner == raw).to_filter()["owner"]["$eq"], ObjectId)


def test_updates_are_translated() -> None:
    assert update_of({"name": "x"}, FIELDS) == {"$set": {"title": "x"}}
    update = {
        "$set": {"profile.zip_code": "1", "items": [Item(name="x")]},
        "$inc": {"count": 1},
        "$push": {"items": {"$each": [Item(name="y", size=1)], "$slice": 3}},
        "$addToSet": {"addresses": IPv4Address("1.2.3.4")},
        "$pull": {"items": {"size": {"$gt": 3}}, "scores": {"$lt": 1}, "tags": "a"},
        "$pullAll": {"tags": ["a"]},
        "$unset": {"name": ""},
        "$currentDate": {"took": True},
        "$rename": {"extra.a": "extra.b"},
    }
    assert update_of(update, FIELDS) == {
        "$set": {"profile.zip": "1", "items": [{"name": "x", "price": 0, "sz": 0}]},
        "$inc": {"count": 1},
        "$push": {"items": {"$each": [{"name": "y", "price": 0, "sz": 1}], "$slice": 3}},
        "$addToSet": {"addresses": "1.2.3.4"},
        "$pull": {"items": {"sz": {"$gt": 3}}, "scores": {"$lt": 1}, "tags": "a"},
        "$pullAll": {"tags": ["a"]},
        "$unset": {"title": ""},
        "$currentDate": {"took": True},
        "$rename": {"extra.a": "extra.b"},
    }
    with pytest.raises(InvalidQueryError, match="not of both"):
        update_of({"$set": {"count": 1}, "name": "x"}, FIELDS)


def test_changes_run_the_fields_validators() -> None:
    entity = entity_of(Order)
    assert changes_of(entity, {"rating": "3.5", "colour": "blue"}) == {"$set": {"rating": 3.5, "colour": "blue"}}
    assert changes_of(entity, {"$set": {"count": "7"}, "$inc": {"rating": 1}}) == {
        "$set": {"count": 7},
        "$inc": {"rating": 1},
    }
    with pytest.raises(InvalidValueError, match="rating") as caught:
        changes_of(entity, {"rating": "good"})
    assert caught.value.context["path"] == "rating"
    with pytest.raises(UnknownFieldError, match="nmae"):
        changes_of(entity, {"nmae": "x"})


def test_changes_of_any_model_are_validated() -> None:
    class Tree(BaseModel):
        name: str
        children: list[Tree] = []

    class Forest(Document, str_strip_whitespace=True):
        id: int = Field(primary_key=True)
        tree: Tree
        name: Annotated[str, Field(alias="title", validate_default=True)] = ""
        made: datetime = Field(default_factory=lambda: datetime.now(timezone.utc))

        @field_validator("name")
        @classmethod
        def upper(cls, value: str) -> str:
            return value.upper()

        @model_validator(mode="after")
        def whole(self) -> Forest:
            assert self.tree, "only a whole forest is checked as a whole"
            return self

    entity = entity_of(Forest)
    assert changes_of(entity, {"name": " oak "}) == {"$set": {"name": "OAK"}}
    assert changes_of(entity, {"title": "oak"}) == {"$set": {"name": "OAK"}}
    changes = changes_of(entity, {"tree": {"name": "a", "children": [{"name": "b"}]}})
    assert changes == {"$set": {"tree": {"name": "a", "children": [{"name": "b", "children": []}]}}}
    with pytest.raises(InvalidValueError, match=r"tree\.children\.0\.name"):
        changes_of(entity, {"tree": {"name": "a", "children": [{}]}})


def test_a_schema_changes_only_what_was_set() -> None:
    class Patch(BaseModel):
        name: str | None = None
        count: int | None = None
        secret: str = Field(default="", exclude=True)

    entity = entity_of(Order)
    assert changes_of(entity, Patch(name="x")) == {"$set": {"title": "x"}}
    order = Order(id=UUID(int=1), name="x", profile=Profile(city="Bonn"))
    assert changes_of(entity, order) == {"$set": {"title": "x", "profile": {"city": "Bonn", "zip": ""}}}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["-name", "count"], ["-title", "count"]),
        ([("name", -1), ("count", 1)], ["-title", "count"]),
        ([{"name": -1, "count": 1}], ["-title", "count"]),
        ([-Order.name, +Order.count, Order.profile.zip_code], ["-title", "count", "profile.zip"]),
        ([["-name", "count"]], ["-title", "count"]),
    ],
)
def test_sort_keys_have_many_forms(keys: list[Any], expected: list[str]) -> None:
    assert sort_of(keys, FIELDS) == expected


def test_wrong_sort_keys_are_refused() -> None:
    for wrong in ("-", "", 1, ("name", 2), None):
        with pytest.raises(InvalidQueryError):
            sort_of([wrong], FIELDS)


def test_queries_are_lazy_and_immutable() -> None:
    query = orders.find(Order.count == 1, sort="-name", limit=5)
    narrowed = query.find({"name": "x"}).sort(("count", 1)).skip(2).fields("name", Order.count).include_deleted()
    assert query.to_query() == {"filter": {"count": {"$eq": 1}}, "sort": ["-title"], "limit": 5}
    assert narrowed.to_query() == {
        "filter": {"$and": [{"count": {"$eq": 1}}, {"title": "x"}]},
        "sort": ["-title", "count"],
        "limit": 5,
        "skip": 2,
        "fields": ["title", "count"],
        "deleted": True,
    }
    assert orders.find(sort=[("name", -1), "count"]).to_query() == {"sort": ["-title", "count"]}
    assert orders.find(sort=Order.name).to_query() == orders.find(sort=+Order.name).to_query() == {"sort": ["title"]}
    assert orders.find(sort=[]).to_query() == {}
    assert orders.find(sort={"name": -1}).to_query() == {"sort": ["-title"]}
    for wrong in (-1, True, "3"):
        with pytest.raises(InvalidQueryError):
            orders.find(limit=wrong).to_query()


def test_every_row_is_meant_only_by_all() -> None:
    assert orders._select({}) == {"filter": {}}
    assert orders._select(ALL) == {"filter": {}, "all": True}
    assert orders._select([Order.count == 1, {"name": "x"}]) == {
        "filter": {"$and": [{"count": {"$eq": 1}}, {"title": "x"}]}
    }
