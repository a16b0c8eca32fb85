"""MySQL and MariaDB: databases on the server of FARM_TEST_MYSQL_URL, filled by PyMySQL.

The form `farm` is made by farm_db's own `ensure_schema`. Moments are UTC without a zone, which MySQL does not keep.
"""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql  # type: ignore[import-untyped]

from ..contract import Target
from ..data import RESOURCE_FIELDS, USER_FIELDS, canonical
from . import create_farm, place_on, rows, server

NAME = "mysql"
VARIABLE = "FARM_TEST_MYSQL_URL"
FORMS = ("plain", "farm")
DDL = (
    """CREATE TABLE resources (id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  name VARCHAR(200) NOT NULL, description TEXT NOT NULL,
  dependencies JSON NOT NULL, tags JSON NOT NULL, metadata JSON NOT NULL,
  rating DOUBLE NOT NULL, active BOOLEAN NOT NULL,
  created_at DATETIME(6) NOT NULL, updated_at DATETIME(6) NOT NULL, KEY resources_created (created_at))""",
    """CREATE TABLE users (id BIGINT PRIMARY KEY, email VARCHAR(200) NOT NULL, name VARCHAR(200) NOT NULL,
  active BOOLEAN NOT NULL, created_at DATETIME(6) NOT NULL, UNIQUE KEY users_email (email))""",
)


def place(folder: object, name: str, form: str) -> Target:
    return place_on(NAME, VARIABLE, name, form)


def version() -> str:
    with closing(_open(server(VARIABLE))) as connection:
        # MariaDB tells old clients that it is a MySQL 5.5.5.
        return str(connection.get_server_info()).removeprefix("5.5.5-")


def create(target: Target, form: str) -> None:
    """The database with its empty tables."""
    with closing(_open(server(VARIABLE))) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{target.database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    if form == "farm":
        create_farm(target)
        return
    with closing(_open(target.url)) as connection, connection.cursor() as cursor:
        for statement in DDL:
            cursor.execute(statement)


def drop(target: Target) -> None:
    with closing(_open(server(VARIABLE))) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS `{target.database}`")


def seed(target: Target, form: str, resources: int, users: int) -> None:
    """Tables with this many rows."""
    create(target, form)
    with closing(_open(target.url)) as connection, connection.cursor() as cursor:
        _fill(connection, resources, users)
        cursor.execute("ANALYZE TABLE resources, users")


def reset(target: Target, form: str, resources: int, users: int = 100) -> None:
    """Back to a known state."""
    with closing(_open(target.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET lock_wait_timeout = 10")
        cursor.execute("TRUNCATE TABLE resources")
        cursor.execute("TRUNCATE TABLE users")
        _fill(connection, resources, users)


def read_back(target: Target, skip: int = 0) -> list[dict[str, Any]]:
    """All resources in the order of created_at, as canonical rows."""
    columns = ", ".join(RESOURCE_FIELDS)
    query = f"SELECT {columns} FROM resources ORDER BY created_at LIMIT 18446744073709551615 OFFSET %s"
    with closing(_open(target.url)) as connection, connection.cursor() as cursor:
        cursor.execute(query, (skip,))
        return [_canonical(row) for row in cursor.fetchall()]


def _canonical(row: tuple[Any, ...]) -> dict[str, Any]:
    values = dict(zip(RESOURCE_FIELDS, row, strict=True))
    for name in ("dependencies", "tags", "metadata"):
        values[name] = json.loads(values[name])
    values["active"] = bool(values["active"])
    return canonical(values)


def _open(url: str) -> Any:
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/") or None,
        charset="utf8mb4",
        autocommit=True,
    )


def _fill(connection: Any, resources: int, users: int) -> None:
    connection.begin()
    with connection.cursor() as cursor:
        for table, fields, count in (("resources", RESOURCE_FIELDS, resources), ("users", USER_FIELDS, users)):
            statement = f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join(['%s'] * len(fields))})"
            stored = (tuple(map(_stored, row.values())) for row in rows(table, count))
            while part := list(itertools.islice(stored, 2000)):
                cursor.executemany(statement, part)
    connection.commit()


def _stored(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return value
