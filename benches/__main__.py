"""`python -m benches --help`; `make bench` runs it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from . import start
from .plot import svg
from .report import bytes_part, floor_part, goal_table, markdown, to_json
from .runner import BACKENDS, Run, say
from .workloads import GROUPS

HERE = Path(__file__).resolve().parent
#: A look: are all there, do they answer, is anything far off.
QUICK = {"rows": 12_000, "users": 20_000, "reps": 1, "seconds": 0.1, "http_reps": 1, "http_seconds": 0.3}


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches", description="Database libraries against each other on equal rows.")
    parser.add_argument("--backends", "--backend", type=words, default=list(BACKENDS), help=", ".join(BACKENDS))
    parser.add_argument("--languages", type=words, default=["python", "node", "floor"])
    parser.add_argument("--groups", type=words, default=GROUPS, help=",".join(GROUPS))
    parser.add_argument("--only", type=words, default=[], help="names of contenders; default all")
    parser.add_argument("--quick", action="store_true", help="a look: few rows, short windows")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="one timed window")
    parser.add_argument("--pool", type=int, default=16)
    parser.add_argument("--http-reps", type=int, default=2)
    parser.add_argument("--http-seconds", type=float, default=1.0)
    parser.add_argument("--stream-reps", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="show what the workers print")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="the folder of the results")
    parser.set_defaults(**(QUICK if "--quick" in sys.argv else {}))
    return parser.parse_args()


def main() -> int:
    chosen = options()
    for kind in (signal.SIGTERM, signal.SIGHUP):  # so that workers and servers are ended
        signal.signal(kind, lambda number, frame: sys.exit(128 + number))
    run = Run(chosen)
    try:
        run.go()
    except KeyboardInterrupt:
        return 130
    data = to_json(run)
    if "start" in chosen.groups:
        data["start"] = start.measure(sys.executable, 3 if chosen.quick else 9)
    chosen.out.mkdir(parents=True, exist_ok=True)
    name = "quick" if chosen.quick else "benchmark"
    plots: dict[str, str] = {}
    for backend in chosen.backends:
        picture = svg(data["contenders"], backend, f"{backend}: speed against the baseline (log scale)")
        if picture:
            plots[backend] = f"{name}-{backend}.svg"
            (chosen.out / plots[backend]).write_text(picture)
    (chosen.out / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    (chosen.out / f"{name}.md").write_text(markdown(data, plots))
    for backend, goals in data["goals"].items():
        print(goal_table(goals))
        for part in (bytes_part, floor_part):
            print("\n".join(part([one for one in data["contenders"] if one["backend"] == backend])))
    written = [f"{name}.md", f"{name}.json", *plots.values()]
    say(f"{data['seconds_total']} s; wrote {', '.join(written)} into {os.path.relpath(chosen.out)}")
    # A contender that fails is in the report; ours must not. That farm_db has no such backend yet is no failure.
    ours = [one for one in run.contenders if one.name.startswith("farm_db") and not one.unavailable]
    return 1 if any(one.excluded or one.failures for one in ours) or not run.databases else 0


if __name__ == "__main__":
    sys.exit(main())
