"""Runs every test of every language and ends with one line: `N passed, N failed, N skipped`.

The runners' output is passed on as it comes; the numbers are read from the reports that they write (JUnit, JSON). A
runner that fails, or runs no test at all, fails the whole. `--fast` leaves out slow tests and those of the packages.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import servers
from workspace import REPORTS, ROOT, WORK, Failure, output, say, triple, venv_python

PYTHON = venv_python(ROOT / ".venv")
#: What `--fast` leaves of generated cases, and of backends for Node.
FEWER = {"FARM_ORACLE_CASES": "100", "FARM_DB_EXAMPLES": "20", "FARM_TEST_FEW": "1", "PROPTEST_CASES": "50"}


@dataclass
class Outcome:
    """What one runner did."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    #: Why the run counts as failed although no test did.
    problem: str = ""
    seconds: float = 0.0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass
class Runner:
    """A command, and how its report is read."""

    name: str
    command: list[str]
    read: Callable[[], Outcome]
    report: Path | None = None
    slow: bool = False
    #: Doctests: there need not be any.
    may_be_empty: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def run(self) -> Outcome:
        say(f"{self.name}")
        if self.report:
            self.report.unlink(missing_ok=True)
        began = time.monotonic()
        code = self.execute()
        try:
            outcome = self.read()
        except (OSError, ValueError, ElementTree.ParseError, KeyError):
            outcome = Outcome(problem="it left no readable report")
        outcome.seconds = time.monotonic() - began
        if outcome.passed + outcome.failed == 0 and not outcome.problem and not self.may_be_empty:
            outcome.problem = "it ran no test"
        if code != 0 and outcome.failed == 0:
            outcome.problem = f"it ended with {code}" + (f": {outcome.problem}" if outcome.problem else "")
        return outcome

    def execute(self) -> int:
        environment = {**os.environ, **self.environment}
        return subprocess.run(self.command, cwd=ROOT, stdin=subprocess.DEVNULL, env=environment).returncode


class Libtest(Runner):
    """Cargo's own test runner, which reports nothing but text: its closing lines are added up."""

    text = ""

    def execute(self) -> int:
        pipe, errors = subprocess.PIPE, subprocess.STDOUT
        process = subprocess.Popen(
            self.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=pipe, stderr=errors, text=True
        )
        assert process.stdout
        lines = []
        for line in process.stdout:
            sys.stdout.write(line)
            lines.append(line)
        sys.stdout.flush()
        self.text = "".join(lines)
        return process.wait()

    def added_up(self) -> Outcome:
        total = Outcome()
        for found in re.findall(r"^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored", self.text, re.MULTILINE):
            passed, failed, ignored = map(int, found)
            total = total + Outcome(passed, failed, ignored)
        return total


def junit(path: Path) -> Outcome:
    """A JUnit report, of pytest or nextest."""
    outcome = Outcome()
    for case in ElementTree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            outcome.failed += 1
        elif "skipped" in kinds:
            outcome.skipped += 1
        else:
            outcome.passed += 1
    return outcome


def vitest(path: Path) -> Outcome:
    """Vitest's JSON report; a file that could not be loaded counts as a failure."""
    report = json.loads(path.read_text())
    skipped = report["numPendingTests"] + report.get("numTodoTests", 0)
    broken = sum(1 for suite in report["testResults"] if suite["status"] == "failed" and not suite["assertionResults"])
    return Outcome(report["numPassedTests"], report["numFailedTests"] + broken, skipped)


def rust() -> list[Runner]:
    target = ["--target", triple(), "--locked"]
    if not output("cargo", "nextest", "--version"):
        command = ["cargo", "test", "-p", "farm-db-core", *target, "--lib", "--tests"]
        plain = Libtest("rust: cargo test", command, Outcome)
        plain.read = plain.added_up
        return [plain, *documentation(target)]
    report = ROOT / ".work" / "nextest" / "default" / "junit.xml"
    command = ["cargo", "nextest", "run", "-p", "farm-db-core", *target, "--config-file", "scripts/nextest.toml"]
    return [Runner("rust: cargo nextest", command, lambda: junit(report), report), *documentation(target)]


