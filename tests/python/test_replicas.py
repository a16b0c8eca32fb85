"""Read replicas: what goes where, how near it is, and what happens when a replica is lost."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from backends import execute, temporary_url
from farm_db import (
    Database,
    Document,
    FarmDbError,
    Field,
    InvalidConfigurationError,
    UnsupportedError,
    many_to_one,
)
from replicated import PATIENCE, ReplicaSet, Server, Streaming, replica_set, streaming

pytestmark = pytest.mark.slow


class Author(Document, table="authors"):
    id: str = Field(primary_key=True)
    age: int = 0


class Book(Document, table="books"):
    id: str = Field(primary_key=True)
    title: str = ""
    author_id: str | None = None
    author = many_to_one(Author)


@pytest.fixture(scope="module")
def servers() -> Generator[Streaming]:
    with streaming(2) as servers:
        yield servers


@pytest.fixture
def schema() -> str:
    return f"farm_{uuid.uuid4().hex}"


@asynccontextmanager
async def opened(servers: Streaming, schema: str, standbys: int = 2, **options: Any) -> AsyncGenerator[Database]:
    """The primary with its standbys, once they have the tables."""
    options = {"models": [Author, Book], **options}
    replicas = [servers.url(standby) for standby in servers.standbys[:standbys]]
    async with Database(servers.url(servers.primary, schema), replicas=replicas, **options) as db:
        if options["models"]:
            await caught_up(servers)
            await eventually(lambda: in_use(db, standbys))
        yield db


@contextmanager
def killed(*members: Any) -> Generator[None]:
    """Kills servers, which come back at the end of the block: others of these tests need them."""
    with ExitStack() as stack:
        for member in members:
            # Noted first, so that one whose end is doubtful is started as well.
            stack.callback(member.start)
            member.kill()
        yield


async def eventually(check: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not await check():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.02)


async def in_use(db: Database, count: int) -> bool:
    """Whether so many replicas are read from; reading makes farm-db look at them."""
    await db.repository(Author).count()
    return sum(one["in_use"] for one in (await db.get_stats())["replicas"]) == count


async def ask(servers: Streaming, server: Server, statement: str) -> Any:
    async with Database(servers.url(server), models=[], contract="off") as db:
        return await db.execute(statement)


async def caught_up(servers: Streaming) -> None:
    [row] = await ask(servers, servers.primary, "SELECT pg_current_wal_insert_lsn()::text AS lsn")
    for standby in servers.standbys:
        reached = f"SELECT pg_last_wal_replay_lsn() >= '{row['lsn']}'::pg_lsn - 40 AS yes"

        async def has_reached(standby: Server = standby, reached: str = reached) -> bool:
            return bool((await ask(servers, standby, reached))[0]["yes"])

        await eventually(has_reached)


@asynccontextmanager
async def paused(servers: Streaming, *standbys: Server) -> AsyncGenerator[None]:
    """While these standbys replay nothing."""
    for standby in standbys:
        await ask(servers, standby, "SELECT pg_wal_replay_pause()")

        async def is_paused(standby: Server = standby) -> bool:
            [row] = await ask(servers, standby, "SELECT pg_get_wal_replay_pause_state() AS state")
            return bool(row["state"] == "paused")

        await eventually(is_paused)
    try:
        yield
    finally:
        for standby in standbys:
            await ask(servers, standby, "SELECT pg_wal_replay_resume()")


async def all_of(stream: Any) -> list[Any]:
    return [row async for row in stream]


# What goes where.

READS: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "get": lambda books, mark: books.get(mark),
    "get_or_none": lambda books, mark: books.get_or_none(mark),
    "gathered gets": lambda books, mark: asyncio.gather(*(books.get(mark) for _ in range(20))),
    "get_many": lambda books, mark: books.get_many([mark]),
    "get with include": lambda books, mark: books.get(mark, include=["author"]),
    "find": lambda books, mark: books.find({"id": mark}),
    "find_one": lambda books, mark: books.find_one({"id": mark}),
    "count": lambda books, mark: books.count({"id": mark}),
    "exists": lambda books, mark: books.exists({"id": mark}),
    "distinct": lambda books, mark: books.distinct("title", {"id": mark}),
    "aggregate": lambda books, mark: books.aggregate({"id": mark}, measures={"n": {"$count": True}}),
    "page": lambda books, mark: books.page({"id": mark}),
    "stream": lambda books, mark: all_of(books.find({"id": mark}).stream(batch=2)),
    "json": lambda books, mark: books.find({"id": mark}).json(),
    "dicts": lambda books, mark: books.find({"id": mark}).dicts(),
    "explain": lambda books, mark: books.find({"id": mark}).explain(),
    "find by a relation": lambda books, mark: books.find({"id": mark, "author.age": {"$gte": 0}}),
}


async def test_reads_go_to_the_replicas_in_turn(servers: Streaming, schema: str) -> None:
    async with opened(servers, schema) as db:
        authors, books = db.repository(Author), db.repository(Book)
        await authors.create({"id": "author"})
        marks = {name: f"mark-{uuid.uuid4().hex}" for name in READS}
        await books.create_many([{"id": mark, "author_id": "author"} for mark in marks.values()])
        await caught_up(servers)
        written = {mark: servers.primary.saw(mark) for mark in marks.values()}
        for name, mark in marks.items():
            assert await READS[name](books, mark), name
        for name, mark in marks.items():
            assert servers.primary.saw(mark) == written[mark], name
            assert sum(standby.saw(mark) for standby in servers.standbys) > 0, name
        reads = [one["reads"] for one in (await db.get_stats())["replicas"]]
        assert min(reads) >= 5, reads


async def test_writes_transactions_and_what_they_read_stay_on_the_primary(servers: Streaming, schema: str) -> None:
    async with opened(servers, schema) as db:
        books = db.repository(Book)
        mark = f"mark-{uuid.uuid4().hex}"
        await db.repository(Author).create({"id": f"{mark}-author", "age": 7})
        await books.create({"id": mark, "author_id": f"{mark}-author"})
        await caught_up(servers)
        async with paused(servers, *servers.standbys):
            await books.update(mark, {"title": "a"})
            assert await books.update_many({"author.age": 7}, {"title": "c"}) == 1
            assert await books.find_one_and_update({"id": mark}, {"title": "d"}) is not None
            await books.upsert({"id": mark, "title": "e", "author_id": f"{mark}-author"})
            async with db.transaction() as tx:
                assert (await books.get(mark, tx=tx)).title == "e"
                assert [book.title for book in await books.find({"id": mark}, tx=tx)] == ["e"]
                assert [book.title async for book in books.find({"id": mark}, tx=tx).stream()] == ["e"]
            async with db.transaction(read_only=True) as tx:
                assert (await books.get(mark, tx=tx)).title == "e"
            await db.execute("SELECT $1::text", [mark])
            await db.ensure_schema()
            await books.delete(mark)
            assert sum(standby.saw(mark) for standby in servers.standbys) == 0


async def test_the_reads_of_one_call_stay_on_one_server(servers: Streaming, schema: str) -> None:
    async with opened(servers, schema) as db:
        authors, books = db.repository(Author), db.repository(Book)
        behind, near = servers.standbys
        async with paused(servers, behind):
            await authors.create({"id": "new"})
            await books.create_many([{"id": str(number), "author_id": "new"} for number in range(5)])

            async def has(standby: Server) -> bool:
                [row] = await ask(servers, standby, f"SELECT count(*) AS n FROM {schema}.books")
                return bool(row["n"] == 5)

            await eventually(lambda: has(near))
            assert not await has(behind)
            found = [await books.find(include=["author"]) for _ in range(40)]
            counts = {len(rows) for rows in found}
            # Both were asked, and neither gave rows for which the other had to know the author.
            assert counts == {0, 5}
            assert all(book.author is not None for rows in found for book in rows)
            conditions = {await books.count({"author.id": "new"}) for _ in range(40)}
            assert conditions == {0, 5}
            got = await asyncio.gather(*(books.get_or_none("1", include=["author"]) for _ in range(40)))
            assert all(book is None or book.author is not None for book in got)
            assert any(got)


async def test_a_table_that_a_replica_has_not_got_yet_is_read_on_the_primary(servers: Streaming, schema: str) -> None:
    async with opened(servers, schema, models=[]) as db, paused(servers, *servers.standbys):
        books = db.repository(Book)
        db.register_model(Author)
        await db.ensure_schema()
        await books.create({"id": "1"})
        assert await books.count() == 1
        assert [book.id async for book in books.find().stream()] == ["1"]
        assert (await books.get("1")).id == "1"


# How near.


async def test_a_program_reads_what_it_has_written(servers: Streaming, schema: str) -> None:
    async with opened(servers, schema) as forgetful, opened(servers, schema, read_your_writes=True) as db:
        books = db.repository(Book)
        async with paused(servers, *servers.standbys):
            for number in range(20):
                await books.create({"id": str(number)})
                assert await books.get_or_none(str(number)) is not None
                assert await books.count() == number + 1
            async with db.transaction() as tx:
                await books.create({"id": "in a transaction"}, tx=tx)
            assert await books.get_or_none("in a transaction") is not None
            await db.execute(f"INSERT INTO {schema}.books (id, title) VALUES ('native', '')")
            assert await books.count() == 22
            assert await in_use(db, 0)
            # Without the option the standbys answer, and have nothing of it.
            assert await forgetful.repository(Book).count() == 0
        await eventually(lambda: in_use(db, 2))
        assert await books.count() == 22


async def test_gathered_gets_see_what_was_written_before_them(servers: Streaming, schema: str) -> None:
    async with opened(servers, schema, read_your_writes=True, max_size=4) as db:
        books = db.repository(Book)
        missing = []

        async def work(worker: int) -> None:
            for number in range(15):
                key = f"{worker}-{number}"
                await books.create({"id": key})
                if await books.get_or_none(key) is None:
                    missing.append(key)

        await asyncio.gather(*(work(worker) for worker in range(20)))
        assert missing == []
        await eventually(lambda: in_use(db, 2))


@pytest.mark.alone
async def test_a_replica_that_is_too_far_behind_is_not_read_from(servers: Streaming, schema: str) -> None:
    most = 1.0
    async with opened(servers, schema) as writer, opened(servers, schema, max_staleness=most) as db:
        books = db.repository(Book)
        async with paused(servers, *servers.standbys):
            await writer.repository(Book).create({"id": "new"})
            written = time.monotonic()
            stale = []
            while await books.get_or_none("new") is None:
                stale.append(time.monotonic() - written)
                assert stale[-1] < 3 * most, "it was read from a standby that had stopped"
                await asyncio.sleep(0.005)
            # The last one was sent before it was too late and has come back since.
            assert most / 2 < stale[-1] < most + 0.1, stale[-1]
            for _ in range(50):
                assert await books.get_or_none("new") is not None
            assert await in_use(db, 0)
        await eventually(lambda: in_use(db, 2))
        before = [one["reads"] for one in (await db.get_stats())["replicas"]]
        assert all([await books.get_or_none("new") for _ in range(10)])
        after = [one["reads"] for one in (await db.get_stats())["replicas"]]
        assert all(later > earlier for earlier, later in zip(before, after, strict=True))
        lags = [one["lag"] for one in (await db.health_check())["replicas"]]
        assert all(0 <= lag <= most for lag in lags), lags


async def test_positions_are_looked_at_once_a_second_at_most(servers: Streaming, schema: str) -> None:
    async with opened(servers, schema, standbys=1, max_staleness=10) as db:
        [standby] = servers.standbys[:1]
        question, began = "pg_last_wal_replay_lsn(), '0/0'", time.monotonic()
        looks, reads = standby.saw(question), 0
        while time.monotonic() < began + 2:
            await db.repository(Author).count()
            reads += 1
        assert reads > 100
        assert 1 <= standby.saw(question) - looks <= 4


# What is lost.


class Load:
    """Readers that read until they are stopped, each in its own way."""

    def __init__(self, db: Database, readers: int = 8) -> None:
        books = db.repository(Book)
        ways: list[Callable[[], Awaitable[Any]]] = [
            lambda: books.get("1"),
            lambda: books.count(),
            lambda: books.find(sort="id", limit=3),
            lambda: books.find(sort="id").json(),
            lambda: asyncio.gather(*(books.get("2") for _ in range(5))),
            lambda: all_of(books.find(sort="id").stream(batch=100)),
        ]
        self.reads, self.slowest, self.errors = 0, 0.0, list[BaseException]()
        self._stopped = False
        self._tasks = [asyncio.create_task(self._read(way)) for way in itertools.islice(itertools.cycle(ways), readers)]

    async def _read(self, way: Callable[[], Awaitable[Any]]) -> None:
        while not self._stopped:
            began = time.monotonic()
            try:
                assert await way()
            except Exception as error:
                self.errors.append(error)
            self.reads += 1
            self.slowest = max(self.slowest, time.monotonic() - began)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def filled(servers: Streaming, schema: str, **options: Any) -> AsyncGenerator[Database]:
    async with opened(servers, schema, **options) as db:
        await db.repository(Book).create_many([{"id": str(number)} for number in range(50)])
        await caught_up(servers)
        yield db


async def test_killed_replicas_cost_no_caller_an_error_and_come_back(servers: Streaming, schema: str) -> None:
    first, second = servers.standbys
    async with filled(servers, schema) as db, Load(db) as load:
        await asyncio.sleep(0.3)
        with killed(first):
            await asyncio.sleep(0.3)
            health = await db.health_check()
            assert [one["status"] for one in health["replicas"]] == ["unhealthy", "healthy"]
            assert health["status"] == "healthy"
            with killed(second):
                await asyncio.sleep(0.3)
                alone = load.reads
                assert await in_use(db, 0)
                await asyncio.sleep(0.3)
                assert load.reads > alone
        await eventually(lambda: in_use(db, 2))
        await asyncio.sleep(0.3)
        assert first.saw("books") > 0
        assert second.saw("books") > 0
    assert load.errors == []
    assert load.reads > 100


async def test_reads_go_on_without_the_primary(servers: Streaming, schema: str) -> None:
    async with filled(servers, schema) as db:
        async with Load(db) as load:
            await asyncio.sleep(0.1)
            with killed(servers.primary):
                await asyncio.sleep(0.1)
                before = load.reads
                await asyncio.sleep(0.3)
                assert load.reads > before
        assert load.errors == []
        await eventually(lambda: _can_write(db))


async def _can_write(db: Database) -> bool:
    try:
        await db.repository(Author).upsert({"id": "1"})
    except FarmDbError:
        return False
    return True


@pytest.mark.alone
async def test_a_silent_replica_takes_only_a_part_of_the_deadline(servers: Streaming, schema: str) -> None:
    deadline = 2.0
    async with filled(servers, schema, statement_timeout=deadline) as db, Load(db) as load:
        await asyncio.sleep(0.2)
        for standby in servers.standbys:
            standby.freeze()
        try:
            await asyncio.sleep(1.5)
            assert await in_use(db, 0)
            before = load.reads
            await asyncio.sleep(0.2)
            assert load.reads > before
        finally:
            for standby in servers.standbys:
                standby.thaw()
        await eventually(lambda: in_use(db, 2))
    assert load.errors == []
    # Half of it until both are given up, and the read itself.
    assert load.slowest < deadline * 0.9, load.slowest


async def test_what_a_standby_cancels_for_its_replaying_is_read_elsewhere(servers: Streaming, schema: str) -> None:
    cancelled = "due to conflict with recovery"

    def count() -> int:
        return sum(standby.saw(cancelled) for standby in servers.standbys)

    async with filled(servers, schema) as db, Load(db) as load:
        before, end = count(), time.monotonic() + PATIENCE
        while count() < before + 2 and time.monotonic() < end:
            # Takes the table for itself, also where it is replayed.
            await db.execute(f"ALTER TABLE {schema}.books ALTER COLUMN title SET DEFAULT ''")
            await asyncio.sleep(0.005)
    assert count() >= before + 2
    assert load.errors == []


# What is refused.


@pytest.mark.parametrize(
    ("url", "options", "error", "says"),
    [
        ("sqlite::memory:", {"replicas": ["sqlite::memory:"]}, InvalidConfigurationError, "sqlite has no replicas"),
        ("mongodb://h/d", {"replicas": ["mongodb://g/d"]}, InvalidConfigurationError, "readPreference"),
        ("postgresql://h/d", {"replicas": ["mysql://g/d"]}, InvalidConfigurationError, "a replica of postgres"),
        ("postgresql://h/d", {"replicas": ["g"]}, InvalidConfigurationError, "scheme"),
        (
            "postgresql://h/d",
            {"replicas": ["postgresql://g/d?replicas=postgresql%3A%2F%2Fi%2Fd"]},
            InvalidConfigurationError,
            "no replicas of its own",
        ),
        ("mysql://h/d", {"replicas": ["mysql://g/d"], "max_staleness": 5}, UnsupportedError, "max_staleness"),
        ("mysql://h/d", {"replicas": ["mysql://g/d"], "read_your_writes": True}, UnsupportedError, "read_your_writes"),
    ],
)
async def test_what_cannot_be_kept_is_refused(url: str, options: dict[str, Any], error: type, says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        await Database(url, models=[], **options).connect()
    assert caught.value.context["option"] in options


async def test_nothing_shows_the_password_of_a_replica(servers: Streaming, schema: str) -> None:
    lost = "postgresql://farm:canary@127.0.0.1:1/postgres"
    primary = servers.url(servers.primary, schema)
    escaped = "postgresql%3A%2F%2Ffarm%3Acanary%40127.0.0.1%3A1%2Fpostgres"
    for url, options in [(primary, {"replicas": [lost]}), (f"{primary}&replicas={escaped}", {})]:
        db = Database(url, models=[Author], **options)
        assert "canary" not in db.url
        async with db:
            assert await db.repository(Author).count() == 0
            health = await db.health_check()
            assert health["status"] == "healthy"
            assert health["replicas"][0]["status"] == "unhealthy"
            assert "canary" not in repr([health, await db.get_stats(), db])


# MySQL, whose replicas do not tell how far they have come.


@pytest.fixture
def mysql(tmp_path: Path) -> Generator[tuple[str, str]]:
    """Two databases, of which the one can be said to be a replica of the other."""
    with temporary_url("mysql", tmp_path) as url, temporary_url("mysql", tmp_path) as other:
        yield url, other


async def test_a_replica_of_mysql_answers_reads(mysql: tuple[str, str]) -> None:
    url, other = mysql
    async with Database(other, models=[Author]) as db:
        await db.repository(Author).create({"id": "on the replica"})
    async with Database(url, models=[Author], replicas=[other]) as db:
        authors = db.repository(Author)
        await authors.create({"id": "on the primary"})
        assert [author.id for author in await authors.find()] == ["on the replica"]
        assert (await authors.get("on the replica")).age == 0
        assert (await authors.update("on the primary", {"age": 7})).age == 7
        async with db.transaction() as tx:
            assert await authors.exists({"id": "on the primary"}, tx=tx)
        [report] = (await db.health_check())["replicas"]
        assert (report["status"], report["in_use"], report["lag"]) == ("healthy", True, None)
        assert report["reads"] >= 2
        await execute(url, f"DROP TABLE {other.rpartition('/')[2]}.authors")
        # What a replica lacks may be on the primary.
        assert [author.id for author in await authors.find()] == ["on the primary"]


# MongoDB, whose driver chooses.


class Note(Document, table="notes"):
    id: str = Field(primary_key=True)
    text: str = ""
    version_of: int = 0


@pytest.fixture(scope="module")
def three() -> Generator[ReplicaSet]:
    with replica_set() as members:
        yield members


async def command(three: ReplicaSet, member: Server, command: dict[str, Any]) -> Any:
    async with Database(three.direct(member), models=[], contract="off") as db:
        return await db.execute(command)


async def queries(three: ReplicaSet) -> list[int]:
    """How many finds each member has answered."""
    status = [await command(three, member, {"serverStatus": 1}) for member in three.members]
    return [one["opcounters"]["query"] for one in status]


async def test_members_that_the_url_prefers_answer_reads_only(three: ReplicaSet, schema: str) -> None:
    async with Database(three.url(schema, readPreference="secondaryPreferred"), models=[Note]) as db:
        notes = db.repository(Note)
        await notes.create_many([{"id": str(number)} for number in range(20)])
        # Read, changed and written back, which a member that is behind must not be asked for.
        for number in range(20):
            assert (await notes.update(str(number), {"text": "a"})).text == "a"
            assert (await notes.find_one_and_update({"id": str(number)}, {"$set": {"text": "b"}})).text == "b"
        async with db.transaction() as tx:
            await notes.create({"id": "in a transaction"}, tx=tx)
            assert await notes.count(tx=tx) == 21
        async with db.transaction(read_only=True) as tx:
            assert await notes.count(tx=tx) == 21
            assert len(await all_of(notes.find(tx=tx).stream(batch=5))) == 21
        before = await queries(three)
        for _ in range(30):
            await notes.find({"text": "b"})
        after = await queries(three)
        primary, *others = (later - earlier for earlier, later in zip(before, after, strict=True))
        assert primary < 5, (primary, others)
        assert sum(others) >= 30, (primary, others)


async def test_on_mongodb_too_a_program_reads_what_it_has_written(three: ReplicaSet, schema: str) -> None:
    url = three.url(schema, readPreference="secondary", w="1")
    held = {"configureFailPoint": "rsSyncApplyStop", "mode": "alwaysOn"}
    async with Database(url, models=[Note]) as forgetful, Database(url, models=[Note], read_your_writes=True) as db:
        notes = db.repository(Note)
        await notes.create({"id": "0"})
        assert await notes.get_or_none("0") is not None
        for member in three.members[1:]:
            await command(three, member, held)
        try:
            await asyncio.sleep(0.2)
            await notes.create({"id": "1"})
            reading = asyncio.create_task(notes.get_or_none("1"))
            counting = asyncio.create_task(all_of(notes.find().stream()))
            await asyncio.sleep(0.3)
            assert not reading.done()
            assert not counting.done()
            assert await forgetful.repository(Note).get_or_none("1") is None
        finally:
            for member in three.members[1:]:
                await command(three, member, {**held, "mode": "off"})
        assert await reading is not None
        assert len(await counting) == 2
        for number in range(2, 30):
            await notes.create({"id": str(number)})
            assert await notes.get_or_none(str(number)) is not None
            assert await notes.count() == number + 1


async def test_a_killed_secondary_costs_no_caller_an_error(three: ReplicaSet, schema: str) -> None:
    url = three.url(schema, readPreference="secondaryPreferred", heartbeatFrequencyMS="500")
    async with Database(url, models=[Note]) as db:
        notes, errors, reads = db.repository(Note), list[Exception](), 0
        await notes.create({"id": "0"})
        await eventually(lambda: notes.exists({"id": "0"}))
        await asyncio.sleep(0.3)
        stop = asyncio.Event()

        async def read() -> None:
            nonlocal reads
            while not stop.is_set():
                try:
                    assert await notes.find({"id": "0"})
                except Exception as error:
                    errors.append(error)
                reads += 1

        readers = [asyncio.create_task(read()) for _ in range(8)]
        await asyncio.sleep(0.5)
        with killed(three.members[2]):
            await asyncio.sleep(1.0)
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(*readers)
        assert errors == []
        assert reads > 100
