"""Every linter, formatter and type checker; `--fix` formats instead of complaining. Exit code 1 when one complains."""

from __future__ import annotations

import subprocess
import sys
import time

from workspace import ROOT, cargo_target, output, say, triple

VENV = ROOT / ".venv" / "bin"
#: Python beside the package itself, which `[tool.ruff]` and `[tool.mypy]` in pyproject.toml cover.
TOOLS = ["scripts", "examples", "benches", "tests/readme", "tests/package", "tests/faults"]
#: What the tests share, too.
TOOLS += [f"tests/{name}.py" for name in ("exits", "leaks", "plain_rows", "sessions", "stateful")]
#: Docstrings need not stand on every test and script, and scripts start processes and print.
TOOL_RULES = "ASYNC,B,C4,E,F,FURB,I,PERF,PIE,RET,RUF,SIM,UP,W"
#: The floors of the benchmark, a workspace of their own.
FLOORS = "benches/floors/Cargo.toml"
#: A file beyond this is split.
LONGEST = 800

Check = tuple[str, list[str]]


def checks(fix: bool) -> list[Check]:
    """Each check with its command."""
    ruff = str(VENV / "ruff")
    biome = ["npm", "run", "--silent", "format" if fix else "lint"]
    found: list[Check] = []
    if output("cargo", "fmt", "--version"):
        found.append(("rust: format", ["cargo", "fmt", "--all", *([] if fix else ["--check"])]))
        found.append(
            ("rust: format, floors", ["cargo", "fmt", "--manifest-path", FLOORS, *([] if fix else ["--check"])])
        )
    if not fix and output("cargo", "clippy", "--version"):
        clippy = ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "-q", "--target", triple()]
        found.append(("rust: clippy", [*clippy, "--", "-D", "warnings"]))
        place = ["--manifest-path", FLOORS, "--target-dir", str(cargo_target().parent)]
        clippy = ["cargo", "clippy", "--locked", "-q", "--target", triple(), *place]
        found.append(("rust: clippy, floors", [*clippy, "--", "-D", "warnings"]))
    own = ["--select", TOOL_RULES, "--ignore", "RUF012,SIM905", *TOOLS]
    found += [
        ("python: ruff", [ruff, "check", "-q", "python", "tests/python", *(["--fix"] if fix else [])]),
        ("python: ruff, tools", [ruff, "check", "-q", *own, *(["--fix"] if fix else [])]),
        ("python: format", [ruff, "format", "-q", *([] if fix else ["--check"]), "python", "tests/python", *TOOLS]),
        ("node: biome", biome),
    ]
    if not fix:
        found += [
            ("python: mypy", [str(VENV / "mypy"), "--no-error-summary"]),
            ("python: pyright, a user's code", ["npm", "exec", "--", "pyright", "--pythonpath", str(VENV / "python")]),
            ("node: types", ["npm", "run", "--silent", "typecheck"]),
        ]
    return found


def too_long() -> list[str]:
    """Source files of more lines than a file may have."""
    listed = output("git", "ls-files", "-co", "--exclude-standard", "*.rs", "*.py", "*.ts", "*.mjs").splitlines()
    counted = {name: (ROOT / name).read_bytes().count(b"\n") for name in listed if (ROOT / name).is_file()}
    return [f"{name}: {lines} lines, more than {LONGEST}" for name, lines in counted.items() if lines > LONGEST]


def main() -> int:
    fix = "--fix" in sys.argv[1:]
    failed: list[str] = []
    for name, command in checks(fix):
        say(name)
        began = time.monotonic()
        if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode != 0:
            failed.append(name)
        if (seconds := time.monotonic() - began) > 10:
            say(f"  {seconds:.0f} s")
    for line in too_long():
        print(line)
        failed.append("length of files")
    if failed:
        print(f"lint failed: {', '.join(dict.fromkeys(failed))}", file=sys.stderr)
        return 1
    say("everything formatted" if fix else "nothing to complain about")
    return 0


if __name__ == "__main__":
    sys.exit(main())
