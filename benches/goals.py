"""What was set out to be reached, and whether it was: ratios in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: A contender's median figures by workload: `figures["python", "farm_db"]["get_16"]["rate"]`.
Figures = dict[tuple[str, str], dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Goal:
    """`measure` gives the figure and what it was compared with, None where something is missing from the run."""

    title: str
    must: float
    moonshot: float
    measure: Callable[[Figures], tuple[float, str] | None]
    unit: str = "x"
    #: Whether less is better.
    at_most: bool = False

    def verdict(self, value: float) -> str:
        def reached(bound: float) -> bool:
            return value <= bound if self.at_most else value >= bound

        return "moonshot" if reached(self.moonshot) else "met" if reached(self.must) else "MISSED"


def against(cell: str, peer: str, language: str = "python", ours: str = "farm_db") -> Any:
    """Our rate over that of one peer."""

    def measure(figures: Figures) -> tuple[float, str] | None:
        mine, theirs = figures.get((language, ours), {}).get(cell), figures.get((language, peer), {}).get(cell)
        return (mine["rate"] / theirs["rate"], peer) if mine and theirs else None

    return measure


def against_best(cell: str, ours: str = "farm_db") -> Any:
    """Our rate over that of the fastest peer."""

    def measure(figures: Figures) -> tuple[float, str] | None:
        mine = figures.get(("python", ours), {}).get(cell)
        peers = {
            name: cells[cell]["rate"]
            for (language, name), cells in figures.items()
            if language == "python" and not name.startswith("farm_db") and cell in cells
        }
        if not mine or not peers:
            return None
        best = max(peers, key=lambda name: peers[name])
        return mine["rate"] / peers[best], best

    return measure


def own(cell: str, figure: str) -> Any:
    """A figure of ours alone."""

    def measure(figures: Figures) -> tuple[float, str] | None:
        mine = figures.get(("python", "farm_db"), {}).get(cell, {})
        return (mine[figure], "") if figure in mine else None

    return measure


GOALS: dict[str, list[Goal]] = {
    "sqlite": [
        Goal("get by id, 16 at once, against aiosqlite", 5, 8, against("get_16", "aiosqlite")),
        Goal("get by id, 1 at a time, against aiosqlite", 3, 15, against("get_1", "aiosqlite")),
        Goal("10,000 rows to models, against the best peer", 2.2, 3, against_best("find_10000")),
        Goal("1,000 rows as an HTTP response, against the best peer", 4, 6, against_best("http_1000", "farm_db-json")),
        Goal("create_many 10,000, against the best peer", 1.5, 2.5, against_best("create_10000")),
        Goal("stream, growth of memory", 8, 4, own("stream", "rss_growth_mib"), "MiB", at_most=True),
        Goal("fairness of 64 at once, share of the worst task", 0.9, 0.98, own("get_64", "least_share"), ""),
        Goal(
            "Node: get by id, 16 at once, against better-sqlite3",
            0.8,
            1.1,
            against("get_16", "better-sqlite3", "node"),
        ),
    ]
}


def judged(backend: str, figures: Figures) -> list[dict[str, Any]]:
    """Each goal with what was measured."""
    found: list[dict[str, Any]] = []
    for goal in GOALS.get(backend, []):
        measured = goal.measure(figures)
        value, peer = measured or (None, "")
        found.append(
            {
                "goal": goal.title,
                "unit": goal.unit,
                "must": goal.must,
                "moonshot": goal.moonshot,
                "measured": value,
                "against": peer,
                "verdict": "not measured" if value is None else goal.verdict(value),
            }
        )
    return found
