"""What MySQL and MariaDB have of their own: packets, definitions that commit, locked rows, killed connections."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from backends import temporary_url
from farm_db import (
    Database,
    Document,
    FarmDbError,
    Field,
    Index,
    InvalidQueryError,
    InvalidValueError,
    TransactionConflictError,
    TransactionStateError,
    UniqueViolationError,
)
from support import failure, opened


class Book(Document, table="books"):
    id: int | None = Field(default=None, primary_key=True, generated="auto_increment")
    title: str
    shelf: str | None = None
    pages: int = 0

    class Settings:
        indexes = [Index("shelf", unique=True, where={"pages": {"$gt": 0}})]


class Event(Document, table="events"):
    id: int = Field(primary_key=True)
    rank: int
    text: str

    class Settings:
        indexes = [Index("rank")]


@pytest.fixture
def url(tmp_path: Path) -> Generator[str]:
    with temporary_url("mysql", tmp_path) as place:
        yield place


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Book], max_size=4) as database:
        yield database


async def test_connections_that_the_server_has_closed_are_replaced(db: Database, url: str) -> None:
    books = db.repository(Book)
    book = await books.create({"title": "a"})
    async with opened(url, [], contract="off") as killer:

        async def end() -> None:
            mine = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            for row in await killer.execute(mine):
                await killer.execute(f"KILL {row['id']}")

        await asyncio.gather(*(books.get(book.id) for _ in range(20)))
        for _ in range(2):
            await end()
            found = await asyncio.gather(*(books.get(book.id) for _ in range(20)))
            assert {one.title for one in found} == {"a"}
        await end()
        async with db.transaction() as tx:
            await books.update(book.id, {"title": "b"}, tx=tx)
        async with db.transaction() as tx:
            await books.update(book.id, {"title": "c"}, tx=tx)
            await end()
            assert isinstance(await failure(books.get(book.id, tx=tx)), FarmDbError)
            await tx.rollback()
        assert (await books.get(book.id)).title == "b"


async def test_a_statement_that_nobody_waits_for_is_stopped_on_the_server(db: Database) -> None:
    marker = "SELECT /* left alone */ count(*) FROM " + ", ".join(
        f"information_schema.collations c{n}" for n in range(4)
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(db.execute(marker), 0.2)

    look = "SELECT info FROM information_schema.processlist WHERE info LIKE ? AND id <> CONNECTION_ID()"
    for _ in range(100):
        if not await db.execute(look, ["%left alone%"]):
            break
        await asyncio.sleep(0.02)
    assert await db.execute(look, ["%left alone%"]) == []
    assert await db.repository(Book).count() == 0


@pytest.mark.slow
async def test_a_stream_that_is_left_gives_its_connection_back(url: str) -> None:
    async with opened(url, [Book], max_size=1) as db:
        books = db.repository(Book)
        await books.create_many([{"title": f"{n}" * 200} for n in range(20_000)])
        stream = books.find(sort="id").stream(batch=10)
        assert (await anext(stream)).title == "0" * 200
        await stream.aclose()
        assert await books.count() == 20_000
        async with db.transaction() as tx:
            await books.update_many({"id": {"$gt": 0}}, {"pages": 1}, tx=tx)
            stream = books.find(tx=tx).stream(batch=10)
            assert (await anext(stream)).pages == 1
            await stream.aclose()
            assert await books.count({"pages": 1}, tx=tx) == 20_000
            await tx.rollback()
        assert await books.count({"pages": 1}) == 0


@pytest.mark.slow
async def test_many_rows_are_inserted_all_or_none(db: Database) -> None:
    books = db.repository(Book)
    rows: list[dict[str, Any]] = [{"title": "x" * 300} for _ in range(9_000)]
    made = await books.create_many(rows)
    assert [book.id for book in made] == list(range(made[0].id, made[0].id + len(rows)))
    clash = [*rows, {"id": made[5].id, "title": "again"}]
    error = await failure(books.create_many(clash))
    assert isinstance(error, UniqueViolationError)
    assert error.context["fields"] == ["id"]
    async with db.transaction() as tx:
        await books.create({"title": "kept"}, tx=tx)
        assert isinstance(await failure(books.create_many(clash, tx=tx)), UniqueViolationError)
    assert await books.count() == 9_001
    mixed = await books.create_many([{"title": "a"}, {"id": 1_000_000, "title": "b"}, {"title": "c"}])
    assert [(await books.get(book.id)).title for book in mixed] == ["a", "b", "c"]
    assert mixed[1].id == 1_000_000


@pytest.mark.slow
async def test_a_row_that_no_packet_holds_is_refused_and_the_connection_lives(url: str) -> None:
    async with opened(url, [Book], max_size=1) as db:
        books = db.repository(Book)
        (limit,) = await db.execute("SELECT CAST(@@max_allowed_packet AS SIGNED) AS bytes")
        huge = {"title": "x" * limit["bytes"]}
        for attempt in (books.create(huge), books.create_many([{"title": "a"}, huge])):
            error = await failure(attempt)
            assert isinstance(error, InvalidValueError)
            assert "max_allowed_packet" in str(error)
        large = await books.create({"title": "y" * (limit["bytes"] // 2)})
        assert len((await books.get(large.id)).title) == limit["bytes"] // 2


async def test_a_unique_index_with_a_condition_sees_only_its_rows(db: Database) -> None:
    books = db.repository(Book)
    await books.create_many([{"title": "a", "shelf": "x"}, {"title": "b", "shelf": "x"}, {"title": "c", "pages": 1}])
    first = await books.create({"title": "d", "shelf": "x", "pages": 3})
    error = await failure(books.create({"title": "e", "shelf": "x", "pages": 9}))
    assert isinstance(error, UniqueViolationError)
    assert error.context["fields"] == ["shelf"]
    await books.update(first.id, {"pages": 0})
    await books.create({"title": "e", "shelf": "x", "pages": 9})
    (row, *_) = await db.execute("SELECT * FROM books")
    assert set(row) == {"id", "title", "shelf", "pages"}, "the hidden column is hidden"


async def test_what_would_commit_a_transaction_or_read_files_is_refused(db: Database) -> None:
    async with db.transaction() as tx:
        await db.repository(Book).create({"title": "a"}, tx=tx)
        error = await failure(db.execute("CREATE TABLE other (id INT)", tx=tx))
        assert isinstance(error, TransactionStateError)
        await tx.rollback()
    assert await db.repository(Book).count() == 0
    for text in ("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE books", "START TRANSACTION", "XA START 'x'"):
        assert isinstance(await failure(db.execute(text)), FarmDbError)
    assert isinstance(await failure(db.execute("SELECT 1; DELETE FROM books")), InvalidQueryError)
    assert isinstance(await failure(db.execute("SELECT ?", [1, 2])), InvalidQueryError)


async def test_native_values_have_their_types(db: Database) -> None:
    columns = (
        "CAST(1 AS SIGNED) AS i, CAST(18446744073709551615 AS UNSIGNED) AS u, 1.50 AS d, 2.5e0 AS f, 'é' AS t, "
        "x'00ff' AS b, CAST('2024-01-31 12:00:00.000001' AS DATETIME(6)) AS m, "
        "CAST('2024-01-31' AS DATE) AS y, NULL AS n"
    )
    (text,) = await db.execute(f"SELECT {columns}")
    (binary,) = await db.execute(f"SELECT {columns} FROM (SELECT ? AS one) AS given", [1])
    assert text == binary
    assert [repr(value) for value in text.values()] == [
        "1",
        "Decimal('18446744073709551615')",
        "Decimal('1.50')",
        "2.5",
        "'é'",
        r"b'\x00\xff'",
        "datetime.datetime(2024, 1, 31, 12, 0, 0, 1, tzinfo=datetime.timezone.utc)",
        "datetime.date(2024, 1, 31)",
        "None",
    ]
    assert await db.execute("SELECT id FROM books") == []


async def test_a_snapshot_that_lost_says_so(db: Database) -> None:
    books = db.repository(Book)
    book = await books.create({"title": "a"})

    async def read_and_write() -> None:
        async with db.transaction(isolation="snapshot") as tx:
            seen = await books.get(book.id, tx=tx)
            await asyncio.sleep(0.05)
            await books.update(book.id, {"pages": seen.pages + 1}, tx=tx)

    outcomes = await asyncio.gather(*(read_and_write() for _ in range(2)), return_exceptions=True)
    assert sorted(type(outcome) for outcome in outcomes if outcome) == [TransactionConflictError]
    assert (await books.get(book.id)).pages == 1


async def test_deadlocks_are_conflicts_and_may_run_again(db: Database) -> None:
    books = db.repository(Book)
    one, two = await books.create_many([{"title": "a"}, {"title": "b"}])

    async def both(first: Any, second: Any) -> None:
        async def work(tx: Any) -> None:
            await books.update(first, {"pages": 1}, tx=tx)
            await asyncio.sleep(0.05)
            await books.update(second, {"pages": 2}, tx=tx)

        await db.run_transaction(work, retries=10)

    await asyncio.gather(both(one.id, two.id), both(two.id, one.id))
    assert sorted([(await books.get(one.id)).pages, (await books.get(two.id)).pages]) == [1, 2]


async def test_text_that_another_collation_orders_is_told(url: str) -> None:
    async with opened(url, [], contract="off") as database:
        await database.execute(
            "CREATE TABLE books (id BIGINT AUTO_INCREMENT PRIMARY KEY, title VARCHAR(50) NOT NULL, shelf TEXT, "
            "pages BIGINT NOT NULL DEFAULT 0) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
        )
    error = await failure(Database(url, models=[Book]).connect())
    assert error.code == "contract_mismatch"
    assert "utf8mb4_general_ci" in str(error)


async def test_an_order_is_read_from_its_index_and_does_without_it(url: str) -> None:
    async with opened(url, [Event]) as db:
        events = db.repository(Event)
        await events.create_many({"id": n, "rank": n * 7919 % 5000, "text": "x" * 100} for n in range(5000))
        query = events.find(sort="-rank", limit=4000)
        assert (await query.explain())["plan"][0]["key"] == "ix_events_rank"
        ranks = list(range(4999, 999, -1))
        assert [row.rank for row in await query] == ranks
        # Somebody has taken it away.
        await db.execute("DROP INDEX ix_events_rank ON events")
        assert [row.rank for row in await query] == ranks
        assert [row.rank async for row in query.stream()] == ranks
        async with db.transaction() as tx:
            await events.update(7, {"text": "y"}, tx=tx)
            assert [row.rank for row in await events.find(sort="-rank", limit=2, tx=tx)] == ranks[:2]
        assert (await events.get(7)).text == "y"


async def test_planetscale_is_reached_over_tls_only(url: str) -> None:
    place = urlunsplit(urlsplit(url)._replace(query="planetscale=true&ssl_mode=disabled"))
    error = await failure(Database(place, models=[]).connect())
    assert error.code == "invalid_configuration"
    # The private server has no certificate: nothing is sent to it in the clear.
    place = urlunsplit(urlsplit(url)._replace(query="planetscale=true"))
    assert (await failure(Database(place, models=[]).connect())).code == "connection_failed"


async def told(db: Database, work: Callable[[], Awaitable[Any]]) -> dict[str, int]:
    """How often the server was told what by this work, on the only connection."""
    names = ("begin", "commit", "rollback", "savepoint", "select", "update", "stmt_execute")

    async def counts() -> dict[str, int]:
        rows = await db.execute("SHOW SESSION STATUS LIKE 'Com\\_%'")
        found = {row["Variable_name"].removeprefix("Com_"): int(row["Value"]) for row in rows}
        return {name: found[name] for name in names}

    before = await counts()
    await work()
    return {name: count - before[name] for name, count in (await counts()).items() if count != before[name]}


async def test_an_update_is_one_message_and_returns_its_row(url: str) -> None:
    async with opened(url, [Book], max_size=1) as db:
        books = db.repository(Book)
        book = await books.create({"title": "a"})

        async def update() -> None:
            assert (await books.update(book.id, {"$set": {"title": "b"}, "$inc": {"pages": 2}})).pages == 2

        async def update_nothing() -> None:
            assert (await failure(books.update(0, {"title": "b"}))).code == "not_found"

        async def read_and_update() -> None:
            async with db.transaction() as tx:
                await books.get(book.id, tx=tx)
                assert (await books.update(book.id, {"title": "c"}, tx=tx)).title == "c"

        async def nothing() -> None:
            async with db.transaction():
                pass

        # Nothing is prepared: the statements of an update are one text.
        whole = {"begin": 1, "update": 1, "select": 1, "commit": 1}
        assert await told(db, update) == whole
        assert await told(db, update_nothing) == whole
        assert await told(db, read_and_update) == {**whole, "select": 2, "stmt_execute": 1}
        assert await told(db, nothing) == {}


async def test_an_update_that_fails_leaves_nothing_behind(url: str) -> None:
    async with opened(url, [Book], max_size=1) as db:
        books = db.repository(Book)
        await books.create({"title": "a", "shelf": "x", "pages": 1})
        book = await books.create({"title": "b", "shelf": "y", "pages": 1})

        async def collide() -> None:
            error = await failure(books.update(book.id, {"title": "c", "shelf": "x"}))
            assert (error.code, error.context["fields"]) == ("unique_violation", ["shelf"])

        assert await told(db, collide) == {"begin": 1, "update": 1, "rollback": 1}
        async with db.transaction() as tx:
            assert (await failure(books.update(book.id, {"shelf": "x"}, tx=tx))).code == "unique_violation"
            await books.update(book.id, {"title": "d"}, tx=tx)
        found = await books.get(book.id)
        assert (found.title, found.shelf) == ("d", "y")


async def test_updates_of_one_row_at_once_return_each_its_own(db: Database) -> None:
    books = db.repository(Book)
    book = await books.create({"title": "a"})
    rows = await asyncio.gather(*(books.update(book.id, {"$inc": {"pages": 1}}) for _ in range(100)))
    assert sorted(row.pages for row in rows) == list(range(1, 101))


async def test_an_update_of_any_size_returns_its_row(db: Database) -> None:
    books = db.repository(Book)
    book = await books.create({"title": "a"})
    for size in (60_000, 70_000, 3_000_000):
        text = "'\\?`é" * (size // 6)
        row = await books.update(book.id, {"title": text})
        assert row.title == text
        assert (await books.get(book.id)).title == text


class Gauge(Document, table="gauges"):
    id: int = Field(primary_key=True)
    level: float
    small: int
    big: int
    is_on: bool
    name: str


async def test_an_update_returns_what_get_does_from_tables_of_others(url: str) -> None:
    async with opened(url, [], contract="off") as db:
        await db.execute(
            "CREATE TABLE gauges (id INT PRIMARY KEY, level FLOAT NOT NULL, small TINYINT NOT NULL, "
            "big BIGINT UNSIGNED NOT NULL, is_on BIT(1) NOT NULL, name VARCHAR(20) NOT NULL)"
        )
        await db.execute(
            "INSERT INTO gauges VALUES (1, 0.1, -5, 9000000000000000000, b'1', ''), (2, 1e30, 7, 0, b'0', '')"
        )
    async with opened(url, [Gauge], contract="off", create_missing=False) as db:
        gauges = db.repository(Gauge)
        for id in (1, 2):
            changed = await gauges.update(id, {"name": "it's `?`"})
            assert changed == await gauges.get(id)
        # Single precision as it is, not the six digits that the server writes.
        assert changed.level == struct.unpack("f", struct.pack("f", 1e30))[0]
