"""A password is shown by nothing: errors of every kind with the variables of their frames, logs, reports, copies,
processes. Each that is given here has one mark in it, which is looked for in all that comes out."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

import farm_db
from backends import execute, server_url, temporary_url
from farm_db import Database, DatabaseManager, Document, FarmDbError, Field, init_database
from farm_db.testing import temporary_database
from support import Counter, User, environment, failure, run_python

# In two parts, so that a source line in a traceback is no finding.
MARK = "".join(("c4", "nary"))
#: The second needs its escapes in a URL.
PASSWORDS = [f"{MARK}-s3cret-1", f"{MARK}@s3:cr/et?#%é &=1"]
SERVERS = ("postgres", "mysql", "mongodb")
SCHEMES = {"postgres": "postgresql", "mysql": "mysql", "mongodb": "mongodb"}


class Twin(Document, table="users"):
    """A model that wants the table of another."""

    id: int = Field(primary_key=True)


def chained(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those behind it, also where printing it would leave them out."""
    if error is not None:
        yield error
        yield from chained(error.__cause__)
        yield from chained(error.__context__)


def _is_own(path: str) -> bool:
    return path == __file__


def told(error: BaseException) -> list[str]:
    """All that a tool for errors might write of one, but for the variables of this file, which has the secret."""
    texts = [str(error), repr(error), repr(error.args), repr(vars(error)), "".join(traceback.format_exception(error))]
    if isinstance(error, FarmDbError):
        texts += [pickle.dumps(error).decode("latin-1"), repr(vars(copy.deepcopy(error)))]
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    trace.stack[:] = [frame for frame in trace.stack if not _is_own(frame.filename)]
    texts += trace.format(chain=False)
    for one in chained(error):
        for frame, line in traceback.walk_tb(one.__traceback__):
            if not _is_own(frame.f_code.co_filename):
                # Two levels deep, as debuggers in the browser show them.
                texts += [
                    f"{frame.f_code.co_qualname}:{line}: {name} = {deep(value)}"
                    for name, value in frame.f_locals.items()
                ]
        texts.append(repr(one))
    return texts


def deep(value: Any) -> str:
    # A manager's `config` is public: it is what its maker gave.
    attributes = getattr(value, "__dict__", None) if not isinstance(value, DatabaseManager) else None
    return f"{value!r} {attributes!r}"


def assert_hidden(*texts: Any) -> None:
    found = [str(text)[:300] for text in texts if MARK in str(text)]
    assert found == []


@pytest.fixture(autouse=True)
def _hidden_in_logs(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Generator[None]:
    """Whatever a test does, its logs and what it prints are clean."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "asyncio")
    yield
    out, err = capfd.readouterr()
    assert_hidden(caplog.text, out, err)


# Where a secret can be given, and how a database is opened.


async def by_database(url: str | None, **options: Any) -> None:
    async with Database(url, **options):
        raise AssertionError("it connected")


async def by_function(url: str | None, **options: Any) -> None:
    await farm_db.connect(url, **options)


async def by_manager(url: str | None, **options: Any) -> None:
    await DatabaseManager({"url": url, **options}).initialize()


async def by_global_manager(url: str | None, **options: Any) -> None:
    await init_database({"url": url, **options})


async def by_testing(url: str | None, **options: Any) -> None:
    # Without a URL it makes a file of its own.
    async with temporary_database(url=url or "nonsense", **options):
        raise AssertionError("it connected")


#: What is given as `replicas`.
REPLICAS: dict[str, Callable[[str], Any]] = {
    "replica": lambda url: [url],
    "replica alone": lambda url: url,
    "replica of another kind": lambda url: [url.replace("://", "x://", 1)],
    "replica in a wrong type": lambda url: [url, [url]],
    "replica in bytes": lambda url: [url.encode()],
}

WAYS = [by_database, by_function, by_manager, by_global_manager, by_testing]


@contextmanager
def named_in(place: str, scheme: str, password: str, folder: Path) -> Generator[tuple[str | None, dict[str, Any]]]:
    """A server that is not there, with this password given in one of the ways; the URL and the options."""
    url = f"{scheme}://user:{quote(password, safe='')}@127.0.0.1:1/app"
    short: dict[str, Any] = {"connect_timeout": 1, "acquire_timeout": 1}
    if scheme == "mongodb":
        short["server_selection_timeout"] = 0.2
    family = {"postgresql": "POSTGRES", "mysql": "MYSQL"}.get(scheme)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        if place == "url":
            yield url, short
        elif place == "query":
            yield f"{scheme}://user@127.0.0.1:1/app?password={quote(password, safe='')}", short
        elif place == "option":
            yield f"{scheme}://user@127.0.0.1:1/app", {**short, "password": password}
        elif place == "wrong option":
            yield url, {**short, "poolsiez": 4}
        elif place == "wrong kind of option":
            yield url, {**short, "max_size": "many"}
        elif place == "wrong port":
            yield url.replace(":1/", ":port/"), short
        elif place == "not escaped":
            yield f"{scheme}://user:{password}@127.0.0.1:1/app", short
        elif place == "tls":
            files = {"postgresql": "sslrootcert", "mysql": "ssl_ca", "mongodb": "tls_ca_file"}
            yield url, {**short, files[scheme]: "/nowhere/ca.pem", **_encrypted(scheme)}
        elif place == "passphrase":
            keys = {"postgresql": "sslpassword", "mongodb": "tls_certificate_key_file_password"}
            yield (
                f"{scheme}://user@127.0.0.1:1/app",
                {**short, keys.get(scheme, "password"): password, **_encrypted(scheme)},
            )
        elif place in REPLICAS:
            yield _bare(url), {**short, "replicas": REPLICAS[place](url)}
        elif place == "url beside wrong replicas":
            yield url, {**short, "password": password, "replicas": 5}
        elif place == "variable":
            patch.setenv("DATABASE_URL", url)
            yield None, short
        elif place == "split variables" and family is not None:
            for name, value in {"HOST": "127.0.0.1", "PORT": "1", "USERNAME": "user", "PASSWORD": password}.items():
                patch.setenv(f"{family}_{name}", value)
            yield None, short
        elif place == "split variables":
            patch.setenv("MONGO_URI", url)
            yield None, short
        else:
            end = b"# \xff\n" if place == "settings that are no UTF-8" else b""
            (folder / "pyproject.toml").write_bytes(_settings(place, url, password).encode() + end)
            yield None, short


def _encrypted(scheme: str) -> dict[str, Any]:
    return {"postgresql": {"sslmode": "verify-full"}, "mysql": {"ssl_mode": "verify_identity"}}.get(
        scheme, {"tls": True}
    )


def _bare(url: str) -> str:
    """The URL without the password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"user@{parts.netloc.rpartition('@')[2]}"))


