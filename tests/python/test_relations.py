"""Relations: loading by `include`, conditions on related rows, and what instances and JSON say."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, field_serializer

from farm_db import (
    BaseDocument,
    Database,
    Document,
    Field,
    InvalidQueryError,
    InvalidSchemaError,
    InvalidValueError,
    ObjectId,
    RelationNotLoadedError,
    Repository,
    ResidualLimitError,
    UnknownFieldError,
    UnknownOperatorError,
    UnsupportedError,
    many_to_many,
    many_to_one,
    one_to_many,
    one_to_one,
)
from support import opened

pytestmark = pytest.mark.every_backend


class Company(Document, table="companies"):
    id: int = Field(primary_key=True)
    name: str
    people = one_to_many(lambda: Author, "company_id")


class Author(Document, table="authors"):
    id: int = Field(primary_key=True)
    name: str | None = None
    age: int | None = None
    company_id: int | None = Field(default=None, column="works_at")
    company = many_to_one(Company)
    posts = one_to_many(lambda: Post, "author_id")
    profile = one_to_one("Profile", "author_id", inverse=True)


class Profile(Document, table="profiles"):
    author_id: int = Field(primary_key=True)
    bio: str = ""
    author = one_to_one(Author)


class Tag(Document, table="tags"):
    name: str = Field(primary_key=True)
    rank: int = 0


class Post(Document, table="posts"):
    id: int = Field(primary_key=True)
    title: str = ""
    author_id: int | None = None
    author = many_to_one(Author, "author_id")
    tags = many_to_many(Tag, lambda: PostTag)


class PostTag(Document, table="post_tags"):
    post_id: int = Field(primary_key=True)
    tag_name: str = Field(primary_key=True)
    post = many_to_one(Post)
    tag = many_to_one(Tag, "tag_name")


class Room(Document, table="rooms"):
    house: int = Field(primary_key=True)
    number: str = Field(primary_key=True)
    beds = one_to_many(lambda: Bed, ("house", "room"))


class Bed(Document, table="beds"):
    id: int = Field(primary_key=True)
    house: int | None = None
    room: str | None = None
    of = many_to_one(Room, ("house", "room"))


class Node(BaseDocument, table="nodes"):
    label: str
    parent_id: ObjectId | None = None
    parent = many_to_one("Node", "parent_id")
    children = one_to_many("Node", "parent_id")


MODELS = [Company, Author, Profile, Tag, Post, PostTag, Room, Bed, Node]


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, MODELS) as database:
        await database.repository(Company).create_many([{"id": 1, "name": "Farm"}, {"id": 2, "name": "Barn"}])
        await database.repository(Author).create_many(
            [
                {"id": 1, "name": "Ada", "age": 36, "company_id": 1},
                {"id": 2, "name": "Bob", "age": None, "company_id": None},
                {"id": 3, "name": None, "age": 70, "company_id": 1},
            ]
        )
        await database.repository(Profile).create({"author_id": 1, "bio": "first"})
        await database.repository(Tag).create_many([{"name": name, "rank": n} for n, name in enumerate("abc")])
        await database.repository(Post).create_many(
            [
                {"id": 1, "title": "one", "author_id": 1},
                {"id": 2, "title": "two", "author_id": 2},
                {"id": 3, "title": "three", "author_id": None},
                {"id": 4, "title": "four", "author_id": 99},
                {"id": 5, "title": "five", "author_id": 1},
            ]
        )
        pairs = [(1, "a"), (1, "b"), (2, "b"), (5, "c"), (5, "gone")]
        await database.repository(PostTag).create_many([{"post_id": p, "tag_name": t} for p, t in pairs])
        yield database


@pytest.fixture
def posts(db: Database) -> Repository[Post]:
    return db.repository(Post)


def names(rows: Sequence[Tag]) -> list[str]:
    return [row.name for row in rows]


# Loading.


async def test_every_kind_is_loaded(db: Database, posts: Repository[Post]) -> None:
    rows = await posts.find(sort="id", include=["author", "tags"])
    assert [row.author and row.author.name for row in rows] == ["Ada", "Bob", None, None, "Ada"]
    assert [names(row.tags) for row in rows] == [["a", "b"], ["b"], [], [], ["c"]]
    assert isinstance(rows[0].author, Author)
    assert rows[0].author is rows[4].author, "one row is one object"
    authors = await db.repository(Author).find(sort="id", include=["posts", "profile", "company"])
    assert [[post.id for post in author.posts] for author in authors] == [[1, 5], [2], []]
    assert [author.profile and author.profile.bio for author in authors] == ["first", None, None]
    assert [author.company and author.company.name for author in authors] == ["Farm", None, "Farm"]


async def test_relations_behind_relations_are_loaded(db: Database, posts: Repository[Post]) -> None:
    row = await posts.get(1, include=["author.company", "author.profile", "tags"])
    assert row.author is not None
    assert row.author.company is not None
    assert row.author.profile is not None
    assert (row.author.company.name, row.author.profile.bio, names(row.tags)) == ("Farm", "first", ["a", "b"])
    company = await db.repository(Company).get(1, include=["people.posts.tags"])
    found = {author.id: {post.id: names(post.tags) for post in author.posts} for author in company.people}
    assert found == {1: {1: ["a", "b"], 5: ["c"]}, 3: {}}


async def test_every_verb_that_answers_rows_includes(posts: Repository[Post]) -> None:
    rows: list[Any] = [
        await posts.get(1, include=["author"]),
        await posts.get_or_none(1, include=[Post.author]),
        (await posts.get_many([1], include=["author"]))[0],
        await posts.find_one({"id": 1}, include=["author"]),
        await posts.find({"id": 1}).include("author").first(),
        (await posts.page(limit=1, sort="id", include=["author"])).items[0],
        await Post.find_one(Post.id == 1, include=["author"]),
        await Post.get(1, include=["author"]),
    ]
    assert [row.author.name for row in rows] == ["Ada"] * len(rows)
    assert await posts.get_or_none(77, include=["author"]) is None
    assert await posts.find({"id": 77}).include("author") == []
    assert await posts.find().include("author").count() == 5


async def test_a_level_costs_one_statement_and_two_through_a_third_table(db: Database, posts: Repository[Post]) -> None:
    async def statements(*include: str) -> int:
        before = db.pool_stats()["acquires_total"]
        await posts.find(include=list(include))
        return int(db.pool_stats()["acquires_total"] - before)

    assert await statements() == 1
    assert await statements("author") == 2
    assert await statements("tags") == 3
    assert await statements("author", "tags", "author.company") == 5


async def test_many_rows_cost_as_many_statements(db: Database, posts: Repository[Post]) -> None:
    await db.repository(Author).create_many({"id": n, "name": f"n{n}"} for n in range(100, 1100))
    await posts.create_many({"id": n, "author_id": n} for n in range(100, 1100))
    before = db.pool_stats()["acquires_total"]
    rows = await posts.find({"id": {"$gte": 100}}, sort="id", include=["author"])
    assert db.pool_stats()["acquires_total"] - before == 2
    assert [row.author and row.author.name for row in rows] == [f"n{n}" for n in range(100, 1100)]


async def test_keys_of_several_fields(db: Database) -> None:
    rooms, beds = db.repository(Room), db.repository(Bed)
    await rooms.create_many([{"house": h, "number": n} for h in (1, 2) for n in ("a", "b")])
    places = [(1, "a"), (1, "a"), (2, "b"), (2, None), (None, "a"), (9, "a")]
    await beds.create_many([{"id": n, "house": h, "room": r} for n, (h, r) in enumerate(places)])
    rows = await rooms.find(sort=["house", "number"], include=["beds"])
    assert [[bed.id for bed in room.beds] for room in rows] == [[0, 1], [], [], [2]]
    found = await beds.find(sort="id", include=["of"])
    assert [bed.of and (bed.of.house, bed.of.number) for bed in found] == [(1, "a"), (1, "a"), (2, "b")] + [None] * 3
    assert [bed.id for bed in await beds.find({"of.house": 1}, sort="id")] == [0, 1]
    assert [bed.id for bed in await beds.find({"of.house": {"$ne": 1}}, sort="id")] == [2, 3, 4, 5]
    assert [room.number for room in await rooms.find({"beds": {"$exists": False}}, sort="house")] == ["b", "a"]


async def test_soft_deleted_rows_are_not_related(db: Database) -> None:
    nodes = db.repository(Node)
    root = await nodes.create({"label": "root"})
    kept, gone = [await nodes.create({"label": label, "parent_id": root.id}) for label in ("kept", "gone")]
    await nodes.delete(gone.id)
    found = await nodes.get(root.id, include=["children"])
    assert [child.label for child in found.children] == ["kept"]
    assert [node.label for node in await nodes.find({"children.label": "gone"})] == []
    await nodes.delete(root.id)
    assert (await nodes.get(kept.id, include=["parent"])).parent is None
    assert [node.label for node in await nodes.find({"parent": {"$exists": False}})] == ["kept"]


async def test_inside_a_transaction_its_own_rows_are_seen(db: Database, posts: Repository[Post]) -> None:
    async with db.transaction() as tx:
        await db.repository(Author).create({"id": 7, "name": "New"}, tx=tx)
        await posts.create({"id": 7, "author_id": 7}, tx=tx)
        row = await posts.get(7, include=["author"], tx=tx)
        assert row.author is not None
        assert row.author.name == "New"
        assert [post.id for post in await posts.find(Post.author.name == "New", tx=tx)] == [7]


# Only some fields.


async def test_chosen_fields_stay_chosen(posts: Repository[Post]) -> None:
    [row] = await posts.find({"id": 1}, fields=["title"], include=["author"])
    assert (row.title, row.author and row.author.name) == ("one", "Ada")
    assert set(row.__dict__) == {"title", "author"}
    assert await posts.find({"id": 1}, fields=["title"], include=["author"]).dicts() == [
        {"title": "one", "author": {"id": 1, "name": "Ada", "age": 36, "company_id": 1}}
    ]


# JSON and dicts.


async def test_json_and_dicts_hold_what_is_loaded(posts: Repository[Post]) -> None:
    query = posts.find({"id": {"$in": [1, 3]}}, sort="id", include=["author.company", "tags"])
    ada = {"id": 1, "name": "Ada", "age": 36, "company_id": 1, "company": {"id": 1, "name": "Farm"}}
    wanted = [
        {
            "id": 1,
            "title": "one",
            "author_id": 1,
            "author": ada,
            "tags": [{"name": t, "rank": n} for n, t in enumerate("ab")],
        },
        {"id": 3, "title": "three", "author_id": None, "author": None, "tags": []},
    ]
    assert await query.dicts() == wanted
    assert json.loads(await query.json()) == wanted


class Loud(Document, table="louds"):
    id: int = Field(primary_key=True)
    of_id: int | None = None
    of = many_to_one("Loud", "of_id")

    @field_serializer("id")
    def shout(self, value: int) -> str:
        return f"{value}!"


async def test_json_goes_through_serializers_of_related_models(url: str) -> None:
    async with opened(url, [Loud]) as db:
        louds = db.repository(Loud)
        await louds.create_many([{"id": 1}, {"id": 2, "of_id": 1}])
        found = json.loads(await louds.find({"id": 2}, include=["of.of"]).json())
        assert found == [{"id": "2!", "of_id": 1, "of": {"id": "1!", "of_id": None, "of": None}}]


async def test_response_models_read_what_is_loaded(posts: Repository[Post]) -> None:
    class AuthorOut(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        name: str | None

    class PostOut(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        title: str
        author: AuthorOut | None = None

    row = await posts.get(1, include=["author"])
    assert PostOut.model_validate(row).model_dump() == {"title": "one", "author": {"name": "Ada"}}
    bare = await posts.get(1)
    assert PostOut.model_validate(bare).model_dump() == {"title": "one", "author": None}


# Instances.


async def test_what_was_not_loaded_says_so(posts: Repository[Post]) -> None:
    row = await posts.get(1)
    with pytest.raises(RelationNotLoadedError, match=r"Post\.author was not loaded: read it with include=\['author'\]"):
        _ = row.author
    assert not hasattr(row, "tags")


async def test_instances_stay_models(posts: Repository[Post]) -> None:
    row, bare = await posts.get(1, include=["author", "tags"]), await posts.get(1)
    assert row == bare
    assert row.model_dump() == bare.model_dump() == {"id": 1, "title": "one", "author_id": 1}
    assert repr(row) == repr(bare)
    for other in (copy.deepcopy(row), row.model_copy(), pickle.loads(pickle.dumps(row))):
        assert other.author is not None
        assert other.author.name == "Ada"
    row.title = "changed"
    await row.save()
    assert (await posts.get(1)).title == "changed"
    assert not hasattr(row, "author"), "what was loaded may not be true any more"


async def test_reads_with_validation_keep_what_is_loaded(url: str, db: Database) -> None:
    async with Database(url, models=MODELS, validate_on_read=True) as strict:
        rows = await strict.repository(Post).find(sort="id", include=["author.company", "tags"])
        assert [row.author and row.author.name for row in rows] == ["Ada", "Bob", None, None, "Ada"]
        assert all(row.author.company and row.author.company.name == "Farm" for row in (rows[0], rows[4]) if row.author)
        assert names(rows[0].tags) == ["a", "b"]


# Conditions.


CONDITIONS: list[tuple[Any, list[int]]] = [
    ({"author.name": "Ada"}, [1, 5]),
    (Post.author.name == "Ada", [1, 5]),
    (Post.author.age >= 30, [1, 5]),
    ({"author.age": {"$gte": 30, "$lt": 36}}, []),
    ({"author.name": {"$ne": "Ada"}}, [2, 3, 4]),
    ({"author.name": {"$nin": ["Ada", "Bob"]}}, [3, 4]),
    ({"author.age": None}, [2, 3, 4]),
    ({"author.age": {"$ne": None}}, [1, 5]),
    ({"author.name": {"$not": {"$regex": "^A"}}}, [2, 3, 4]),
    ({"author.name": {"$regex": "^a", "$options": "i"}}, [1, 5]),
    ({"author": {"$exists": True}}, [1, 2, 5]),
    ({"author": None}, [3, 4]),
    ({"author": {"$ne": None}}, [1, 2, 5]),
    ({"author.company.name": "Farm"}, [1, 5]),
    (Post.author.company.name == "Farm", [1, 5]),
    ({"author.company.name": {"$ne": "Farm"}}, [2, 3, 4]),
    ({"author.company_id": 1}, [1, 5]),
    ({"tags.name": "b"}, [1, 2]),
    ({"tags.name": {"$ne": "b"}}, [3, 4, 5]),
    ({"tags.rank": {"$gt": 0, "$lt": 1}}, [1]),
    ({"tags": {"$elemMatch": {"rank": {"$gt": 0, "$lt": 1}}}}, []),
    ({"tags": {"$elemMatch": {"rank": 1, "name": "b"}}}, [1, 2]),
    ({"tags.name": {"$all": ["a", "b"]}}, [1]),
    ({"tags.name": "gone"}, []),
    ({"tags": {"$exists": False}}, [3, 4]),
    ({"$or": [{"author.name": "Bob"}, {"tags.name": "c"}]}, [2, 5]),
    ({"$nor": [{"author.name": "Ada"}, {"title": "two"}]}, [3, 4]),
    ((Post.author.name == "Ada") & (Post.tags.name == "c"), [5]),
    (~(Post.author.name == "Ada"), [2, 3, 4]),
    ({"author.name": "Ada", "title": "one"}, [1]),
    ({"author.posts.tags.name": "c"}, [1, 5]),
]


@pytest.mark.parametrize(("condition", "wanted"), CONDITIONS, ids=lambda one: str(one)[:60])
async def test_conditions_on_related_rows(posts: Repository[Post], condition: Any, wanted: list[int]) -> None:
    assert [row.id for row in await posts.find(condition, sort="id")] == wanted
    assert await posts.count(condition) == len(wanted)
    assert await posts.exists(condition) == bool(wanted)
    assert [row.id async for row in posts.find(condition, sort="id")] == wanted


async def test_conditions_choose_what_is_written(posts: Repository[Post]) -> None:
    assert await posts.update_many({"author.name": "Ada"}, {"title": "by Ada"}) == 2
    assert await posts.delete_many({"tags.name": "b"}) == 2
    assert [(row.id, row.title) for row in await posts.find(sort="id")] == [(3, "three"), (4, "four"), (5, "by Ada")]


async def test_pages_stay_pages_while_related_rows_change(db: Database, posts: Repository[Post]) -> None:
    first = await posts.page({"author.name": {"$ne": "Zoe"}}, limit=2, sort="id")
    await db.repository(Author).create({"id": 50, "name": "Zoe"})
    second = await posts.page({"author.name": {"$ne": "Zoe"}}, limit=9, sort="id", after=first.next_cursor)
    assert [row.id for row in [*first.items, *second.items]] == [1, 2, 3, 4, 5]


async def test_explain_shows_the_keys(posts: Repository[Post]) -> None:
    plan = await posts.find({"author.name": "Ada"}, include=["author"]).explain()
    assert plan["exact"]


# Refusals.


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda p: p.find(include=["autor"]), UnknownFieldError, 'did you mean "author"'),
        (lambda p: p.find(include=["title"]), UnknownFieldError, "no relation"),
        (lambda p: p.find(include=["author.x"]), UnknownFieldError, "no relation"),
        (lambda p: p.find(include=[7]), InvalidQueryError, "such as"),
        (lambda p: p.find(include=["author" + ".posts.author" * 9]), InvalidQueryError, "up to 8"),
        (lambda p: p.find({"author.nam": 1}), UnknownFieldError, "did you mean"),
        (lambda p: p.find({"author": 1}), InvalidQueryError, "give a path"),
        (lambda p: p.find({"author": {"$elemMatch": {"id": 1}}}), InvalidQueryError, "give a path"),
        (lambda p: p.find({"tags": "a"}), InvalidQueryError, r"\$elemMatch"),
        (lambda p: p.find({"tags.rank": None}), InvalidQueryError, r"\$elemMatch"),
        (lambda p: p.find({"author.name": {"$foo": 1}}), UnknownOperatorError, "foo"),
        (lambda p: p.find({"author.age": {"$gt": "x"}}), InvalidValueError, "int"),
        (lambda p: p.find(sort="author.name"), UnknownFieldError, "author"),
    ],
)
async def test_what_does_not_fit_is_refused(posts: Repository[Post], call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        await call(posts)


async def test_streams_do_not_include(posts: Repository[Post]) -> None:
    with pytest.raises(UnsupportedError, match="stream"):
        await anext(posts.find(include=["author"]).stream())


async def test_too_many_keys_are_refused(url: str, db: Database) -> None:
    async with Database(url, models=MODELS, residual_limit=2) as small:
        found = small.repository(Post)
        assert [row.id for row in await found.find({"author.age": 36})] == [1, 5]
        with pytest.raises(ResidualLimitError, match="more than 2 related rows"):
            await found.find({"author.id": {"$gte": 0}})


def test_relations_are_checked_where_they_are_declared() -> None:
    class Bad(Document):
        id: int = Field(primary_key=True)
        other = many_to_one(Author)

    with pytest.raises(InvalidSchemaError, match=r"Bad\.other_id, which is no field"):
        _ = Database("sqlite::memory:", models=[Bad]).contract

    class Annotated(Document):
        id: int = Field(primary_key=True)
        other: Author | None = many_to_one(Author, "id")  # type: ignore[assignment]

    with pytest.raises(InvalidSchemaError, match="write it without an annotation"):
        _ = Database("sqlite::memory:", models=[Annotated]).contract

    class Lost(Document):
        id: int = Field(primary_key=True)
        other = many_to_one("Nobody", "id")

    with pytest.raises(InvalidSchemaError, match="0 models named 'Nobody'"):
        _ = Database("sqlite::memory:", models=[Lost]).contract


async def test_types_must_agree(url: str) -> None:
    class Wrong(Document, table="wrongs"):
        id: int = Field(primary_key=True)
        tag_id: int = 0
        tag = many_to_one(Tag)

    async with opened(url, [Wrong, Tag]) as db:
        with pytest.raises(InvalidSchemaError, match=r"compares \(wrongs.tag_id\) with \(tags.name\)"):
            await db.repository(Wrong).find(include=["tag"])
