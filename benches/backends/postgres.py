"""PostgreSQL: databases on the server of FARM_TEST_POSTGRES_URL, filled by psycopg's COPY.

The form `plain` has what PostgreSQL's users take: `text[]` and `jsonb`. The form `farm` is made by farm_db's own
`ensure_schema`: `jsonb` for lists, `json` for the map. Both order text by code points.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb

from ..contract import Target
from ..data import RESOURCE_FIELDS, USER_FIELDS, canonical
from . import create_farm, place_on, rows, server

NAME = "postgres"
VARIABLE = "FARM_TEST_POSTGRES_URL"
FORMS = ("plain", "farm")
DDL = """
CREATE TABLE resources (id text COLLATE "C" PRIMARY KEY, name text COLLATE "C" NOT NULL,
  description text COLLATE "C" NOT NULL, dependencies text[] NOT NULL, tags text[] NOT NULL, metadata jsonb NOT NULL,
  rating double precision NOT NULL, active boolean NOT NULL,
  created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
CREATE INDEX resources_created ON resources (created_at);
CREATE TABLE users (id bigint PRIMARY KEY, email text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  active boolean NOT NULL, created_at timestamptz NOT NULL);
CREATE UNIQUE INDEX users_email ON users (email);
"""


def place(folder: object, name: str, form: str) -> Target:
    return place_on(NAME, VARIABLE, name, form)


def version() -> str:
    with psycopg.connect(server(VARIABLE)) as connection:
        number = connection.info.server_version
    return f"{number // 10_000}.{number % 10_000}"


def create(target: Target, form: str) -> None:
    """The database with its empty tables."""
    with psycopg.connect(server(VARIABLE), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{target.database}"')
    if form == "farm":
        create_farm(target)
    else:
        with psycopg.connect(target.url) as connection:
            connection.execute(DDL)


def drop(target: Target) -> None:
    with psycopg.connect(server(VARIABLE), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{target.database}" WITH (FORCE)')


def seed(target: Target, form: str, resources: int, users: int) -> None:
    """Tables with this many rows."""
    create(target, form)
    with psycopg.connect(target.url, autocommit=True) as connection:
        _fill(connection, form, resources, users)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def reset(target: Target, form: str, resources: int, users: int = 100) -> None:
    """Back to a known state."""
    with psycopg.connect(target.url, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '10s'")
        connection.execute("TRUNCATE resources, users")
        _fill(connection, form, resources, users)
        connection.execute("VACUUM ANALYZE resources")
        connection.execute("CHECKPOINT")


def read_back(target: Target, skip: int = 0) -> list[dict[str, Any]]:
    """All resources in the order of created_at, as canonical rows."""
    query = f"SELECT {', '.join(RESOURCE_FIELDS)} FROM resources ORDER BY created_at OFFSET %s"
    with psycopg.connect(target.url, row_factory=dict_row) as connection:
        return [canonical(row) for row in connection.execute(query, (skip,))]


def _fill(connection: psycopg.Connection[Any], form: str, resources: int, users: int) -> None:
    for table, fields, count in (("resources", RESOURCE_FIELDS, resources), ("users", USER_FIELDS, users)):
        with connection.cursor().copy(f"COPY {table} ({', '.join(fields)}) FROM STDIN") as copy:
            for row in rows(table, count):
                copy.write_row([_stored(value, form) for value in row.values()])


def _stored(value: Any, form: str) -> Any:
    if isinstance(value, dict):
        return Json(value) if form == "farm" else Jsonb(value)
    return Jsonb(value) if isinstance(value, list) and form == "farm" else value
