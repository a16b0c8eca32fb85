"""How each query is put on each database, side by side in `tests/cases/renderings.md`.

The file is made from what `explain()` says; `FARM_WRITE=1` writes it anew after a change that was meant.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from backends import BACKENDS, temporary_url
from farm_db import Document, Field
from support import opened

FILE = Path(__file__).parents[1] / "cases" / "renderings.md"


class Maker(BaseModel):
    city: str
    since: int | None = None


class Article(Document, table="articles"):
    id: int = Field(primary_key=True)
    name: str | None = Field(default=None, index=True)
    stock: int = 0
    weight: float | None = None
    data: bytes | None = None
    tags: list[str] = []
    maker: Maker | None = None
    free: dict[str, int] = {}


QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("everything", {}),
    ("equality", {"filter": {"name": "x"}}),
    ("null or missing", {"filter": {"name": None}}),
    ("not equal", {"filter": {"name": {"$ne": "x"}}}),
    ("a range", {"filter": {"stock": {"$gte": 1, "$lt": 5}}}),
    ("an int column and a float", {"filter": {"stock": {"$gt": 2.5}}}),
    ("a float column and an int", {"filter": {"weight": {"$lte": 3}}}),
    ("one of several", {"filter": {"name": {"$in": ["x", "y", None]}}}),
    ("none of several", {"filter": {"stock": {"$nin": [1, 2]}}}),
    ("alternatives", {"filter": {"$or": [{"name": "x"}, {"stock": 1}]}}),
    ("neither", {"filter": {"$nor": [{"name": "x"}, {"stock": 1}]}}),
    ("negation", {"filter": {"stock": {"$not": {"$gt": 5}}}}),
    ("remainder", {"filter": {"stock": {"$mod": [4, 1]}}}),
    ("a regular expression", {"filter": {"name": {"$regex": "^x", "$options": "i"}}}),
    ("bytes by length first", {"filter": {"data": {"$gt": b"x"}}}),
    ("an element of a list", {"filter": {"tags": "x"}}),
    ("all of these elements", {"filter": {"tags": {"$all": ["x", "y"]}}}),
    ("the length of a list", {"filter": {"tags": {"$size": 2}}}),
    ("one element with two conditions", {"filter": {"tags": {"$elemMatch": {"$gt": "a", "$lt": "c"}}}}),
    ("a path", {"filter": {"maker.city": "Bonn"}}),
    ("a path that exists", {"filter": {"maker.since": {"$exists": True}}}),
    ("a key of a free map", {"filter": {"free.x": {"$gt": 1}}}),
    ("the type", {"filter": {"name": {"$type": ["string", "null"]}}}),
    ("order, limit and skip", {"sort": ["-name", "id"], "limit": 10, "skip": 20}),
    ("the order of a path", {"sort": ["maker.city", "id"]}),
]


async def statements(url: str) -> list[tuple[str, str | None]]:
    """The statement of each query, and what of its filter is left to the core."""
    found = []
    async with opened(url, [Article]) as db:
        for _, query in QUERIES:
            arguments = dict(query)
            plan = await db.repository(Article).find(arguments.pop("filter", {}), **arguments).explain()
            # The schema of a test has a name of its own.
            statement = plan["statement"].replace(url.partition("schema=")[2] or "\0", "app")
            found.append((statement, plan["residual"]))
    return found


def test_every_query_is_put_as_the_file_shows(tmp_path: Path) -> None:
    shown = {name: [f"## {name}\n`{query}`"] for name, query in QUERIES}
    for backend in BACKENDS:
        language, comment = ("js", "//") if backend == "mongodb" else ("sql", "--")
        with temporary_url(backend, tmp_path) as url:
            for parts, (statement, residual) in zip(shown.values(), asyncio.run(statements(url)), strict=True):
                rest = "" if residual is None else f"\nLeft to the core: `{residual}`."
                parts.append(f"```{language}\n{comment} {backend}\n{statement}\n```{rest}")
    head = "# How queries are put\nMade by `tests/python/test_renderings.py`; values are never part of a statement.\n"
    text = head + "".join("\n" + "\n".join(parts) + "\n" for parts in shown.values())
    if os.environ.get("FARM_WRITE"):
        FILE.write_text(text, encoding="utf-8")
    assert text == FILE.read_text(encoding="utf-8")
