"""Bad input around the rows: empty filters, duplicates, cursors, URLs, folders, closed databases, secrets."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import pickle
import traceback
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from farm_db import ALL, Database, DatabaseManager, FarmDbError, connect, errors
from support import Counter, Resource, Stranger, User, failure, opened, run_python

CANARY = "canary-8w2-s3cr3t"


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Resource, User, Counter]) as database:
        yield database


async def test_an_empty_filter_is_refused_for_bulk_writes(db: Database) -> None:
    users = db.repository(User)
    await users.create_many([{"id": n, "email": str(n)} for n in range(3)])
    for empty in ({}, [], (), [{}, {}]):
        for work in (users.update_many(empty, {"name": "x"}), users.delete_many(empty)):
            error = await failure(work)
            assert error.code == "empty_filter"
            assert error.context["entity"] == "users"
    for work in (lambda: users.update_many(None, {"name": "x"}), lambda: users.delete_many(None)):  # type: ignore[arg-type]
        with pytest.raises(FarmDbError) as caught:
            await work()
        assert caught.value.code in ("invalid_query", "empty_filter")
    assert await users.count({"name": ""}) == 3
    assert await users.update_many(ALL, {"name": "x"}) == 3


async def test_a_duplicate_key_says_which_fields_and_writes_nothing(db: Database) -> None:
    users = db.repository(User)
    await users.create({"id": 1, "email": "a"})
    cases = [
        (users.create({"id": 1, "email": "b"}), ["id"]),
        (users.create({"id": 2, "email": "a"}), ["email"]),
        (users.create_many([{"id": 3, "email": "c"}, {"id": 3, "email": "d"}]), ["id"]),
        (users.upsert({"id": 4, "email": "a"}), ["email"]),
        (users.upsert({"id": 1, "email": "z"}, on=["email"]), ["id"]),
    ]
    for work, fields in cases:
        error = await failure(work)
        assert error.code == "unique_violation"
        assert error.context["entity"] == "users"
        assert error.context["fields"] == fields
        assert fields[0] in str(error)
        assert not error.retryable
    assert [row.model_dump() for row in await users.find()] == [{"id": 1, "email": "a", "name": ""}]


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "n6", "name": "x" * 101},
        {"id": "n6", "name": None},
        {"id": "n6"},
        {"id": "n6", "name": "x", "rating": 6},
        {"id": "n6", "name": "x", "rating": float("nan")},
        {"id": "n6", "name": "x", "stock": 2**63},
        {"id": "n6", "name": "\ud800"},
        {"id": "n6", "name": "x", "attributes": {"k": Stranger()}},
        {"id": "n2", "name": "a duplicate"},
        {"id": "old", "name": "a duplicate of a stored row"},
        None,
    ],
    ids=ascii,
)
@pytest.mark.parametrize("in_transaction", [False, True])
async def test_create_many_with_a_bad_seventh_row_writes_none(db: Database, bad: Any, in_transaction: bool) -> None:
    resources = db.repository(Resource)
    await resources.create({"id": "old", "name": "old"})
    rows: list[Any] = [{"id": f"n{n}", "name": "x"} for n in range(12)]
    rows[6] = bad
    if in_transaction:
        async with db.transaction() as tx:
            await failure(resources.create_many(rows, tx=tx))
    else:
        await failure(resources.create_many(rows))
    assert await resources.distinct("id") == ["old"]


async def test_create_many_of_unchecked_instances_with_a_bad_seventh_says_which(db: Database) -> None:
    rows = [Resource.model_construct(id=f"n{n}", name="x", tags=[], attributes={}, stock=0) for n in range(12)]
    rows[6].__dict__["stock"] = "no number"
    error = await failure(db.repository(Resource).create_many(rows))
    assert error.code == "invalid_value"
    assert error.context["row"] == 6
    assert "stock" in str(error)
    assert await db.repository(Resource).count() == 0


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "://",
        "sqlite",
        "sqlite:",
        "oracle://host/db",
        "http://example.org/app.db",
        "sqlite://host/app.db",
        "sqlite:///app.db?nope=1",
        "sqlite:///app.db?max_size=0",
        "sqlite:///app.db?max_size=many",
        "sqlite:///app.db?mode=sometimes",
        "sqlite:///a\x00b.db",
        "sqlite:///\ud800.db",
        "sqlite:///%zz.db",
    ],
    ids=ascii,
)
async def test_a_bad_url_is_refused_before_anything_is_opened(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = await failure(Database(url, models=[User]).connect())
    assert error.code == "invalid_configuration", error
    assert str(error)
    assert os.listdir(tmp_path) == []


def test_a_database_is_not_pickled_with_its_password() -> None:
    with pytest.raises(TypeError, match="each process"):
        pickle.dumps(Database("postgresql://ann:canary@localhost/app"))


@pytest.mark.parametrize(
    "options", [{"nope": 1}, {"max_size": 0}, {"max_size": "many"}, {"busy_timeout": -5}, {"mode": 7}], ids=str
)
async def test_a_bad_option_is_named(url: str, options: dict[str, Any]) -> None:
    error = await failure(connect(url, models=[User], **options))
    assert error.code == "invalid_configuration"
    assert next(iter(options)) in str(error)


async def test_a_url_of_the_wrong_type_is_refused() -> None:
    for wrong in (5, b"sqlite:///x", Path("app.db")):
        with pytest.raises((FarmDbError, TypeError)) as caught:
            await Database(wrong, models=[User]).connect()  # type: ignore[arg-type]
        assert str(caught.value)


async def test_a_missing_folder_is_named_and_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "here"
    error = await failure(Database(f"sqlite:///{folder}/app.db", models=[User]).connect())
    assert error.code == "connection_failed"
    assert str(folder) in f"{error} {error.context}"
    assert not (tmp_path / "not").exists()


async def test_a_file_that_is_no_database_or_a_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database\n" * 1000)
    (tmp_path / "folder.db").mkdir()
    for name in ("text.db", "folder.db"):
        error = await failure(Database(f"sqlite:///{tmp_path}/{name}", models=[User]).connect())
        assert error.code in ("connection_failed", "backend_error"), error
        assert name in f"{error} {error.context}"
    assert (tmp_path / "text.db").read_text().startswith("this is no database")


async def test_a_database_opened_read_only_refuses_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    error = await failure(Database(f"{url}?mode=ro", models=[User]).connect())
    assert error.code == "connection_failed"
    assert os.listdir(tmp_path) == []
    async with opened(url, [User]) as database:
        await database.repository(User).create({"id": 1, "email": "e"})
    async with opened(f"{url}?mode=ro", [User], create_missing=False) as database:
        assert await database.repository(User).count() == 1
        assert isinstance(await failure(database.repository(User).create({"id": 2, "email": "f"})), FarmDbError)
        assert await database.repository(User).count() == 1


async def test_a_closed_database_refuses_every_verb_with_its_own_code(url: str) -> None:
    async with opened(url, [User]) as database:
        users = database.repository(User)
        await users.create({"id": 1, "email": "e"})
        stream = users.find().stream(batch=1)
        native = users._native
    row = User(id=2, email="f")
    calls: list[Any] = [
        lambda: users.create(row),
        lambda: users.create_many([row]),
        lambda: users.get(1),
        lambda: users.get_or_none(1),
        lambda: users.get_many([1]),
        lambda: users.find().to_list(),
        lambda: users.find().json(),
        lambda: users.find().dicts(),
        lambda: users.find().explain(),
        lambda: anext(users.find().stream()),
        lambda: users.find_one(),
        lambda: users.count(),
        lambda: users.exists(),
        lambda: users.distinct("id"),
        lambda: users.page(),
        lambda: users.update(1, {"name": "x"}),
        lambda: users.update_one({"id": 1}, {"name": "x"}),
        lambda: users.update_many(ALL, {"name": "x"}),
        lambda: users.replace(1, row),
        lambda: users.upsert(row),
        lambda: users.delete(1),
        lambda: users.delete_many(ALL),
        lambda: users.find_one_and_update({"id": 1}, {"name": "x"}),
        lambda: row.save(),
        lambda: User.count(),
        lambda: database.execute("SELECT 1"),
        lambda: database.get_stats(),
        lambda: database.ensure_schema(),
        lambda: anext(stream),
        lambda: native.call("count", {}, None),
        lambda: native.get(1, None),
    ]
    for call in calls:
        with pytest.raises(errors.DatabaseClosedError) as caught:
            await call()
        assert caught.value.code == "database_closed"
    with pytest.raises(errors.DatabaseClosedError):
        database.pool_stats()
    with pytest.raises(errors.DatabaseClosedError):
        async with database.transaction():
            pass


async def test_closing_under_load_answers_every_call(url: str) -> None:
    async with opened(url, [Counter]) as database:
        counters = database.repository(Counter)
        calls = [asyncio.ensure_future(counters.create({})) for _ in range(200)]
        await asyncio.sleep(0.005)
        async with asyncio.timeout(15):
            await database.close()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
    written = [outcome for outcome in outcomes if isinstance(outcome, Counter)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, errors.DatabaseClosedError)]
    assert len(written) + len(refused) == 200, outcomes
    async with opened(url, [Counter]) as database:
        assert await database.repository(Counter).count() == len(written)


# Secrets.


def _leaks(*things: Any) -> list[str]:
    return [str(thing)[:200] for thing in things if CANARY in str(thing)]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (f"postgresql://user:{CANARY}@localhost:1/db", {}),
        (f"postgresql+asyncpg://user:{CANARY}@localhost:1/db?sslmode=disable", {}),
        (f"mongodb://user:{CANARY}@localhost:1/db", {}),
        (f"mongodb+srv://user:{CANARY}@example.invalid/db", {}),
        (f"mysql://user:{CANARY}@localhost:1/db", {}),
        (f"postgres://localhost:1/db?password={CANARY}", {}),
        ("postgres://user@localhost:1/db", {"password": CANARY}),
        (f"postgres://user:{CANARY}@localhost:notaport/db", {}),
        (f"postgres://user:{CANARY}@[::1/db", {}),
        (f"nonsense://user:{CANARY}@localhost/db", {}),
        (f"sqlite://user:{CANARY}@/app.db", {}),
        (f"sqlite:///app.db?password={CANARY}", {}),
        (f"sqlite:///{{folder}}/app.db?key={CANARY}", {}),
        ("sqlite:///{folder}/app.db", {"password": CANARY}),
    ],
    ids=lambda value: str(value).replace(CANARY, "***") if isinstance(value, str) else "",
)
async def test_the_password_of_a_url_appears_nowhere(
    url: str,
    options: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "asyncio")
    url = url.format(folder=tmp_path)
    database = Database(url, models=[User], **options)
    manager = DatabaseManager({"url": url, "models": [User], **options})
    shown: list[Any] = [repr(database), str(database), repr(manager), f"{database!r} {manager!s}"]
    for work in (database.connect, manager.initialize):
        try:
            await work()
        except FarmDbError as error:
            shown += [str(error), repr(error), error.context, traceback.format_exception(error)]
            shown += [pickle.dumps(error), repr(error.__cause__), repr(error.__context__), error.args]
            shown += [copy.deepcopy(error).context]
        else:
            shown += [await database.health_check(), database.pool_stats(), await database.get_stats()]
    try:
        shown.append(database.url)
    except FarmDbError as error:
        shown += [str(error), error.context, traceback.format_exception(error)]
    shown += [await database.health_check(), await manager.health_check(), caplog.text, *capfd.readouterr()]
    await database.close()
    await manager.shutdown()
    assert _leaks(*shown) == []


def test_a_password_in_the_environment_appears_in_no_crash(tmp_path: Path) -> None:
    code = """
import asyncio, faulthandler, sys
from support import Stranger, User
from farm_db import Database
database = Database(models=[User])
print(repr(database), vars(database))
try:
    asyncio.run(database.connect())
finally:
    print(database.url)
"""
    os.environ["DATABASE_URL"] = f"postgresql://user:{CANARY}@localhost:1/db"
    try:
        done = run_python(code)
    finally:
        del os.environ["DATABASE_URL"]
    assert done.returncode == 1
    assert "Error" in done.stderr
    assert _leaks(done.stdout, done.stderr) == []
