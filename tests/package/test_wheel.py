"""The release wheel in a new virtual environment, with nothing but what it declares."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import downloads
import pytest
from benches import instructions, start
from extraction import ROOT, quick_start
from servers import free_port

pytestmark = pytest.mark.slow

#: Nothing of this project may be found by accident.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "FARM_DB"))}


@pytest.fixture(scope="session")
def wheel() -> Path:
    subprocess.run([sys.executable, ROOT / "scripts" / "prepare.py", "wheel"], check=True)
    (found,) = (ROOT / "dist").glob("farm_db-*.whl")
    return found


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and its dependencies."""
    home = tmp_path_factory.mktemp("wheel") / "venv"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    pip(home / "bin" / "python", "install", wheel)
    return home / "bin" / "python"


def pip(python: Path, *arguments: str | Path) -> None:
    subprocess.run([python, "-m", "pip", "-q", "--disable-pip-version-check", *arguments], check=True, env=CLEAN)


def test_the_wheel_is_one_for_all_pythons_and_has_types_and_the_licence(wheel: Path) -> None:
    assert "cp311-abi3" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "farm_db/py.typed" in names
    assert "farm_db/_native.pyi" in names
    assert [name for name in names if name.endswith(".so")] == ["farm_db/_native.abi3.so"]
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 12_000_000


def test_the_package_is_imported_and_answers_at_once(python: Path) -> None:
    """In an app that has a Pydantic model and asyncio: how long those take to import is not ours to say."""
    found = start.measure(python, rounds=15)
    print(json.dumps(found, indent=1))
    for name, (key, bound) in start.BOUNDS.items():
        assert found[name][key] < bound, found
    # By itself it costs little more than Pydantic with a model.
    assert found["import"]["cpu_ms"] - found["pydantic"]["cpu_ms"] < 60, found


def test_what_takes_a_tenth_more_than_its_budget_is_told() -> None:
    allowed = {"get": 1_000, "insert": 2_000}
    assert instructions.over({"get": 1_100, "insert": 1_000}, allowed) == []
    assert instructions.over({"get": 1_101, "insert": 2_200}, allowed) == [
        "get: 1,101 instructions, the budget is 1,000 and 10%"
    ]


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_a_call_takes_no_more_instructions_than_its_budget(python: Path, tmp_path: Path, backend: str) -> None:
    """`python -m benches.instructions --write` makes a new budget, for those who can say why it grew."""
    allowed = instructions.budget().get(backend)
    if allowed is None:
        pytest.skip(f"benches/budget.json has no budget for {instructions.key()}")
    url = instructions.databases(tmp_path).get(backend)
    if url is None:
        pytest.skip("FARM_TEST_POSTGRES_URL is not set")
    counted = instructions.count(python, url, downloads.program("valgrind"))
    print(counted)
    assert not instructions.over(counted, allowed)
    # It would be told if one of them had grown by more than a tenth since the budget was made.
    grown = instructions.over(counted, {name: round(count / 1.11) for name, count in counted.items()})
    assert [line.partition(":")[0] for line in grown] == list(counted)
    # A budget that is far too large would hold nothing.
    assert all(counted[name] > bound * 0.75 for name, bound in allowed.items()), (counted, allowed)


def test_the_wheel_works_with_only_what_it_declares(python: Path, tmp_path: Path) -> None:
    program = """
import asyncio, importlib.util
from farm_db import Database, Document, Field, FarmDbError

class Note(Document, table="notes"):
    id: int | None = Field(default=None, primary_key=True, generated="auto_increment")
    text: str

async def main():
    async with Database("sqlite:///notes.db", models=[Note]) as db:
        notes = db.repository(Note)
        await notes.create_many([{"text": str(n)} for n in range(1000)])
        print(await notes.count(), (await notes.find_one({"text": "7"})).id)

assert importlib.util.find_spec("fastapi") is None
asyncio.run(main())
"""
    done = subprocess.run([python, "-c", program], cwd=tmp_path, env=CLEAN, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["1000", "8"], done.stderr


@pytest.fixture
def served(python: Path, tmp_path: Path) -> Iterator[str]:
    """The FastAPI quick start under uvicorn in an empty folder, as the README tells it."""
    pip(python, "install", "-r", ROOT / "examples" / "countries" / "requirements.txt")
    (tmp_path / "app.py").write_text(quick_start("python"))
    port = free_port()
    command = [python, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=tmp_path, env=CLEAN)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert ask(f"{address}/health/ready") == (200, {"status": "ready"})
                break
            except urllib.error.URLError:
                assert process.poll() is None, "the app ended"
                assert time.monotonic() < deadline, "the app did not come up"
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        # uvicorn shuts down, then ends by the signal that it was sent.
        assert process.wait(20) in (0, -signal.SIGTERM)


def ask(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_the_fastapi_quick_start_runs_from_an_empty_folder(served: str, tmp_path: Path) -> None:
    book = {"isbn": "978", "title": "Momo", "year": 1973, "tags": ["novel"]}
    assert ask(f"{served}/books", book) == (201, book)
    status, answer = ask(f"{served}/books", book)
    assert (status, answer["error"]["code"]) == (409, "unique_violation")
    assert ask(f"{served}/books?since=1970") == (200, [book])
    assert (tmp_path / "books.db").stat().st_size > 0


def test_a_type_checker_of_a_user_finds_the_types(python: Path, tmp_path: Path) -> None:
    program = "import farm_db\nreveal_type(farm_db.Database)\nx: int = farm_db.__version__\n"
    (tmp_path / "user.py").write_text(program)
    mypy = shutil.which("mypy", path=Path(sys.executable).parent)
    assert mypy
    command = [mypy, "--python-executable", python, "--no-incremental", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, env=CLEAN, capture_output=True, text=True)
    assert "farm_db.database.Database" in done.stdout
    assert "Incompatible types in assignment" in done.stdout
    assert "Found 1 error" in done.stdout
