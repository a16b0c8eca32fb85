"""The countries of npm's `world-countries`, as records of `Country`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model import Country

from farm_db import Database

PACKAGE = Path(__file__).parent / "node_modules" / "world-countries"
#: Fields that the package calls otherwise.
RENAMED = {"un_member": "unMember"}
STORED = [name for name in Country.model_fields if name not in ("created_at", "updated_at")]


def records() -> list[dict[str, Any]]:
    """One record a country, nested as in the package."""
    documents = json.loads((PACKAGE / "countries.json").read_text(encoding="utf-8"))
    return [{name: document[RENAMED.get(name, name)] for name in STORED} for document in documents]


def version() -> str:
    """The version of the package."""
    return str(json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))["version"])


async def load(db: Database) -> int:
    """Stores all countries, all or none; returns how many there are."""
    return len(await db.repository(Country).create_many(records()))
