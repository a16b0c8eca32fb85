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


#: The database writes the JSON itself: compared by name, not with libraries that make models.
WITHOUT_MODELS = frozenset({"asyncpg-json_agg"})


def against_best(cell: str, ours: str = "farm_db") -> Any:
    """Our rate over that of the fastest peer with models."""

    def measure(figures: Figures) -> tuple[float, str] | None:
        mine = figures.get(("python", ours), {}).get(cell)
        peers = {
            name: cells[cell]["rate"]
            for (language, name), cells in figures.items()
            if language == "python" and not name.startswith("farm_db") and name not in WITHOUT_MODELS and cell in cells
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


#: What is wanted of every database alike.
ROWS = Goal("10,000 rows to models, against the best peer", 2.2, 3, against_best("find_10000"))
HTTP = Goal("1,000 rows as an HTTP response, against the best peer", 4, 6, against_best("http_1000", "farm_db-json"))
CREATE = Goal("create_many 10,000, against the best peer", 1.5, 2.5, against_best("create_10000"))
MEMORY = Goal("stream, growth of memory", 8, 4, own("stream", "rss_growth_mib"), "MiB", at_most=True)
FAIRNESS = Goal("fairness of 64 at once, share of the worst task", 0.9, 0.98, own("get_64", "least_share"), "")


def get(peer: str, at_once: int, must: float, moonshot: float, language: str = "python") -> Goal:
    how = "1 at a time" if at_once == 1 else f"{at_once} at once"
    title = f"{'Node: ' if language == 'node' else ''}get by id, {how}, against {peer}"
    return Goal(title, must, moonshot, against(f"get_{at_once}", peer, language))


GOALS: dict[str, list[Goal]] = {
    "sqlite": [
        get("aiosqlite", 16, 5, 8),
        get("aiosqlite", 1, 3, 15),
        ROWS,
        HTTP,
        CREATE,
        MEMORY,
        FAIRNESS,
        get("better-sqlite3", 16, 0.8, 1.1, "node"),
    ],
    "postgres": [
        get("asyncpg-noreset", 64, 2.5, 5),
        get("asyncpg-noreset", 1, 1, 1.4),
        get("sqlalchemy", 64, 20, 40),
        ROWS,
        HTTP,
        Goal(
            "1,000 rows as an HTTP response, against PostgreSQL's json_agg",
            1.2,
            1.8,
            against("http_1000", "asyncpg-json_agg", ours="farm_db-json"),
        ),
        Goal("create_many 10,000, against asyncpg's COPY", 1.2, 1.7, against("create_10000", "asyncpg")),
        Goal("stream, rows/s against psycopg", 1.5, 2.5, against("stream", "psycopg")),
        MEMORY,
        FAIRNESS,
        get("pg", 16, 1.3, 2, "node"),
    ],
    "mysql": [get("asyncmy", 64, 1.5, 4), ROWS, HTTP, CREATE, MEMORY, FAIRNESS],
    "mongodb": [
        get("pymongo", 16, 3, 8),
        get("pymongo", 64, 4, 8),
        ROWS,
        HTTP,
        CREATE,
        MEMORY,
        FAIRNESS,
        get("mongodb", 16, 3, 6, "node"),
    ],
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