def _settings(place: str, url: str, password: str) -> str:
    table = "[tool.farm-db]\n"
    return {
        "settings": f"{table}url = {json.dumps(url)}\n",
        "settings with options": f"{table}url = {json.dumps(_bare(url))}\noptions.password = {json.dumps(password)}\n",
        "malformed settings": f"{table}url = {json.dumps(url)}\n[tool\n",
        "settings that are no UTF-8": f"{table}url = {json.dumps(url)}\n",
        "settings of a wrong type": f"{table}url = [{json.dumps(url)}]\n",
        "options of a wrong type": f"{table}options = [{json.dumps(password)}]\n",
    }[place]


PLACES = [
    *(
        "url",
        "query",
        "option",
        "wrong option",
        "wrong kind of option",
        "wrong port",
        "not escaped",
        "tls",
        "passphrase",
    ),
    *(*REPLICAS, "url beside wrong replicas"),
    *("variable", "split variables", "settings", "settings with options", "malformed settings"),
    *("settings that are no UTF-8", "settings of a wrong type", "options of a wrong type"),
]


#: Before the models are looked at.
REFUSED_AT_ONCE = ("replica in a wrong type", "replica in bytes", "url beside wrong replicas")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scheme", SCHEMES.values())
async def test_no_failure_to_connect_shows_the_password(scheme: str, place: str, tmp_path: Path) -> None:
    for password in PASSWORDS:
        with named_in(place, scheme, password, tmp_path) as (url, options):
            for way in WAYS:
                error = await failure(way(url, models=[User], **options))
                assert_hidden(*told(error))
                assert error.code in ("connection_failed", "invalid_configuration", "unsupported"), error
                error = await failure(way(url, models=[User, Twin], **options))
                assert_hidden(*told(error))
                assert error.code == ("invalid_configuration" if place in REFUSED_AT_ONCE else "invalid_schema"), error


def test_the_walk_over_frames_does_find_a_password_that_is_in_one() -> None:
    """So that what is green above says something."""
    code = compile("def opens(url):\n    raise ValueError('no')", "elsewhere.py", "exec")
    scope: dict[str, Callable[[str], None]] = {}
    exec(code, scope)
    with pytest.raises(ValueError, match="no") as caught:
        scope["opens"](PASSWORDS[0])
    assert any(MARK in text for text in told(caught.value))


def test_a_database_shows_no_password_however_it_is_looked_at(tmp_path: Path) -> None:
    url = f"postgresql://user:{quote(PASSWORDS[1], safe='')}@localhost/app"
    for database in (Database(url), Database("postgresql://user@localhost/app", password=PASSWORDS[1])):
        assert_hidden(database, repr(database), database.url, vars(database), [vars(one) for one in [database]])
        for way in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled") as caught:
                way(database)
            assert_hidden(*told(caught.value))
    native = farm_db._native.Engine(url, {"password": PASSWORDS[0]}, '{"version": 1, "entities": []}')
    assert_hidden(repr(native), str(native), native.url, dir(native))
    with pytest.raises(TypeError) as refused:
        pickle.dumps(native)
    assert_hidden(*told(refused.value))
    # A manager's dict is what its maker gave it; the manager itself shows nothing of it.
    assert_hidden(repr(DatabaseManager({"url": url})))


