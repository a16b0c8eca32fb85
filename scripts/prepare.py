"""Brings what a make target needs: `python3 scripts/prepare.py STEP...`. Every step is done once (see workspace.py)."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import toolchain
from workspace import (
    ROOT,
    STAMPS,
    WORK,
    Failure,
    cargo_target,
    copy_atomically,
    output,
    run,
    say,
    step,
    triple,
    venv_python,
)

VENV = ROOT / ".venv"
DEMO = WORK / "demo"
BENCH = WORK / "bench"
DIST = ROOT / "dist"
MATURIN = VENV / "bin" / "maturin"
ADDON = WORK / "release" / "farm-db.node"
FLOORS = WORK / "release" / "farm-db-floors"
COUNTRIES = ROOT / "examples" / "countries"

CORE = ("core", "Cargo.toml", "Cargo.lock")
PYTHON_CRATE = (*CORE, "bindings-python", "pyproject.toml")
NODE_CRATE = (*CORE, "bindings-node")
REQUIREMENTS = "scripts/requirements/dev.txt"


# Virtual environments.


def make_venv(path: Path, *arguments: str | Path) -> None:
    """A virtual environment with these pip arguments installed, made anew where it is broken."""
    if not venv_python(path).exists() or not output(venv_python(path), "-c", "import pip; print('ok')"):
        shutil.rmtree(path, ignore_errors=True)
        run(sys.executable, "-m", "venv", path, quiet=True)
    pip(path, "install", *arguments)


def pip(path: Path, *arguments: str | Path) -> None:
    run(venv_python(path), "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", *arguments, quiet=True)


def venv() -> None:
    """`.venv`: the tools of development."""
    toolchain.check("python")
    step(
        "venv",
        "python: installing the tools of development into .venv",
        lambda: make_venv(VENV, "-r", ROOT / REQUIREMENTS),
        inputs=[REQUIREMENTS],
        facts=[sys.version, str(ROOT)],
        outputs=[venv_python(VENV), VENV / "bin" / "maturin"],
    )


# The Python module.


def module() -> None:
    """The Python package in `.venv`, editable, with a development build of the core."""
    venv()
    toolchain.check("rust")

    def work() -> None:
        environment = {"VIRTUAL_ENV": str(VENV), "PYTHONPATH": ""}
        run(MATURIN, "develop", "--locked", "--target", triple(), env=environment, quiet=True)

    step(
        "module",
        "python: building the native module (development)",
        work,
        inputs=PYTHON_CRATE,
        facts=[triple(), sys.version, str(ROOT)],
        outputs=[ROOT / "python" / "farm_db" / "_native.abi3.so"],
    )


def wheel() -> None:
    """`dist/*.whl`: the release wheel."""
    venv()
    toolchain.check("rust")

    def work() -> None:
        for old in DIST.glob("farm_db-*.whl"):
            old.unlink()
        run(MATURIN, "build", "--release", "--locked", "--target", triple(), "--out", DIST, quiet=True)

    if len(wheels()) != 1:
        (STAMPS / "wheel").unlink(missing_ok=True)
    step(
        "wheel",
        "python: building the release wheel (some minutes the first time)",
        work,
        inputs=[*PYTHON_CRATE, "python", "README.md", "LICENSE"],
        facts=[triple()],
    )


def wheels() -> list[Path]:
    return sorted(DIST.glob("farm_db-*.whl"))


def wheel_file() -> Path:
    """The wheel that `wheel` has built."""
    if len(wheels()) != 1:
        raise Failure(f"expected one wheel in dist/, found {len(wheels())}")
    return wheels()[0]


def wheel_venv(name: str, path: Path, requirements: str) -> None:
    """A virtual environment with the release wheel, as a user would have it."""
    wheel()

    def work() -> None:
        make_venv(path, "-r", ROOT / requirements, wheel_file())
        pip(path, "install", "--force-reinstall", "--no-deps", wheel_file())

    fact = (STAMPS / "wheel").read_text()
    title = f"python: installing the wheel and {requirements} into {path.relative_to(ROOT)}"
    step(name, title, work, inputs=[requirements], facts=[fact, sys.version, str(ROOT)], outputs=[venv_python(path)])


# The Node half.


def npm_install(folder: Path) -> None:
    """Exactly what the lock file says.

    Where a registry lacks builds of an optional package for other systems, the lock file lacks them too and `npm ci`
    refuses it; `npm install --no-save` takes the same versions and changes no file.
    """
    quietly = ["--no-audit", "--no-fund", "--loglevel=error"]
    if output("npm", "ci", "--dry-run", *quietly, cwd=folder):
        run("npm", "ci", *quietly, cwd=folder, quiet=True)
    else:
        run("npm", "install", "--no-save", *quietly, cwd=folder, quiet=True)


def npm() -> None:
    """`node_modules` as the lock file has it."""
    toolchain.check("node")
    step(
        "npm",
        "node: installing the packages of the lock file",
        lambda: npm_install(ROOT),
        inputs=["package-lock.json", "package.json", "js/*/package.json", "js/db-native/npm/*/package.json"],
        facts=[output("node", "--version")],
        outputs=[ROOT / "node_modules" / ".package-lock.json"],
    )


def js() -> None:
    """`js/*/dist`: the TypeScript packages, compiled."""
    npm()
    outputs = [ROOT / "js" / name / "dist" for name in ("types", "db-native", "cli")]
    work = lambda: run("npm", "run", "--silent", "build", quiet=True)  # noqa: E731
    step("js", "node: compiling TypeScript", work, inputs=["js", "package-lock.json"], outputs=outputs)


def addon() -> None:
    """The addon beside its package, a development build of the core."""
    npm()
    toolchain.check("rust")
    outputs = [ROOT / "js" / "db-native" / "npm" / toolchain.node_platform() / "farm-db.node"]
    work = lambda: run("npm", "run", "--silent", "build:addon", quiet=True)  # noqa: E731
    inputs = [*NODE_CRATE, "js/db-native/scripts", "package.json"]
    step("addon", "node: building the addon (development)", work, inputs=inputs, facts=[triple()], outputs=outputs)


def release_addon() -> None:
    """The addon as it is published, for the demonstration, benchmarks and packages."""
    toolchain.check("rust")

    def work() -> None:
        options = ["--release", "--locked", "--package", "farm-db-node", "--target", triple()]
        run("cargo", "build", *options, quiet=True)
        copy_atomically(cargo_target() / "release" / "libfarm_db_node.so", ADDON)

    facts = [triple()]
    title = "node: building the addon (release)"
    step("release-addon", title, work, inputs=NODE_CRATE, facts=facts, outputs=[ADDON])


# What make targets need.


def countries() -> None:
    """The data of the demonstration: npm's `world-countries`, and the files of its OpenAPI page, by the lock file."""
    toolchain.check("node")
    step(
        "countries",
        "node: installing world-countries and swagger-ui-dist",
        lambda: npm_install(COUNTRIES),
        inputs=["examples/countries/package-lock.json"],
        outputs=[COUNTRIES / "node_modules" / "world-countries" / "countries.json"],
    )


