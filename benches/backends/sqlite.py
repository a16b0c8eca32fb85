"""SQLite: files in a folder, filled by the standard library's driver.

Moments have two forms, because libraries write different text for them: `plain` (`2025-01-01 00:00:00.000000`) and
`farm` (`2025-01-01T00:00:00.000000Z`, made by farm_db's own `ensure_schema`). Rows and indexes are the same.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..contract import Target
from ..data import RESOURCE_FIELDS, USER_FIELDS, canonical
from . import create_farm, rows

NAME = "sqlite"
FORMS = ("plain", "farm")
DDL = """
CREATE TABLE resources (id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL,
  dependencies JSON NOT NULL, tags JSON NOT NULL, metadata JSON NOT NULL,
  rating REAL NOT NULL, active BOOLEAN NOT NULL,
  created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL);
CREATE INDEX resources_created ON resources (created_at);
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL,
  active BOOLEAN NOT NULL, created_at TIMESTAMP NOT NULL);
CREATE UNIQUE INDEX users_email ON users (email);
"""


def place(folder: Path, name: str, form: str) -> Target:
    path = str(folder / f"{name}-{form}.db")
    return Target(NAME, path, f"sqlite:///{path}")


def version() -> str:
    return f"{sqlite3.sqlite_version} in Python's driver"


def create(target: Target, form: str) -> None:
    """The empty tables."""
    if form == "farm":
        create_farm(target)
    else:
        with _open(target) as connection:
            connection.executescript(DDL)
        connection.close()


def drop(target: Target) -> None:
    """The folder goes, and the files with it."""


def seed(target: Target, form: str, resources: int, users: int) -> None:
    """Tables with this many rows."""
    create(target, form)
    connection = _open(target)
    _fill(connection, form, resources, users)
    connection.execute("ANALYZE")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def reset(target: Target, form: str, resources: int, users: int = 100) -> None:
    """Back to a known state."""
    connection = _open(target)
    connection.execute("DELETE FROM resources")
    connection.execute("DELETE FROM users")
    _fill(connection, form, resources, users)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def read_back(target: Target, skip: int = 0) -> list[dict[str, Any]]:
    """All resources in the order of created_at, as canonical rows."""
    connection = _open(target)
    columns = ", ".join(RESOURCE_FIELDS)
    query = f"SELECT {columns} FROM resources ORDER BY created_at LIMIT -1 OFFSET ?"
    rows = connection.execute(query, (skip,)).fetchall()
    connection.close()
    return [_canonical(row) for row in rows]


def _canonical(row: tuple[Any, ...]) -> dict[str, Any]:
    values = dict(zip(RESOURCE_FIELDS, row, strict=True))
    for name in ("dependencies", "tags", "metadata"):
        values[name] = json.loads(values[name])
    values["active"] = bool(values["active"])
    return canonical(values, typed=False)


def _open(target: Target) -> sqlite3.Connection:
    connection = sqlite3.connect(target.database, isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _fill(connection: sqlite3.Connection, form: str, resources: int, users: int) -> None:
    connection.execute("BEGIN")
    for table, fields, count in (("resources", RESOURCE_FIELDS, resources), ("users", USER_FIELDS, users)):
        statement = f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"
        stored = (tuple(_stored(value, form) for value in row.values()) for row in rows(table, count))
        connection.executemany(statement, stored)
    connection.execute("COMMIT")


def _stored(value: Any, form: str) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if form == "farm" else "%Y-%m-%d %H:%M:%S.%f")
    return value
