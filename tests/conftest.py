"""What all Python tests share: the plugin of the package, the marker of slow tests, and the settings of hypothesis."""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import inspect
import os
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from backends import BACKENDS, capabilities, temporary_url
from farm_db import Database, pytest_plugin

# How servers are started is known there.
sys.path.append(str(Path(__file__).parent.parent / "scripts"))

settings.register_profile(
    "farm_db",
    deadline=None,
    max_examples=int(os.environ.get("FARM_DB_EXAMPLES", "50")),
    # A database is made once a test, not once an example: examples clean up after themselves.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("farm_db")


#: Seconds after which an async test that waits for ever fails; twice as long after which one that blocks its thread
#: ends the run with the stack of every thread.
PATIENCE, SLOW_PATIENCE, LONG_PATIENCE = int(os.environ.get("FARM_DB_PATIENCE", "60")), 600, 3600
_stderr = -1


def pytest_configure(config: pytest.Config) -> None:
    global _stderr
    # Before tests are captured.
    _stderr = os.dup(2)
    config.addinivalue_line("markers", "every_backend: runs once for each backend")
    config.addinivalue_line("markers", "needs(*facts): in a module of every backend, runs where these are declared")
    config.addinivalue_line("markers", "only(*backends): in a module of every backend, runs for these")
    config.addinivalue_line("markers", "alone: measures time, so nothing may run beside it")
    config.addinivalue_line("markers", "long: takes minutes; only `make soak` runs it")
    config.addinivalue_line("markers", "slow: takes more than a few seconds; left out by `make test-fast`")
    # An installed package brings its plugin along; one that is only on the path does not.
    if not config.pluginmanager.is_registered(pytest_plugin):
        config.pluginmanager.register(pytest_plugin, "farm_db")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--few", action="store_true", help="on servers, only the modules that say most about a backend")


#: What `--few` keeps of the tests that run on a server.
TELLING = {"test_repository"}


def _is_on_server(item: pytest.Item) -> bool:
    chosen = item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    return any(one in BACKENDS[1:] for one in chosen if isinstance(one, str))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--few"):
        left_out = [item for item in items if _is_on_server(item) and item.path.stem not in TELLING]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _patient(item.obj, _patience(item))


def _patience(item: Any) -> int:
    if item.get_closest_marker("long") is not None:
        return LONG_PATIENCE
    return PATIENCE if item.get_closest_marker("slow") is None else SLOW_PATIENCE


def _patient(test: Any, seconds: int) -> Any:
    @functools.wraps(test)
    async def limited(*arguments: Any, **named: Any) -> None:
        async with asyncio.timeout(seconds):
            await test(*arguments, **named)

    return limited


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of a module that is marked `every_backend` runs once for each, if it asks for a URL."""
    only = metafunc.definition.get_closest_marker("only")
    if "url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_backend"):
        wanted = {name for marker in metafunc.definition.iter_markers("needs") for name in marker.args}
        chosen = [name for name in (only.args if only else BACKENDS) if all(capabilities(name)[one] for one in wanted)]
        if metafunc.config.getoption("--few") and metafunc.definition.path.stem not in TELLING:
            # Not made only to be left out. A test of servers alone is: without any parameter it would count as skipped.
            chosen = [name for name in chosen if name == BACKENDS[0]] or chosen
        metafunc.parametrize("url", chosen, indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """An empty database: a SQLite file that does not exist yet, or one of a private server."""
    with temporary_url(getattr(request, "param", "sqlite"), tmp_path) as url:
        yield url


@pytest.fixture
def mongod_url(tmp_path: Path) -> Generator[str]:
    """An empty database of the private MongoDB, whatever backend is tested."""
    with temporary_url("mongodb", tmp_path) as url:
        yield url


@pytest.fixture
async def mongod(mongod_url: str) -> AsyncGenerator[Database]:
    """That database, for native commands: the oracle."""
    async with Database(mongod_url, models=[], contract="off") as database:
        yield database


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on a database that the developer's shell names."""
    for name in ("DATABASE_URL", "DATABASE_TYPE", "SQLITE_PATH", "MONGO_URI", "POSTGRES_HOST", "MYSQL_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_hanging(request: pytest.FixtureRequest) -> Generator[None]:
    """A test that hangs says where, and fails the run instead of stopping it for good."""
    faulthandler.dump_traceback_later(2 * _patience(request.node), exit=True, file=_stderr)
    yield
    faulthandler.cancel_dump_traceback_later()