def demo() -> None:
    """Everything that `make demo` and `make serve` run."""
    wheel_venv("demo", DEMO, "examples/countries/requirements.txt")
    countries()
    release_addon()
    js()


def floors() -> None:
    """The bare drivers of the benchmark, built where the product is, whose compiled libraries they use again."""
    toolchain.check("rust")

    def work() -> None:
        place = ["--manifest-path", "benches/floors/Cargo.toml", "--target-dir", cargo_target().parent]
        run("cargo", "build", "--release", "--locked", "--target", triple(), *place, quiet=True)
        copy_atomically(cargo_target() / "release" / "farm-db-floors", FLOORS)

    step("floors", "rust: building the floors of the benchmark", work, inputs=["benches/floors"], outputs=[FLOORS])


def bench() -> None:
    """Everything that `make bench` runs."""
    wheel_venv("bench", BENCH, "benches/requirements.txt")
    release_addon()
    js()
    toolchain.check("c++")
    step(
        "bench-npm",
        "node: installing the contenders of the benchmark",
        lambda: npm_install(ROOT / "benches"),
        inputs=["benches/package-lock.json"],
        facts=[output("node", "--version")],
        outputs=[ROOT / "benches" / "node_modules"],
    )
    clients = ROOT / "benches" / "node_modules" / ".clients"
    step(
        "bench-prisma",
        "node: generating Prisma's clients",
        lambda: run("node", "benches/node/prisma.mjs", quiet=True),
        inputs=["benches/package-lock.json", "benches/node/prisma.mjs"],
        outputs=[clients / "sqlite", clients / "postgres", clients / "mysql"],
    )
    floors()


def test() -> None:
    """Everything that the fast tests run."""
    module()
    addon()
    js()


def lint() -> None:
    """Everything that the linters read."""
    module()
    js()


def build() -> None:
    """The release wheel and addon."""
    wheel()
    release_addon()
    js()
    say(f"wheel: {wheel_file().relative_to(ROOT)}")
    say(f"addon: {ADDON.relative_to(ROOT)}")


STEPS: dict[str, Callable[[], None]] = {
    "venv": venv,
    "module": module,
    "wheel": wheel,
    "npm": npm,
    "js": js,
    "addon": addon,
    "release-addon": release_addon,
    "countries": countries,
    "demo": demo,
    "floors": floors,
    "bench": bench,
    "test": test,
    "lint": lint,
    "build": build,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in STEPS]
    if unknown or not names:
        print(f"usage: prepare.py STEP...   steps: {', '.join(STEPS)}", file=sys.stderr)
        return 2
    try:
        for name in names:
            STEPS[name]()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
