"""The packed npm packages in a new project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from extraction import ROOT, quick_start

pytestmark = pytest.mark.slow

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("FARM_DB", "DATABASE_", "npm_"))}
SEED = """
const { Database, defineModel, f } = require("@farm/db-native");
const Book = defineModel("books", {
  isbn: f.string().primaryKey(),
  title: f.string({ maxLength: 200 }).index(),
  year: f.int({ min: 1450 }),
  tags: f.list(f.string()).default([]),
});
(async () => {
  const db = await Database.connect("sqlite:///books.db", { models: [Book], createMissing: true });
  await db.repository(Book).createMany([
    { isbn: "1", title: "Effi Briest", year: 1895, tags: ["novel"] },
    { isbn: "2", title: "Momo", year: 1973, tags: ["novel"] },
  ]);
  await db.close();
})();
"""


def npm(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(["npm", *words], cwd=cwd, env=CLEAN, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The packages as they would be published, the addon built for release."""
    subprocess.run([sys.executable, ROOT / "scripts" / "prepare.py", "js", "release-addon"], check=True)
    folder = tmp_path_factory.mktemp("packed")
    (platform,) = (ROOT / "js" / "db-native" / "npm").iterdir()
    stage = folder / "platform"
    stage.mkdir()
    shutil.copy(platform / "package.json", stage)
    shutil.copy(ROOT / ".work" / "release" / "farm-db.node", stage)
    sources = [stage, *(ROOT / "js" / name for name in ("types", "db-native", "cli"))]
    return [
        folder / json.loads(npm("pack", "--json", "--pack-destination", folder, cwd=source))[0]["filename"]
        for source in sources
    ]


@pytest.fixture(scope="session")
def project(packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{"name": "app", "private": true}')
    npm("install", "--no-audit", "--no-fund", *packages, cwd=folder)
    return folder


@pytest.fixture
def seeded(project: Path) -> Path:
    for old in project.glob("books.db*"):
        old.unlink()
    (project / "seed.cjs").write_text(SEED)
    node(project, "seed.cjs")
    return project


def node(project: Path, *words: str) -> str:
    done = subprocess.run(["node", *words], cwd=project, env=CLEAN, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commonjs(source: str) -> str:
    """The same with `require` and without await at the top level."""
    first, rest = source.split("\n", 1)
    first = f"{first.replace('import', 'const').replace(' from ', ' = require(').removesuffix(';')});"
    return f"{first}\n(async () => {{\n{rest}}})();\n"


def test_the_packages_hold_what_they_must_and_nothing_else(packages: list[Path]) -> None:
    for package in packages:
        listed = subprocess.run(["tar", "tzf", package], capture_output=True, text=True, check=True).stdout.split()
        assert "package/package.json" in listed
        # Declarations are published, TypeScript sources and tests are not.
        sources = [name for name in listed if re.search(r"(?<!\.d)\.[mc]?ts$", name)]
        wrong = [*sources, *(name for name in listed if name.endswith((".test.js", ".tsbuildinfo")))]
        assert wrong == [], package.name


@pytest.mark.parametrize("form", ["mjs", "cjs"])
def test_the_node_quick_start_runs_in_a_new_project(seeded: Path, form: str) -> None:
    source = quick_start("node")
    (seeded / f"quick.{form}").write_text(source if form == "mjs" else commonjs(source))
    assert node(seeded, f"quick.{form}").splitlines() == ["1973 Momo", "1895 Effi Briest"]


def test_the_node_quick_start_is_typed_for_a_user(project: Path) -> None:
    (project / "quick.mts").write_text(quick_start("node") + "\nconst wrong: number = books[0]!.title;\n")
    # What a TypeScript project on Node has.
    types = ["--types", "node", "--typeRoots", str(ROOT / "node_modules" / "@types")]
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", *types]
    compiler = ROOT / "node_modules" / ".bin" / "tsc"
    done = subprocess.run([compiler, *options, "quick.mts"], cwd=project, env=CLEAN, capture_output=True, text=True)
    errors = [line for line in done.stdout.splitlines() if "error TS" in line]
    assert len(errors) == 1, done.stdout
    assert "'string' is not assignable to type 'number'" in errors[0]


def test_the_farm_command_runs_from_the_packed_package(seeded: Path) -> None:
    farm = seeded / "node_modules" / ".bin" / "farm"
    command = [farm, "db", "status", "--json", "--url", "sqlite:///books.db"]
    done = subprocess.run(command, cwd=seeded, env=CLEAN, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"name": "books", "rows": 2} in json.loads(done.stdout)["entities"]