def documentation(target: list[str]) -> list[Runner]:
    """Examples in comments, which nextest does not run."""
    command = ["cargo", "test", "-q", "-p", "farm-db-core", *target, "--doc"]
    doctests = Libtest("rust: documentation examples", command, Outcome, slow=True, may_be_empty=True)
    doctests.read = doctests.added_up
    return [doctests]


def pytest(name: str, file: str, paths: list[str], *options: str, slow: bool = False) -> Runner:
    report = REPORTS / f"{file}.xml"
    command = [str(PYTHON), "-m", "pytest", *paths, f"--junitxml={report}", "-q", "-p", "no:cacheprovider", *options]
    return Runner(name, command, lambda: junit(report), report, slow)


def alone(fast: bool) -> Runner:
    """The tests that measure time, only from files that have some: collecting all takes as long as they do."""
    files = sorted((ROOT / "tests" / "python").glob("test_*.py"))
    paths = [str(path.relative_to(ROOT)) for path in files if "mark.alone" in path.read_text()]
    chosen = ["-m", "alone and not slow", "--few"] if fast else ["-m", "alone"]
    return pytest("python: pytest, one at a time", "alone", paths, *chosen)


def node() -> Runner:
    report = REPORTS / "vitest.json"
    command = ["npx", "--no-install", "vitest", "run", "--config", "tests/node/vitest.config.ts"]
    command += ["--reporter=default", "--reporter=json", f"--outputFile.json={report}"]
    return Runner("node: vitest", command, lambda: vitest(report), report)


def runners(fast: bool) -> list[Runner]:
    quick = ["-m", "not slow"] if fast else []
    among = "not alone and not slow" if fast else "not alone"
    few = ["--few"] if fast else []
    found = [
        *rust(),
        # By file, because the databases of the shared cases are made once a file.
        pytest("python: pytest", "pytest", ["tests/python"], "-n", "2", "--dist", "loadfile", "-m", among, *few),
        alone(fast),
        pytest("python: faults", "faults", ["tests/faults"], "-m", "not slow", slow=True),
        node(),
        pytest("documents: pytest", "readme", ["tests/readme"], *quick),
        pytest("packages: pytest", "package", ["tests/package"], slow=True),
    ]
    return [runner for runner in found if not (fast and runner.slow)]


def prepare(fast: bool, stack: ExitStack) -> None:
    """The environment of the runners."""
    # Bytecode, with the asserts that pytest rewrites, is kept even where it may not be written beside the source.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(WORK / "bytecode")
    os.environ.update(stack.enter_context(servers.running()))
    if fast:
        for name, value in FEWER.items():
            os.environ.setdefault(name, value)
        # Every test makes a file, and making one waits for the disk longer than most tests take; `make test` does wait.
        os.environ["TMPDIR"] = str(stack.enter_context(servers.temporary_folder()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="without slow tests and those of the packages")
    parser.add_argument("--only", metavar="WORD", help="only runners whose name has this in it")
    arguments = parser.parse_args()
    REPORTS.mkdir(parents=True, exist_ok=True)
    chosen = [runner for runner in runners(arguments.fast) if (arguments.only or "") in runner.name]
    try:
        with ExitStack() as stack:
            prepare(arguments.fast, stack)
            outcomes = {runner.name: runner.run() for runner in chosen}
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 3

    width = max((len(name) for name in outcomes), default=0)
    print(f"\n{'-' * min(78, shutil.get_terminal_size().columns)}")
    for name, outcome in outcomes.items():
        problem = f"   PROBLEM: {outcome.problem}" if outcome.problem else ""
        print(f"{name:<{width}}  {outcome}  ({outcome.seconds:.0f} s){problem}")
    problems = sum(1 for outcome in outcomes.values() if outcome.problem)
    total = sum(outcomes.values(), Outcome())
    # A runner that could not do its work is a failure of its own: the sum must not look green.
    total.failed += problems
    print(total, flush=True)
    return 1 if total.failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
