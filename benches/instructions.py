"""How many instructions one call takes, from Python to the driver and back, in all threads of the process.

Counted by callgrind, so that a busy machine changes nothing. `budget.json` holds what they may be for one Python;
`python -m benches.instructions` compares, `--write` makes what was counted the budget. Needs no peers.
On SQLite a get takes the way over the connection's thread here: Valgrind makes it too slow to be made at once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUDGET = Path(__file__).resolve().parent / "budget.json"
#: What is counted, and how often it is called for that.
CALLS = {"get": 200, "find_50": 40, "insert": 200}
#: How far above its budget a count may be.
MARGIN = 0.10


def count(python: str | Path, url: str, valgrind: Path) -> dict[str, int]:
    """Instructions of one call each of `CALLS`.

    Args:
        python: An interpreter that has farm_db.
        url: A database that may be written into; it should be new.
        valgrind: The folder into which Valgrind's package was unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="farm-db-counted-") as folder:
        place = Path(folder)
        kept = (name for name in os.environ if name == "PYTHONPATH" or not name.startswith("PYTHON"))
        environment = {name: os.environ[name] for name in kept}
        environment |= {"PYTHONHASHSEED": "0", "FARM_COUNTED_URL": url}
        environment["VALGRIND_LIB"] = str(valgrind / "usr/libexec/valgrind")
        command = [str(valgrind / "usr/bin/valgrind.bin"), "--tool=callgrind", f"--callgrind-out-file={place / 'out'}"]
        command += [f"--vgdb-prefix={place / 'vgdb'}", f"--log-file={place / 'log'}"]
        command += [str(python), "-m", "benches.counted"]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                steps = _steps(process, valgrind, place)
            finally:
                process.kill()
        return steps


def _steps(process: subprocess.Popen[str], valgrind: Path, place: Path) -> dict[str, int]:
    assert process.stdin
    assert process.stdout
    counts: dict[str, int] = {}
    for number, (name, calls) in enumerate(CALLS.items(), 1):
        for expected, order in ((name, "zero"), ("done", "dump")):
            line = process.stdout.readline().strip()
            if line != expected:
                raise RuntimeError(f"the counted process said {line!r} instead of {expected!r}")
            told = [str(valgrind / "usr/bin/vgdb"), f"--vgdb-prefix={place / 'vgdb'}", f"--pid={process.pid}", order]
            subprocess.run(told, check=True, capture_output=True, timeout=120)
            process.stdin.write("\n")
            process.stdin.flush()
        found = re.search(r"^totals: (\d+)", (place / f"out.{number}").read_text(), re.MULTILINE)
        assert found
        counts[name] = round(int(found[1]) / calls)
    return counts


def budget() -> dict[str, dict[str, int]]:
    """The budget of this Python by backend and call; empty where it has none."""
    known: dict[str, dict[str, dict[str, int]]] = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    return known.get(key(), {})


def key() -> str:
    """What a count depends on beside the code: the interpreter and the processor's kind."""
    return f"python {sys.version_info.major}.{sys.version_info.minor} {platform.machine()}"


def over(counted: dict[str, int], allowed: dict[str, int]) -> list[str]:
    """The calls that take more than their budget and `MARGIN`, a line each."""
    return [
        f"{name}: {counted[name]:,} instructions, the budget is {bound:,} and {MARGIN:.0%}"
        for name, bound in allowed.items()
        if counted[name] > bound * (1 + MARGIN)
    ]


def databases(folder: Path) -> dict[str, str]:
    """A new SQLite file, and PostgreSQL where `scripts/servers.py` runs it."""
    found = {"sqlite": f"sqlite:///{folder / 'counted.db'}"}
    if server := os.environ.get("FARM_TEST_POSTGRES_URL"):
        found["postgres"] = f"{server}?schema=counted_{os.getpid()}"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="benches.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make what was counted the budget")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has farm_db")
    chosen = parser.parse_args()
    sys.path.append(str(ROOT / "scripts"))
    import downloads

    valgrind = downloads.program("valgrind")
    with tempfile.TemporaryDirectory(prefix="farm-db-counted-") as folder:
        counted = {name: count(chosen.python, url, valgrind) for name, url in databases(Path(folder)).items()}
    allowed = budget()
    for backend, counts in counted.items():
        for name, instructions in counts.items():
            bound = allowed.get(backend, {}).get(name)
            compared = f", {instructions / bound - 1:+.1%} of the budget" if bound else ""
            print(f"{backend} {name}: {instructions:,} instructions{compared}")
    if chosen.write:
        known = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
        BUDGET.write_text(json.dumps({**known, key(): counted}, indent=1) + "\n")
        return 0
    too_many = [line for backend in counted for line in over(counted[backend], allowed.get(backend, {}))]
    print(*too_many, sep="\n", end="\n" if too_many else "", file=sys.stderr)
    return 1 if too_many else 0


if __name__ == "__main__":
    sys.exit(main())
