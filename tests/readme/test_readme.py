"""The quick starts of the README do what it says."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from extraction import ROOT, quick_start
from fastapi.testclient import TestClient

NOVELS = [
    {"isbn": "1", "title": "Effi Briest", "year": 1895, "tags": ["novel"]},
    {"isbn": "2", "title": "Momo", "year": 1973, "tags": ["novel", "children"]},
    {"isbn": "3", "title": "Faust", "year": 1808, "tags": ["play"]},
]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("readme_app")
    # FastAPI resolves annotations through the module of a function.
    monkeypatch.setitem(sys.modules, "readme_app", module)
    exec(compile(quick_start("python"), "README.md", "exec"), module.__dict__)
    with TestClient(module.app) as client:
        yield client


def stock(client: TestClient) -> None:
    for book in NOVELS:
        assert client.post("/books", json=book).status_code == 201


def test_the_quick_starts_are_as_short_as_they_say() -> None:
    def lines(name: str) -> int:
        return sum(1 for line in quick_start(name).splitlines() if line.strip())

    assert lines("python") <= 20
    assert lines("node") <= 10


def test_the_fastapi_quick_start_stores_and_finds_books(client: TestClient) -> None:
    stock(client)
    assert [book["title"] for book in client.get("/books").json()] == ["Momo", "Effi Briest"]
    assert [book["title"] for book in client.get("/books?since=1900").json()] == ["Momo"]
    assert [book["title"] for book in client.get("/books?tag=play").json()] == ["Faust"]


def test_the_fastapi_quick_start_answers_errors_with_their_status(client: TestClient) -> None:
    stock(client)
    duplicate = client.post("/books", json=NOVELS[0])
    assert duplicate.status_code == 409
    assert duplicate.json()["error"]["code"] == "unique_violation"
    assert client.post("/books", json={**NOVELS[0], "isbn": "4", "year": 1}).status_code == 422


def test_the_fastapi_quick_start_has_health_routes(client: TestClient) -> None:
    for path in ("live", "ready", "db"):
        assert client.get(f"/health/{path}").status_code == 200


def test_the_fastapi_quick_start_has_an_openapi_page(client: TestClient) -> None:
    assert "/books" in client.get("/openapi.json").json()["paths"]
    assert client.get("/docs").status_code == 200


@pytest.mark.parametrize("form", ["esm", "commonjs"])
def test_the_node_quick_start_reads_what_python_stored(client: TestClient, tmp_path: Path, form: str) -> None:
    stock(client)
    source = quick_start("node")
    if form == "commonjs":
        first, rest = source.split("\n", 1)
        source = f"{first.replace('import', 'const').replace(' from ', ' = require(')[:-1]});\n"
        source += f"(async () => {{\n{rest}}})();\n"
    # Inside the project, so that the workspace's packages are found.
    script = ROOT / ".work" / f"readme-{form}.{'mjs' if form == 'esm' else 'cjs'}"
    script.parent.mkdir(exist_ok=True)
    script.write_text(source)
    done = subprocess.run(["node", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1973 Momo", "1895 Effi Briest"]


def test_the_farm_command_of_the_readme_reads_the_file(client: TestClient, tmp_path: Path) -> None:
    stock(client)
    farm = ROOT / "js" / "cli" / "bin" / "farm.js"
    command = ["node", farm, "db", "status", "--json", "--url", "sqlite:///books.db"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert {"name": "books", "rows": 3} in report["entities"]


def test_every_make_target_of_the_documents_exists() -> None:
    import re

    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", "examples/countries/README.md", "benches/README.md"):
        text = (ROOT / name).read_text()
        named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", text, re.MULTILINE))
        for target in {one for pair in named for one in pair if one}:
            assert target in targets, f"{name} speaks of `make {target}`"


def test_links_between_documents_lead_somewhere() -> None:
    import re

    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md"), *ROOT.glob("benches/*.md")]
    for document in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            with contextlib.suppress(ValueError):
                assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} links to {target}"
