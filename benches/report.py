"""The run as JSON (every repetition) and as Markdown (medians, spread, ratios, goals)."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from . import start
from .goals import Figures, judged
from .runner import Run
from .workloads import BASELINES, HTTP, STREAM, TITLES, UNITS, WORKLOADS

SETTINGS = ("rows", "users", "reps", "seconds", "pool", "http_reps", "http_seconds", "stream_reps")
PACKAGES = [
    "farm-db",
    "aiomysql",
    "aiosqlite",
    "asyncmy",
    "asyncpg",
    "beanie",
    "motor",
    "piccolo",
    "psqlpy",
    "psycopg",
    "pymongo",
    "sqlalchemy",
    "sqlmodel",
    "tortoise-orm",
    "fastapi",
    "pydantic",
    "uvicorn",
    "uvloop",
    "orjson",
]
READS = [one.id for one in WORKLOADS if not one.writes]
WRITES = [one.id for one in WORKLOADS if one.writes]


def summary(reps: list[dict[str, Any]]) -> dict[str, float]:
    """Medians, and the spread of the rate in parts of its median."""
    numbers = {key for key, value in reps[0].items() if isinstance(value, (int, float))}
    out = {key: statistics.median(rep[key] for rep in reps) for key in sorted(numbers)}
    rates = [rep["rate"] for rep in reps]
    return {**out, "reps": len(reps), "spread": (max(rates) - min(rates)) / out["rate"]}


def to_json(run: Run) -> dict[str, Any]:
    contenders = [
        {
            "name": one.name,
            "backend": one.backend,
            "language": one.language,
            "note": one.note,
            "notes": one.notes,
            "excluded": one.excluded,
            "unavailable": one.unavailable,
            "failures": one.failures,
            "cells": {cell: {"median": summary(reps), "reps": reps} for cell, reps in one.cells.items() if reps},
        }
        for one in run.contenders
    ]
    return {
        "environment": environment(run.databases),
        "settings": {name: getattr(run.options, name) for name in SETTINGS},
        "load_before": round(run.load_before, 2),
        # With what the run itself makes.
        "load_after": round(os.getloadavg()[0], 2),
        "seconds_total": round(time.time() - run.started),
        "missing": run.missing,
        "contenders": contenders,
        "goals": {backend: judged(backend, figures(contenders, backend)) for backend in run.options.backends},
    }


def figures(contenders: list[dict[str, Any]], backend: str) -> Figures:
    return {
        (one["language"], one["name"]): {cell: found["median"] for cell, found in one["cells"].items()}
        for one in contenders
        if one["backend"] == backend
    }


def environment(databases: dict[str, str]) -> dict[str, Any]:
    packages: dict[str, str] = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    processor = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    try:
        node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        node = ""
    return {
        "cpu": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "node": node,
        "databases": databases,
        "packages": packages,
        "packages_of_node": packages_of_node(),
    }


def packages_of_node() -> dict[str, str]:
    folder = Path(__file__).parent
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    return {name: str(wanted[name]) for name in wanted if (folder / "node_modules" / name).exists()}


# Markdown.


def short(number: float) -> str:
    if number >= 99_950:
        return f"{number / 1000:.0f}k"
    if number >= 9_995:
        return f"{number / 1000:.1f}k"
    if number >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def markdown(data: dict[str, Any], plots: dict[str, str]) -> str:
    here, settings = data["environment"], data["settings"]
    out = [
        "# Benchmark\n",
        f"{here['cores']} cores ({here['cpu']}), Python {here['python']}, Node {here['node']}; "
        f"{settings['rows']:,} resources, {settings['users']:,} users; {settings['reps']} interleaved repetitions of "
        f"{settings['seconds']} s ({settings['http_reps']} of {settings['http_seconds']} s over HTTP). Medians; (x) is "
        "the speed against the baseline, marked *; bold is the fastest; ~ marks a spread of 20 % or more. "
        "Take the ratios, not the absolute figures.\n",
    ]
    if data["load_before"] > 0.5:
        out.append(
            f"**Others were at work on the machine (load {data['load_before']} before the run, "
            f"{data['load_after']} at its end): take the figures as a look only.**\n"
        )
    for backend, goals in data["goals"].items():
        out.append(f"## {backend} {here['databases'].get(backend, '')}\n")
        if backend in plots:
            out.append(f"![speed against the baseline]({plots[backend]})\n")
        out.append(goal_table(goals) + "\n")
        here_too = [one for one in data["contenders"] if one["backend"] == backend]
        for language in ("python", "node"):
            members = [one for one in here_too if one["language"] == language]
            if any(one["cells"] for one in members):
                out += language_part(language, members, BASELINES.get((backend, language), ""))
        out += floor_part(here_too)
    if "start" in data:
        out.append(start_part(data["start"]))
    if data["missing"]:
        out.append("Missing: " + "; ".join(f"{name}: {reason}" for name, reason in data["missing"].items()) + "\n")
    found = {**here["packages"], **here["packages_of_node"]}
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    out.append(f"{versions}. The run took {data['seconds_total']} s.\n")
    return "\n".join(out)


def start_part(found: dict[str, dict[str, float]]) -> str:
    rows = []
    for name, best in found.items():
        key, bound = start.BOUNDS.get(name, ("", 0.0))
        goal = f"{bound:.0f} ms" + (" of the processor" if key == "cpu_ms" else "") if key else ""
        verdict = ("met" if best[key] < bound else "MISSED") if key else ""
        rows.append([start.TITLES[name], f"{best['wall_ms']:.1f}", f"{best['cpu_ms']:.1f}", goal, verdict])
    head = table(["the best of several new processes", "ms", "ms of the processor", "goal", ""], rows)
    return f"## Start\n\n{head}\n"


def goal_table(goals: list[dict[str, Any]]) -> str:
    rows = []
    for goal in goals:
        unit = f" {goal['unit']}" if goal["unit"] not in ("", "x") else goal["unit"]
        value = "" if goal["measured"] is None else f"{goal['measured']:.2f}{unit}"
        if goal["against"] and goal["against"] not in goal["goal"]:
            value += f" ({goal['against']})"
        rows.append([goal["goal"], f"{goal['must']}{unit}", f"{goal['moonshot']}{unit}", value, goal["verdict"]])
    return table(["goal", "must", "moonshot", "measured", "verdict"], rows)


def language_part(language: str, members: list[dict[str, Any]], baseline: str) -> list[str]:
    out = [f"### {language.capitalize()}\n"]
    for title, cells in (("Reads", READS), ("Writes", WRITES), ("HTTP", [one.id for one in HTTP])):
        shown = [cell for cell in cells if any(cell in one["cells"] for one in members)]
        if shown:
            out.append(f"{title}\n\n{speed_table(members, shown, baseline)}\n")
    streams = [(one["name"], one["cells"][STREAM.id]["median"]) for one in members if STREAM.id in one["cells"]]
    if streams:
        rows = [
            [name, short(it["rate"]), f"{it['rss_growth_mib']:.1f}", f"{it['rss_peak_mib']:.0f}"]
            for name, it in streams
        ]
        out.append(f"Stream\n\n{table(['contender', 'rows/s', 'growth of memory, MiB', 'peak, MiB'], rows)}\n")
    for one in members:
        notes = f" ({'; '.join(dict.fromkeys(one['notes']))})" if one["notes"] else ""
        why = "Not available" if one["unavailable"] else "Excluded"
        excluded = f" **{why}**: {one['excluded']}." if one["excluded"] else ""
        failed = "".join(f" **Failed** {cell}: {reason}." for cell, reason in one["failures"].items())
        out.append(f"- {one['name']}: {one['note']}{notes}.{excluded}{failed}")
    return [*out, ""]


#: 1,000 rows on Node by what is made of them.
BYTES = ("objects_1000", "buffer_1000", "json_1000")


def bytes_part(members: list[dict[str, Any]]) -> list[str]:
    """Node's cells of what 1,000 rows cost as objects, as bytes and as a body; nothing where they were not measured."""
    shown = [one for one in members if one["language"] == "node" and any(cell in one["cells"] for cell in BYTES)]
    if not any(cell in one["cells"] for one in shown for cell in BYTES[:2]):
        return []
    return [speed_table(shown, list(BYTES), BASELINES.get((shown[0]["backend"], "node"), "")), ""]


