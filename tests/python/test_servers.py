"""What only servers have: schema changes under a connection, documents of other programs, ports where nobody is."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
import servers

from backends import temporary_url
from farm_db import (
    BackendError,
    ConnectionFailedError,
    Database,
    Document,
    FarmDbError,
    Field,
    TransactionConflictError,
)
from support import failure, opened


class Book(Document, table="books"):
    id: int = Field(primary_key=True)
    title: str = Field(max_length=30)
    pages: int | None = None
    price: float = 1.5
    tags: list[str] = []


@pytest.fixture
def postgres(tmp_path: Path) -> Generator[str]:
    with temporary_url("postgres", tmp_path) as url:
        yield url


@pytest.fixture
async def mongodb(mongod_url: str) -> AsyncGenerator[Database]:
    async with opened(mongod_url, [Book]) as database:
        yield database


async def test_prepared_statements_survive_a_change_of_the_table(postgres: str) -> None:
    async with opened(postgres, [Book], max_size=1) as db:
        books = db.repository(Book)
        await books.create({"id": 1, "title": "a"})
        await books.get(1)
        await db.execute("ALTER TABLE books ALTER COLUMN title TYPE varchar(40)")
        assert (await books.get(1)).title == "a"
        await db.execute("ALTER TABLE books ALTER COLUMN title TYPE text")
        with pytest.raises(TransactionConflictError):
            async with db.transaction() as tx:
                await books.get(1, tx=tx)
        async with db.transaction() as tx:
            assert (await books.get(1, tx=tx)).title == "a"


async def test_connections_that_the_server_has_closed_are_replaced(postgres: str) -> None:
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'doomed'"
    async with (
        opened(postgres, [Book], application_name="doomed", max_size=4) as db,
        opened(postgres, [], contract="off", application_name="killer") as killer,
    ):
        books = db.repository(Book)
        await books.create({"id": 1, "title": "a"})
        await asyncio.gather(*(books.get(1) for _ in range(20)))
        for _ in range(2):
            await killer.execute(end)
            found = await asyncio.gather(*(books.get(1) for _ in range(20)))
            assert {book.title for book in found} == {"a"}
        await killer.execute(end)
        async with db.transaction() as tx:
            await books.update(1, {"title": "b"}, tx=tx)
        assert (await books.get(1)).title == "b"
        async with db.transaction() as tx:
            await books.update(1, {"title": "c"}, tx=tx)
            await killer.execute(end)
            error = await failure(books.get(1, tx=tx))
            assert isinstance(error, FarmDbError)
            await tx.rollback()
        assert (await books.get(1)).title == "b"


async def test_a_snapshot_that_lost_says_so_and_may_run_again(postgres: str) -> None:
    async with opened(postgres, [Book]) as db:
        books = db.repository(Book)
        await books.create({"id": 1, "title": "a", "pages": 0})

        async def read_and_write() -> None:
            async with db.transaction(isolation="repeatable_read") as tx:
                book = await books.get(1, tx=tx)
                await asyncio.sleep(0.05)
                await books.update(1, {"pages": book.pages + 1}, tx=tx)

        outcomes = await asyncio.gather(*(read_and_write() for _ in range(2)), return_exceptions=True)
        assert sorted(type(outcome) for outcome in outcomes if outcome) == [TransactionConflictError]
        assert (await books.get(1)).pages == 1


async def test_the_order_of_text_is_that_of_code_points_whatever_the_database_thinks(postgres: str) -> None:
    titles = ["b", "B", "a", "ä", "Z", "z", "", "10", "9", "é", "E"]
    async with opened(postgres, [Book]) as db:
        (default,) = await db.execute("SELECT array_agg(x ORDER BY x) AS sorted FROM unnest($1::text[]) AS x", [titles])
        assert default["sorted"] != sorted(titles), "this test needs a server whose own order is another one"
        books = db.repository(Book)
        await books.create_many([{"id": n, "title": title} for n, title in enumerate(titles)])
        assert [book.title for book in await books.find(sort="title")] == sorted(titles)
        assert await books.count({"title": {"$gt": "Z"}}) == sum(title > "Z" for title in titles)


async def test_documents_of_other_programs_are_read(mongodb: Database) -> None:
    books = mongodb.repository(Book)
    await mongodb.execute({"collMod": "books", "validator": {}})
    documents = [
        {"_id": 1, "title": "all", "pages": 3.0, "price": 2, "tags": ["x"], "shelf": "left"},
        {"_id": 2, "title": "few"},
        {"_id": 3, "pages": 1},
    ]
    await mongodb.execute({"insert": "books", "documents": documents})
    whole = await books.get(1)
    assert (whole.pages, whole.price, whole.tags) == (3, 2.0, ["x"])
    few = await books.get(2)
    assert (few.pages, few.price, few.tags) == (None, 1.5, [])
    await books.update(1, {"title": "new"})
    (kept,) = await mongodb.execute({"find": "books", "filter": {"_id": 1}})
    assert kept["shelf"] == "left"
    error = await failure(books.get(3))
    assert isinstance(error, BackendError)
    assert (error.context["field"], error.context["entity"]) == ("title", "books")


async def test_other_programs_must_keep_to_the_types(mongodb: Database) -> None:
    answer = await mongodb.execute({"insert": "books", "documents": [{"_id": 1, "title": 5, "price": 1.0, "tags": []}]})
    assert "writeErrors" in answer
    assert await mongodb.repository(Book).count() == 0


async def test_workers_that_start_at_the_same_time_make_one_schema(postgres: str) -> None:
    for number in range(40):
        workers = [Database(f"{postgres}_{number}", models=[Book]) for _ in range(12)]
        try:
            await asyncio.gather(*(worker.connect() for worker in workers))
            assert await workers[0].repository(Book).count() == 0
        finally:
            await workers[0].execute(f"DROP SCHEMA IF EXISTS {postgres.rpartition('=')[2]}_{number} CASCADE")
            await asyncio.gather(*(worker.close() for worker in workers))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mongodb"])
async def test_a_refused_port_is_told_at_once_without_the_password(scheme: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database: Any = Database(f"{scheme}://user:canary@127.0.0.1:{port}/app", models=[Book])
    began = time.monotonic()
    error = await failure(database.connect())
    assert time.monotonic() - began < 1
    assert isinstance(error, ConnectionFailedError)
    assert str(port) in str(error)
    assert "canary" not in f"{error} {error!r} {error.context}"


def test_servers_listen_where_no_outgoing_connection_can_be() -> None:
    """A port out of the system's own range may belong to another's connection before its server binds it."""
    first, last = (int(word) for word in servers.EPHEMERAL.read_text().split())
    assert not [port for port in (servers.free_port() for _ in range(1000)) if first <= port <= last]