# On servers that do ask for it.


@contextmanager
def account(backend: str, password: str, folder: Path) -> Generator[str]:
    """An empty database of a server, and a user with this password who may do everything."""
    import asyncio

    with temporary_url(backend, folder) as url:
        name = f"u{os.getpid()}{abs(hash(password)) % 10_000}"
        server = url if backend == "mongodb" else server_url(backend)
        text = password.replace("'", "''")
        make, remove = {
            "postgres": (
                [f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{text}'"],
                [f"DROP OWNED BY {name}", f"DROP ROLE {name}"],
            ),
            "mysql": (
                [f"CREATE USER {name}@'%' IDENTIFIED BY '{text}'", f"GRANT ALL PRIVILEGES ON *.* TO {name}@'%'"],
                [f"DROP USER {name}@'%'"],
            ),
            "mongodb": (
                [{"createUser": name, "pwd": password, "roles": ["readWrite", "dbAdmin"]}],
                [{"dropUser": name}],
            ),
        }[backend]
        asyncio.run(execute(server, *make))
        try:
            parts = urlsplit(url)
            place = parts.netloc.rpartition("@")[2]
            yield urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{place}"))
        finally:
            asyncio.run(execute(server, *remove))


@pytest.fixture(params=range(len(PASSWORDS)))
def password(request: pytest.FixtureRequest) -> str:
    return PASSWORDS[request.param]


@pytest.fixture(params=SERVERS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def own_url(backend: str, password: str, tmp_path: Path) -> Generator[str]:
    with account(backend, password, tmp_path) as url:
        yield url


async def test_a_connected_database_never_tells_its_password(own_url: str) -> None:
    async with Database(own_url, models=[User, Counter]) as database:
        users = database.repository(User)
        await users.create({"id": 1, "email": "a"})
        assert_hidden(repr(database), vars(database), database.url, database.capabilities, database.contract)
        assert_hidden(await database.health_check(), await database.get_stats(), database.pool_stats())
        assert_hidden(
            await database.introspect(),
            await users.find({"name": "x"}).explain(),
            repr(users),
            vars(database._engine) if hasattr(database._engine, "__dict__") else "",
        )
        wrong: list[Any] = [
            users.create({"id": 1, "email": "a"}),
            users.get(5),
            users.find({"nothing": 1}).to_list(),
            database.execute("SELEC 1" if database.backend != "mongodb" else {"nothing": 1}),
        ]
        for work in wrong:
            assert_hidden(*told(await failure(work)))
    assert_hidden(*told(await failure(users.get(1))), await database.health_check())


async def test_a_refused_login_does_not_tell_the_password_that_was_tried(own_url: str, password: str) -> None:
    right = quote(password, safe="")
    options: dict[str, Any] = (
        {"server_selection_timeout": 0.5} if own_url.startswith("mongodb") else {"connect_timeout": 5}
    )
    for url, more in [
        (own_url.replace(right, right + "-guess"), {}),
        (own_url.replace(f":{right}@", "@"), {"password": password + "-guess"}),
        (own_url, _encrypted(urlsplit(own_url).scheme)),
    ]:
        for way in (by_database, by_function, by_manager):
            error = await failure(way(url, models=[User], **options, **more))
            assert error.code == "connection_failed", error
            assert_hidden(*told(error))


TALKATIVE = """
import asyncio, faulthandler, logging, os, sys, warnings
logging.basicConfig(level=logging.DEBUG)
faulthandler.enable()
from support import Database, User

async def main():
    print(open("/proc/self/cmdline").read() if os.path.exists("/proc/self/cmdline") else sys.argv)
    async with Database(models=[User]) as database:
        users = database.repository(User)
        await users.create({"id": 1, "email": "a"})
        async with database.transaction() as tx:
            await users.get(1, tx=tx)
        print(database, database.url, await database.health_check(), await database.get_stats())
        # Never closed, and ended by an error that nobody catches.
        loose = Database(models=[User])
        await loose.connect()
        await users.get(7)

asyncio.run(main(), debug=True)
"""


def test_a_process_that_logs_all_it_can_tells_no_password(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RUST_LOG": "trace", "RUST_BACKTRACE": "full", "PYTHONASYNCIODEBUG": "1", "PYTHONDEVMODE": "1",
        "SQLX_LOG": "trace", "MONGODB_LOG_ALL": "trace", "MONGODB_LOG_PATH": "stderr", "DATABASE_URL": own_url,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    done = run_python(
        TALKATIVE.replace("import asyncio", "import warnings; warnings.simplefilter('default'); import asyncio", 1)
    )
    assert done.returncode == 1
    assert "NotFoundError" in done.stderr
    assert_hidden(done.stdout, done.stderr)
    assert MARK in environment()["DATABASE_URL"], "the child did have it"