def floor_part(members: list[dict[str, Any]]) -> list[str]:
    """The floors, and what share of the fastest one's rate farm_db and the baselines reach."""
    floors = [one for one in members if one["language"] == "floor"]
    cells = [cell for cell in READS if any(cell in one["cells"] for one in floors)]
    if not cells:
        return []
    fastest = {cell: max(_rate(one, cell) for one in floors) for cell in cells}
    rows = [["floor: " + one["name"], *(_cell(one, cell) for cell in cells)] for one in floors if one["cells"]]
    for one in members:
        compared = one["name"] in ("farm_db", BASELINES.get((one["backend"], one["language"])))
        if compared and one["cells"]:
            shares = (f"{_cell(one, c)} ({_rate(one, c) / fastest[c]:.2f})" if c in one["cells"] else "" for c in cells)
            rows.append([f"{one['name']}, {one['language']}", *shares])
    heads = [f"{TITLES[cell]} ({UNITS[cell]})" for cell in cells]
    out = ["### Floors\n", f"In brackets the share of the fastest floor's rate.\n\n{table(['', *heads], rows)}\n"]
    for one in floors:
        why = f" **Excluded**: {one['excluded']}." if one["excluded"] else ""
        failed = "".join(f" **Failed** {cell}: {reason}." for cell, reason in one["failures"].items())
        out.append(f"- {one['name']}: {one['note']}.{why}{failed}")
    return [*out, ""]


