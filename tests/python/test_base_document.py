"""`BaseDocument`, its mixins one by one, and models as active records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from farm_db import (
    ALL,
    AuditMixin,
    Database,
    DatabaseClosedError,
    Document,
    Field,
    MetadataMixin,
    NotFoundError,
    ObjectId,
    Repository,
    SearchableMixin,
    SoftDeleteMixin,
    TimestampMixin,
    UniqueViolationError,
    VersionConflictError,
    reset_current_user,
    set_current_user,
)
from samples import as_held
from support import Article, User, failure, opened

pytestmark = pytest.mark.every_backend


class Timed(Document, TimestampMixin, table="timed"):
    id: int = Field(primary_key=True)
    name: str = ""


class Soft(Document, SoftDeleteMixin, table="soft"):
    id: int = Field(primary_key=True)
    code: str | None = Field(default=None, unique=True)


class Audited(Document, AuditMixin, table="audited"):
    id: int = Field(primary_key=True)
    name: str = ""


class Described(Document, MetadataMixin, SearchableMixin, table="described"):
    id: int = Field(primary_key=True)
    title: str = ""


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Article, Timed, Soft, Audited, Described, User]) as database:
        yield database


@pytest.fixture
async def articles(db: Database) -> Repository[Article]:
    return db.repository(Article)


async def make(count: int) -> list[Article]:
    return [await Article.create({"slug": f"s{n}", "title": f"t{n}", "views": n}) for n in range(count)]


# Timestamps.


async def test_created_at_and_updated_at_are_now_in_utc(db: Database) -> None:
    before = as_held(db.capabilities, datetime.now(timezone.utc))
    row = await db.repository(Timed).create({"id": 1})
    after = datetime.now(timezone.utc)
    assert before <= row.created_at <= row.updated_at <= after
    assert row.created_at.utcoffset() == timedelta(0)


async def test_a_given_created_at_is_kept(db: Database) -> None:
    moment = datetime(2001, 2, 3, tzinfo=timezone.utc)
    assert (await db.repository(Timed).create({"id": 1, "created_at": moment})).created_at == moment


async def test_every_write_moves_updated_at_and_never_created_at(db: Database) -> None:
    timed = db.repository(Timed)
    rows = await timed.create_many([{"id": n} for n in range(8)])
    await asyncio.sleep(0.002)
    barrier = as_held(db.capabilities, datetime.now(timezone.utc))
    await timed.update(0, {"name": "a"})
    await timed.update_one({"id": 1}, {"name": "a"})
    await timed.update_many({"id": {"$in": [2, 3]}}, {"$set": {"name": "a"}})
    await timed.find_one_and_update({"id": 4}, {"name": "a"})
    await timed.replace(5, {"id": 5, "name": "a"})
    await timed.upsert({"id": 6, "name": "a"})
    for row in await timed.find(sort="id"):
        if row.id == 7:
            assert row.updated_at == rows[7].updated_at
        else:
            assert row.updated_at >= barrier, row.id
            assert row.name == "a"
        assert row.created_at == rows[row.id].created_at, row.id


# Soft delete.


async def test_a_soft_deleted_row_is_invisible_to_every_verb(db: Database) -> None:
    soft = db.repository(Soft)
    await soft.create_many([{"id": n, "code": str(n)} for n in range(4)])
    await soft.delete(1)
    assert [row.id for row in await soft.find(sort="id")] == [0, 2, 3]
    assert await soft.count() == 3
    assert not await soft.exists({"id": 1})
    assert await soft.find_one({"id": 1}) is None
    assert await soft.get_or_none(1) is None
    assert [row.id for row in await soft.get_many([0, 1, 2])] == [0, 2]
    assert await soft.distinct("code") == ["0", "2", "3"]
    assert [row.id for row in (await soft.page(sort="id")).items] == [0, 2, 3]
    assert [row.id async for row in soft.find(sort="id")] == [0, 2, 3]
    assert b'"id":1' not in await soft.find().json()
    assert await soft.update_many({"id": {"$gte": 0}}, {"code": None}) == 3
    assert await soft.update_one({"id": 1}, {"code": "x"}) == 0
    assert await soft.find_one_and_update({"id": 1}, {"code": "x"}) is None
    assert await soft.delete_many({"id": 1}) == 0
    for work in (soft.get(1), soft.update(1, {"code": "x"}), soft.delete(1), soft.replace(1, {"id": 1})):
        assert isinstance(await failure(work), NotFoundError)
    assert len(await soft.find().include_deleted()) == 4


async def test_a_soft_deleted_row_keeps_its_moment_and_flag(db: Database) -> None:
    soft = db.repository(Soft)
    await soft.create({"id": 1})
    before = datetime.now(timezone.utc)
    await soft.delete(1)
    row = await soft.find({"id": 1}).include_deleted().first()
    assert row.is_deleted is True
    assert before - timedelta(milliseconds=1) <= row.deleted_at <= datetime.now(timezone.utc)


async def test_the_unique_value_of_a_deleted_row_is_free_again(db: Database) -> None:
    soft = db.repository(Soft)
    await soft.create({"id": 1, "code": "a"})
    with pytest.raises(UniqueViolationError):
        await soft.create({"id": 2, "code": "a"})
    await soft.delete(1)
    await soft.create({"id": 2, "code": "a"})
    with pytest.raises(UniqueViolationError):
        await soft.restore(1)
    await soft.delete(2)
    assert (await soft.restore(1)).is_deleted is False
    assert await soft.count() == 1


async def test_hard_deletes_remove_the_row(db: Database) -> None:
    soft = db.repository(Soft)
    await soft.create_many([{"id": n} for n in range(5)])
    await soft.delete(1, hard=True)
    assert await soft.delete_many({"id": {"$gte": 3}}, hard=True) == 2
    assert await soft.delete_many(ALL) == 2
    assert await soft.count() == 0
    assert await soft.find().include_deleted().count() == 2


async def test_restore_of_a_row_that_is_not_there_is_not_found(db: Database) -> None:
    assert isinstance(await failure(db.repository(Soft).restore(9)), NotFoundError)


# Versions and users.


async def test_the_version_counts_every_write(db: Database) -> None:
    audited = db.repository(Audited)
    assert (await audited.create({"id": 1})).version == 1
    assert (await audited.update(1, {"name": "a"})).version == 2
    await audited.update_many(ALL, {"name": "b"})
    await audited.update_one({"id": 1}, {"name": "c"})
    assert (await audited.replace(1, {"id": 1})).version == 5
    assert (await audited.upsert({"id": 1})).version == 6
    assert (await audited.find_one_and_update({"id": 1}, {"name": "d"})).version == 7


async def test_an_update_of_an_old_version_is_refused_and_changes_nothing(db: Database) -> None:
    audited = db.repository(Audited)
    await audited.create({"id": 1})
    assert (await audited.update(1, {"name": "a"}, expected_version=1)).version == 2
    for work in (
        audited.update(1, {"name": "b"}, expected_version=1),
        audited.replace(1, {"id": 1, "name": "b"}, expected_version=3),
    ):
        error = await failure(work)
        assert isinstance(error, VersionConflictError)
        assert error.code == "version_conflict"
        assert error.http_status == 409
    assert (await audited.get(1)).name == "a"
    assert isinstance(await failure(audited.update(9, {"name": "b"}, expected_version=1)), NotFoundError)


async def test_of_many_writers_of_one_version_exactly_one_wins(db: Database) -> None:
    audited = db.repository(Audited)
    await audited.create({"id": 1})
    outcomes = await asyncio.gather(
        *(audited.update(1, {"name": str(n)}, expected_version=1) for n in range(30)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Audited) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, VersionConflictError) for outcome in outcomes) == 29


async def test_the_current_user_is_noted_per_task(db: Database) -> None:
    audited = db.repository(Audited)

    async def act(number: int) -> None:
        token = set_current_user(f"user{number}")
        await audited.create({"id": number})
        await asyncio.sleep(0)
        await audited.update(number, {"name": "n"})
        reset_current_user(token)

    await asyncio.gather(*(act(number) for number in range(10)))
    for row in await audited.find():
        assert row.created_by == row.updated_by == f"user{row.id}"
    set_token = set_current_user("admin")
    await audited.update_many({"id": 3}, {"name": "m"})
    reset_current_user(set_token)
    row = await audited.get(3)
    assert (row.created_by, row.updated_by) == ("user3", "admin")


# BaseDocument.


async def test_a_base_document_has_the_fields_of_all_mixins(articles: Repository[Article]) -> None:
    row = await articles.create({"slug": "a"})
    assert isinstance(row.id, ObjectId)
    assert (row.version, row.is_deleted, row.tags, row.metadata) == (1, False, [], {})
    row.add_tag("x")
    row.add_tag("x")
    row.add_tag("y")
    row.remove_tag("y")
    row.set_metadata("colour", "red")
    await row.save()
    stored = await Article.get(row.id)
    assert stored.tags == ["x"]
    assert stored.get_metadata("colour") == "red"
    assert stored.get_metadata("none", 5) == 5
    assert stored.version == row.version == 2


async def test_find_active_and_its_like_leave_deleted_rows_out(db: Database) -> None:
    rows = await make(4)
    await rows[1].delete()
    assert [row.slug for row in await Article.find_active(sort="slug")] == ["s0", "s2", "s3"]
    assert [row.slug for row in await Article.find_active(Article.views >= 2, sort="-slug", limit=1)] == ["s3"]
    assert await Article.count_active() == 3
    assert await Article.count_active({"views": {"$lt": 2}}) == 1
    assert await Article.find_by_id_active(rows[0].id) == rows[0]
    assert await Article.find_by_id_active(str(rows[0].id)) == rows[0]
    assert await Article.find_by_id_active(rows[1].id) is None
    assert await Article.find_by_id_active("no id") is None


async def test_soft_delete_and_restore_on_an_instance_are_written_by_save(db: Database) -> None:
    (row,) = await make(1)
    row.soft_delete()
    assert await Article.count() == 1
    await row.save()
    assert await Article.count() == 0
    row.restore()
    await row.save()
    assert await Article.count() == 1
    assert (await Article.get(row.id)).is_deleted is False


async def test_to_dict_is_free_of_object_ids_and_of_none_unless_asked(db: Database) -> None:
    (row,) = await make(1)
    data = row.to_dict()
    assert data["id"] == str(row.id)
    assert "deleted_at" not in data
    assert row.to_dict(exclude_none=False)["deleted_at"] is None


@pytest.mark.only("sqlite")
async def test_the_documents_tell_their_table_and_indexes(db: Database) -> None:
    assert Article.get_collection_name() == "articles"
    assert "created_at" in Article.get_indexes()
    names = {row["name"] for row in await db.execute("SELECT name FROM sqlite_schema WHERE tbl_name = 'articles'")}
    assert {"ux_articles_slug", "ix_articles_created_at"} <= names


# Active record.


async def test_insert_takes_over_what_was_stored(db: Database) -> None:
    row = Article(slug="a")
    assert await row.insert() is row
    assert row.version == 1
    assert await Article.get(row.id) == row
    with pytest.raises(UniqueViolationError):
        await Article(slug="a").insert()


async def test_save_inserts_a_new_document_and_updates_a_stored_one(db: Database) -> None:
    row = Article(slug="a")
    await row.save()
    row.title = "changed"
    await row.save()
    assert await Article.count() == 1
    assert (await Article.find_one(Article.slug == "a")).title == "changed"
    user = User(id=1, email="e")
    await user.save()
    user.name = "n"
    await user.save()
    assert [(one.id, one.name) for one in await User.find()] == [(1, "n")]


async def test_save_over_a_newer_version_is_a_conflict(db: Database) -> None:
    (row,) = await make(1)
    mine, theirs = await Article.get(row.id), await Article.get(row.id)
    theirs.title = "theirs"
    await theirs.save()
    mine.title = "mine"
    with pytest.raises(VersionConflictError):
        await mine.save()
    assert (await Article.get(row.id)).title == "theirs"
    await mine.refresh()
    assert mine == theirs
    mine.title = "mine"
    await mine.save()
    assert (await Article.get(row.id)).title == "mine"


async def test_update_and_refresh_change_the_instance_in_place(db: Database) -> None:
    (row,) = await make(1)
    other = await Article.get(row.id)
    assert await row.update({"$inc": {"views": 5}}) is row
    assert (row.views, row.version) == (5, 2)
    with pytest.raises(VersionConflictError):
        await other.update({"title": "x"})
    assert await other.refresh() is other
    assert other == row


async def test_delete_of_an_instance_marks_it_unless_hard(db: Database) -> None:
    rows = await make(2)
    await rows[0].delete()
    await rows[1].delete(hard=True)
    assert [row.slug for row in await Article.find().include_deleted()] == ["s0"]
    for row in rows:
        with pytest.raises(NotFoundError):
            await row.delete()
    with pytest.raises(NotFoundError):
        await rows[1].refresh()


async def test_active_record_verbs_take_a_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        row = await Article(slug="a").insert(tx=tx)
        await row.update({"title": "x"}, tx=tx)
        row.views = 3
        await row.save(tx=tx)
        assert (await Article.get(row.id, tx=tx)).views == 3
        assert await Article.count(tx=tx) == 1
        await row.delete(tx=tx)
        assert await Article.find(tx=tx) == []
        await tx.rollback()
    assert await Article.find().include_deleted() == []


async def test_a_model_without_an_open_database_says_so(url: str) -> None:
    class Lonely(Document):
        id: int = Field(primary_key=True)

    def awaited(work: Any) -> Any:
        return work

    with pytest.raises(DatabaseClosedError, match="Lonely"):
        await Lonely.find_one()
    with pytest.raises(DatabaseClosedError, match="Lonely"):
        awaited(Lonely.find())
    async with opened(url, [Lonely]):
        await Lonely(id=1).insert()
    with pytest.raises(DatabaseClosedError):
        await Lonely(id=2).insert()


async def test_search_text_is_made_from_fields_and_stored(db: Database) -> None:
    row = Described(id=1, title="Big Apple", tags=["Fruit"], metadata={"colour": "Red"})
    row.update_search_vector(["title", "tags", "metadata.colour", "nothing"])
    await row.insert()
    assert (await Described.get(1)).search_vector == "big apple fruit red"
