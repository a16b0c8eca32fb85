"""The verbs of a repository that create, read and delete, on real SQLite files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import BaseModel, field_validator

from farm_db import (
    Database,
    DatabaseClosedError,
    Document,
    Field,
    InvalidQueryError,
    InvalidSchemaError,
    InvalidValueError,
    NotFoundError,
    ObjectId,
    Repository,
    UniqueViolationError,
    UnknownFieldError,
    connect,
)
from support import MODELS, Address, Counter, Resource, Seat, User, opened

pytestmark = pytest.mark.every_backend


class Generated(Document, table="generated"):
    """A key that the core makes."""

    id: UUID | None = Field(default=None, primary_key=True)
    name: str = "x"


class Owned(Document, table="owned"):
    id: ObjectId | None = Field(default=None, primary_key=True)
    name: str = "x"


class Picky(Document, table="picky"):
    id: int = Field(primary_key=True)
    even: int = 0

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


class Renamed(Document, table="renamed"):
    """Attributes whose columns have other names."""

    key: int = Field(primary_key=True, column="_id")
    display_name: str = Field(column="displayName", alias="displayName")


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [*MODELS, Generated, Owned, Picky, Renamed]) as database:
        yield database


@pytest.fixture
def resources(db: Database) -> Repository[Resource]:
    return db.repository(Resource)


async def test_create_returns_the_row_that_get_returns(resources: Repository[Resource]) -> None:
    data = {
        "id": "a",
        "name": "Ä",
        "rating": 4.5,
        "tags": ["x", "y"],
        "address": {"city": "Bonn", "numbers": [1, 2]},
        "attributes": {"deep": {"er": [None, 1.5, True]}},
        "made_at": datetime(2024, 2, 29, 12, 0, 0, 1000, tzinfo=timezone.utc),
    }
    created = await resources.create(data)
    assert created == Resource(**data)
    assert await resources.get("a") == created
    assert isinstance((await resources.get("a")).address, Address)


async def test_create_takes_an_instance_a_schema_or_a_dict(resources: Repository[Resource]) -> None:
    class NewResource(BaseModel):
        id: str
        name: str
        rating: float | None = 1.0

    one = await resources.create(Resource(id="a", name="n"))
    two = await resources.create(NewResource(id="b", name="n"))
    three = await resources.create({"id": "c", "name": "n"})
    assert [one.rating, two.rating, three.rating] == [None, None, None]  # what a schema leaves unset is the model's
    assert await resources.count() == 3


async def test_create_does_not_change_what_the_caller_gave(resources: Repository[Resource]) -> None:
    data = {"id": "a", "name": "n", "tags": ["x"]}
    instance = Resource(id="b", name="n")
    await resources.create(data)
    await resources.create(instance)
    assert data == {"id": "a", "name": "n", "tags": ["x"]}
    assert instance == Resource(id="b", name="n")


async def test_create_runs_the_validators_of_the_model(db: Database) -> None:
    with pytest.raises(InvalidValueError) as caught:
        await db.repository(Picky).create({"id": 1, "even": 3})
    assert caught.value.context["path"] == "even"
    assert "must be even" in str(caught.value)
    assert await db.repository(Picky).count() == 0


async def test_create_refuses_what_the_contract_forbids_in_an_unvalidated_instance(
    resources: Repository[Resource],
) -> None:
    with pytest.raises(InvalidValueError, match="rating"):
        await resources.create(Resource.model_construct(id="a", name="n", rating=9.0, tags=[], attributes={}, stock=0))
    with pytest.raises(InvalidValueError, match="name"):
        await resources.create(Resource.model_construct(id="a", name="n" * 101, tags=[], attributes={}, stock=0))
    assert await resources.count() == 0


async def test_an_auto_increment_key_counts_up_and_is_never_given_again(db: Database) -> None:
    counters = db.repository(Counter)
    first = await counters.create(Counter())
    second = await counters.create({"value": 2})
    assert first.id == 1
    assert second.id == 2
    await counters.delete(2)
    assert (await counters.create({})).id == 3
    assert [row.id for row in await counters.create_many([{}, {}])] == [4, 5]


async def test_a_given_auto_increment_key_is_kept(db: Database) -> None:
    counters = db.repository(Counter)
    assert (await counters.create({"id": 40})).id == 40
    assert (await counters.create({})).id == 41


async def test_keys_without_a_default_are_made_by_the_core(db: Database) -> None:
    for model, kind in ((Generated, UUID), (Owned, ObjectId)):
        rows = [await db.repository(model).create({}), *await db.repository(model).create_many([model(), {}])]
        assert all(type(row.id) is kind for row in rows)
        assert len({row.id for row in rows}) == 3


async def test_create_many_keeps_the_order(resources: Repository[Resource]) -> None:
    rows = await resources.create_many([{"id": str(n), "name": "n", "stock": n} for n in (3, 1, 2)])
    assert [row.id for row in rows] == ["3", "1", "2"]
    assert await resources.create_many([]) == []


async def test_create_many_takes_thousands_of_rows_at_once(db: Database) -> None:
    seats = db.repository(Seat)
    rows = await seats.create_many(Seat(row=n // 100, place=str(n % 100)) for n in range(5000))
    assert len(rows) == 5000
    assert await seats.count() == 5000


async def test_create_many_is_all_or_nothing(db: Database) -> None:
    users = db.repository(User)
    await users.create({"id": 5, "email": "taken"})
    with pytest.raises(UniqueViolationError) as caught:
        await users.create_many([{"id": 10 + n, "email": "taken" if n == 6 else str(n)} for n in range(10)])
    assert caught.value.context["fields"] == ["email"]
    assert await users.count() == 1


async def test_get_raises_not_found_and_get_or_none_gives_none(resources: Repository[Resource]) -> None:
    with pytest.raises(NotFoundError) as caught:
        await resources.get("nobody")
    assert caught.value.context["entity"] == "resources"
    assert caught.value.context["key"] == "nobody"
    assert await resources.get_or_none("nobody") is None


async def test_get_many_keeps_the_order_of_the_ids_and_leaves_out_missing_ones(
    resources: Repository[Resource],
) -> None:
    await resources.create_many([{"id": key, "name": key} for key in "abcde"])
    rows = await resources.get_many(["d", "nobody", "a", "c"])
    assert [row.id for row in rows] == ["d", "a", "c"]
    assert await resources.get_many([]) == []


async def test_get_many_takes_more_ids_than_a_statement_has_parameters(db: Database) -> None:
    counters = db.repository(Counter)
    await counters.create_many([{"value": n} for n in range(2000)])
    rows = await counters.get_many(range(10_000, 0, -1))
    assert [row.id for row in rows] == list(range(2000, 0, -1))
    with pytest.raises(InvalidQueryError, match="10000"):
        await counters.get_many(range(10_001))


async def test_get_of_a_key_of_the_wrong_type_is_refused(db: Database) -> None:
    with pytest.raises(InvalidValueError):
        await db.repository(User).get("one")
    with pytest.raises(InvalidValueError):
        await db.repository(Owned).get("no object id")


async def test_an_object_id_key_may_be_given_as_text(db: Database) -> None:
    row = await db.repository(Owned).create({"id": ObjectId()})
    assert await db.repository(Owned).get(str(row.id)) == row


async def test_a_composite_key_is_a_dict_of_its_fields(db: Database) -> None:
    seats = db.repository(Seat)
    await seats.create_many([Seat(row=1, place="a", guest="Ann"), Seat(row=1, place="b"), Seat(row=2, place="a")])
    assert (await seats.get({"row": 1, "place": "a"})).guest == "Ann"
    assert (await seats.update({"place": "b", "row": 1}, {"guest": "Bob"})).guest == "Bob"
    assert [seat.guest for seat in await seats.get_many([{"row": 1, "place": "b"}, {"row": 9, "place": "b"}])] == [
        "Bob"
    ]
    await seats.delete({"row": 2, "place": "a"})
    assert await seats.count() == 2
    with pytest.raises(UniqueViolationError):
        await seats.create(Seat(row=1, place="a"))
    with pytest.raises(InvalidQueryError):
        await seats.get(1)
    with pytest.raises((InvalidQueryError, InvalidValueError)):
        await seats.get({"row": 1})
    with pytest.raises((InvalidQueryError, UnknownFieldError)):
        await seats.get({"row": 1, "place": "a", "colour": "red"})


async def test_column_names_are_used_in_the_table_and_attributes_in_python(db: Database) -> None:
    renamed = db.repository(Renamed)
    row = await renamed.create({"key": 1, "displayName": "Ann"})
    assert row.display_name == "Ann"
    assert await renamed.find_one(Renamed.display_name == "Ann") == row
    assert await renamed.find_one({"display_name": "Ann"}) == row
    assert await renamed.distinct("display_name") == ["Ann"]
    assert (await renamed.update(1, {"display_name": "Bob"})).display_name == "Bob"
    if db.backend == "mongodb":
        stored = await db.execute({"find": "renamed"})
    else:
        names = "`_id`, `displayName`" if db.backend == "mysql" else '"_id", "displayName"'
        stored = await db.execute(f"SELECT {names} FROM renamed")
    assert stored == [{"_id": 1, "displayName": "Bob"}]


async def test_delete_removes_one_row_and_knows_when_there_is_none(resources: Repository[Resource]) -> None:
    await resources.create_many([{"id": key, "name": key} for key in "ab"])
    assert await resources.delete("a") is None
    assert await resources.get_or_none("a") is None
    assert await resources.count() == 1
    with pytest.raises(NotFoundError):
        await resources.delete("a")


async def test_delete_many_counts_and_honours_the_filter(resources: Repository[Resource]) -> None:
    await resources.create_many([{"id": str(n), "name": "n", "stock": n} for n in range(10)])
    assert await resources.delete_many(Resource.stock >= 7) == 3
    assert await resources.delete_many({"stock": {"$lt": 0}}) == 0
    assert await resources.delete_many([Resource.stock > 1, {"stock": {"$lt": 4}}]) == 2
    assert sorted(row.stock for row in await resources.find()) == [0, 1, 4, 5, 6]


async def test_a_second_table_of_the_same_model_is_separate(url: str) -> None:
    database = Database(url, models=[User])
    archive = database.repository(User, name="old_users")
    async with database:
        await archive.create({"id": 1, "email": "e"})
        assert await database.repository(User).count() == 0
        assert await archive.count() == 1
        assert await User.count() == 0


async def test_two_models_cannot_share_a_table(url: str) -> None:
    class Other(Document, table="users"):
        id: int = Field(primary_key=True)

    with pytest.raises(InvalidSchemaError) as caught:
        Database(url, models=[User, Other])
    assert caught.value.context["entity"] == "users"


async def test_a_model_may_come_after_connect_and_gets_its_table_by_ensure_schema(db: Database) -> None:
    class Late(Document, table="late"):
        id: int = Field(primary_key=True)

    class Wrong(Document, table="wrong"):
        name: str

    before = db.contract_hash
    with pytest.raises(InvalidSchemaError, match="Wrong"):
        db.repository(Wrong)
    late = db.repository(Late)
    assert await db.ensure_schema() == ["collection late" if db.backend == "mongodb" else "table late"]
    await late.create({"id": 1})
    assert [row.id for row in await Late.find()] == [1]
    assert db.contract_hash != before
    assert '"late"' in db.contract


async def test_connect_opens_and_rows_outlive_the_connection(url: str) -> None:
    database = await connect(url, models=[User])
    await database.repository(User).create({"id": 1, "email": "e"})
    await database.close()
    async with Database(url, models=[User]) as again:
        assert (await again.repository(User).get(1)).email == "e"


async def test_connect_and_close_may_be_called_twice(url: str) -> None:
    database = Database(url, models=[User])
    await database.connect()
    await database.connect()
    await database.repository(User).create({"id": 1, "email": "e"})
    await database.close()
    await database.close()
    assert not database.connected
    await database.connect()
    assert await database.repository(User).count() == 1
    await database.close()


@pytest.mark.only("sqlite")
async def test_close_leaves_no_file_open(url: str, tmp_path: Path) -> None:
    def open_files() -> list[str]:
        return [link for fd in os.listdir("/proc/self/fd") if (link := _target(fd)).startswith(str(tmp_path))]

    async with opened(url, [User]) as database:
        await asyncio.gather(*(database.repository(User).count() for _ in range(20)))
        assert open_files()
    assert open_files() == []


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


async def test_a_repository_made_before_connect_works_after_it(url: str) -> None:
    database = Database(url)
    users = database.repository(User)
    with pytest.raises(DatabaseClosedError, match="User"):
        await users.count()
    async with database:
        assert await users.count() == 0
    with pytest.raises(DatabaseClosedError):
        await users.count()


async def test_memory_databases_live_as_long_as_they_are_open() -> None:
    for memory in ("sqlite::memory:", "sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite:///:memory:"):
        async with opened(memory, [User]) as database:
            users = database.repository(User)
            await users.create_many([{"id": n, "email": str(n)} for n in range(20)])
            assert await users.count() == 20
            assert len(await users.find(User.id < 10)) == 10
        async with opened(memory, [User]) as database:
            assert await database.repository(User).count() == 0


@pytest.mark.only("sqlite")
async def test_native_sql_takes_parameters_and_a_transaction(db: Database) -> None:
    insert = "INSERT INTO users (id, email, name) VALUES (?, ?, ?)"
    assert await db.execute(insert, [1, "a", "x"]) == {"affected": 1}
    async with db.transaction() as tx:
        await db.execute(insert, [2, "b'; DROP TABLE users; --", "y"], tx=tx)
        assert len(await db.execute("SELECT * FROM users", tx=tx)) == 2
        await tx.rollback()
    named = await db.execute("SELECT name FROM users WHERE id = :id", {"id": 1})
    assert named == [{"name": "x"}]
    assert await db.repository(User).count() == 1


async def test_health_and_statistics_tell_what_is_there(db: Database) -> None:
    await db.repository(User).create({"id": 1, "email": "e"})
    health = await db.health_check()
    assert health["connected"] is True
    assert health["status"] == "healthy"
    assert health["backend"] == db.backend
    assert health["checks"][0]["latency_ms"] >= 0
    stats = await db.get_stats()
    assert stats["entities"]["users"] == 1
    assert stats["database"]["size"] > 0
    pool = db.pool_stats()
    assert pool["in_use"] == pool["waiting"] == 0
    assert pool["size"] <= pool["max_size"]


async def test_a_closed_database_says_so_in_its_health_without_raising(url: str) -> None:
    database = Database(url, models=[User], name="main")
    assert await database.health_check() == {"name": "main", "status": "closed", "connected": False}
