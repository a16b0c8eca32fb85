"""The documents agree with the code: tables, error codes, and every block of Python runs."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import types
from pathlib import Path

import pytest
from extraction import ROOT, blocks

import farm_db
from farm_db import _native

DOCUMENTS = ["docs/models.md", "docs/queries.md"]


def documented_errors() -> list[tuple[str, str, str, str, str]]:
    row = re.compile(r"^\| `(\w+)` \| `(\w+)Error` \| (yes|no) \| (\d+) \| (.+) \|$", re.MULTILINE)
    return row.findall((ROOT / "docs" / "errors.md").read_text())


def test_the_table_of_errors_is_that_of_the_native_module() -> None:
    table = [
        (code, name, "yes" if retryable else "no", str(status), meaning)
        for name, code, retryable, status, meaning in _native.error_table()
    ]
    assert documented_errors() == table


def test_every_documented_error_is_a_class_of_the_package() -> None:
    for code, name, retryable, status, _ in documented_errors():
        kind = getattr(farm_db, f"{name}Error")
        assert (kind.code, kind.retryable, kind.http_status) == (code, retryable == "yes", int(status))


def test_every_documented_error_is_in_the_union_of_typescript() -> None:
    source = (ROOT / "js" / "db-native" / "src" / "error.ts").read_text()
    codes = set(re.findall(r"^\s+(\w+): ", source, re.MULTILINE))
    for code, *_ in documented_errors():
        assert code in codes


def test_the_tables_are_written_from_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import documents

    assert documents.outdated(write=False) == [], "run python3 scripts/documents.py"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_python_of_a_document_runs_from_top_to_bottom(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("document")
    monkeypatch.setitem(sys.modules, "document", module)

    async def run() -> None:
        for line, block in blocks(ROOT / name, "python"):
            # Errors are shown with the document's own line.
            source = "\n" * (line - 1) + block
            code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, module.__dict__)
            if inspect.iscoroutine(result):
                await result

    asyncio.run(run())


@pytest.mark.parametrize(
    "option", ["busy_timeout=10", "synchronous=full", "max_size=3", "poolSize=3", "pool-timeout-ms=500"]
)
def test_documented_options_are_understood(option: str) -> None:
    assert _native.parse_url(f"sqlite:///x.db?{option}")["backend"] == "sqlite"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///app.db",
        "sqlite:app.db",
        "sqlite:////var/lib/app.db",
        "sqlite::memory:",
        "sqlite://",
        "sqlite+aiosqlite:///app.db",
        "sqlite3:///app.db",
        "postgresql://user:secret@host/app",
        "postgres://host/app",
        "mysql://host/app",
        "mariadb://host/app",
        "mongodb://host/app",
        "mongodb+srv://host/app",
    ],
)
def test_documented_urls_are_understood(url: str) -> None:
    document = (ROOT / "docs" / "configuration.md").read_text()
    assert url.split(":", 1)[0] in document
    assert "secret" not in _native.parse_url(url)["url"]