def _rate(one: dict[str, Any], cell: str) -> float:
    return float(one["cells"][cell]["median"]["rate"]) if cell in one["cells"] else 0.0


def _cell(one: dict[str, Any], cell: str) -> str:
    """A figure in its unit; ~ marks a spread as in the other tables."""
    if cell not in one["cells"]:
        return ""
    median = one["cells"][cell]["median"]
    text = f"{1000 / median['rate']:.3g} ms" if UNITS.get(cell) == "ms" else short(median["rate"])
    return text + (" ~" if median["reps"] > 1 and median["spread"] >= 0.2 else "")


def speed_table(members: list[dict[str, Any]], cells: list[str], baseline: str) -> str:
    base: dict[str, Any] = next((one["cells"] for one in members if one["name"] == baseline), {})
    rates = {cell: [one["cells"][cell]["median"]["rate"] for one in members if cell in one["cells"]] for cell in cells}
    rows = []
    for one in members:
        if not any(cell in one["cells"] for cell in cells):
            continue
        row = [one["name"] + (" *" if one["name"] == baseline else "")]
        for cell in cells:
            if cell not in one["cells"]:
                row.append("failed" if cell in one["failures"] else "")
                continue
            rate, (text, *wide) = _rate(one, cell), _cell(one, cell).split(" ~")
            text = f"**{text}**" if rate == max(rates[cell]) else text
            if cell in base:
                text += f" ({rate / base[cell]['median']['rate']:.2f}x)"
            row.append(text + (" ~" if wide else ""))
        rows.append(row)
    units = {"ms": "ms", "rows/s": "rows/s"}
    return table(["contender", *(f"{TITLES[cell]} ({units.get(UNITS.get(cell, ''), '1/s')})" for cell in cells)], rows)
