"""The pytest fixture `farm_db` and `farm_db.testing`, as a user's tests use them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from farm_db import DatabaseClosedError
from farm_db.testing import temporary_database
from support import User, environment


async def test_the_fixture_gives_a_connected_database_with_the_models(farm_db: Any) -> None:
    async with farm_db([User]) as database:
        assert database.connected
        await User(id=1, email="e").insert()
        assert await User.count() == 1
    assert not database.connected


@pytest.mark.parametrize("round", [1, 2])
async def test_each_test_has_a_database_of_its_own(farm_db: Any, round: int) -> None:
    async with farm_db([User]) as database:
        assert await database.repository(User).count() == 0
        await database.repository(User).create({"id": 1, "email": "e"})


async def test_the_fixture_takes_a_url_and_options(farm_db: Any) -> None:
    async with farm_db([User], "sqlite::memory:", validate_on_read=True, name="mine") as database:
        assert "mine" in repr(database)
        assert await database.repository(User).count() == 0


async def test_rows_survive_within_one_test_when_the_database_is_opened_again(farm_db: Any, tmp_path: Path) -> None:
    async with farm_db([User]):
        await User(id=1, email="e").insert()
    async with farm_db([User]):
        assert await User.count() == 1
    assert any(name.endswith(".db") for name in os.listdir(tmp_path))


async def test_a_failing_block_closes_the_database(farm_db: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with farm_db([User]) as database:
            raise ZeroDivisionError
    with pytest.raises(DatabaseClosedError):
        await database.repository(User).count()


async def test_a_temporary_database_leaves_nothing_behind() -> None:
    async with temporary_database([User]) as database:
        path = Path(database.url.removeprefix("sqlite:///"))
        path = path if path.is_absolute() else Path("/") / path
        await User(id=1, email="e").insert()
        assert path.is_file()
    assert not path.exists()
    assert not path.parent.exists()


@pytest.mark.slow
@pytest.mark.parametrize("style", ["asyncio", "anyio", "plain"])
def test_the_plugin_works_in_a_project_of_its_own_with_every_style_of_async_test(tmp_path: Path, style: str) -> None:
    mark = {"asyncio": "@pytest.mark.asyncio", "anyio": "@pytest.mark.anyio", "plain": ""}[style]
    body = """
import asyncio
import pytest
from support import User

async def check(farm_db):
    async with farm_db([User]) as database:
        await database.repository(User).create({"id": 1, "email": "e"})
        assert await User.count() == 1
"""
    if style == "plain":
        body += "\ndef test_it(farm_db):\n    asyncio.run(check(farm_db))\n"
    else:
        body += f"\n{mark}\nasync def test_it(farm_db):\n    await check(farm_db)\n"
    (tmp_path / "test_mine.py").write_text(body)
    # anyio's own fixture would run every test on trio too.
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    if not _installed():
        command += ["-p", "farm_db.pytest_plugin"]
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        command, cwd=tmp_path, env=environment() | {"HOME": os.environ.get("HOME", "/")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "farm_db.pytest_plugin" for point in entry_points(group="pytest11"))
