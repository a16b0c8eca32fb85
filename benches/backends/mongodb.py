"""MongoDB: databases on the replica set of FARM_TEST_MONGODB_URL, filled by pymongo.

The form `farm` is made by farm_db's own `ensure_schema`: the same collections and indexes with a validator. No write
waits for the journal, as no other database here waits for the disk.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from bson import Int64
from pymongo import MongoClient

from ..contract import Target
from ..data import RESOURCE_FIELDS, canonical
from . import create_farm, place_on, rows, server

NAME = "mongodb"
VARIABLE = "FARM_TEST_MONGODB_URL"
FORMS = ("plain", "farm")


def place(folder: object, name: str, form: str) -> Target:
    target = place_on(NAME, VARIABLE, name, form)
    parts = urlsplit(target.url)
    given = dict(parse_qsl(parts.query))
    # The user, if any, is one of the server and not of our database.
    extra = {"w": "1", "journal": "false", **({"authSource": "admin"} if parts.username else {})}
    return replace(target, url=parts._replace(query=urlencode({**extra, **given})).geturl())


def version() -> str:
    with MongoClient[Any](server(VARIABLE)) as client:
        return str(client.server_info()["version"])


def create(target: Target, form: str) -> None:
    """The empty collections with their indexes."""
    if form == "farm":
        create_farm(target)
        return
    with MongoClient[Any](target.url) as client:
        client[target.database].resources.create_index("created_at")
        client[target.database].users.create_index("email", unique=True)


def drop(target: Target) -> None:
    with MongoClient[Any](target.url) as client:
        client.drop_database(target.database)


def seed(target: Target, form: str, resources: int, users: int) -> None:
    """Collections with this many documents."""
    create(target, form)
    with MongoClient[Any](target.url) as client:
        _fill(client[target.database], resources, users)
        client.admin.command("fsync")


def reset(target: Target, form: str, resources: int, users: int = 100) -> None:
    """Back to a known state."""
    with MongoClient[Any](target.url) as client:
        database = client[target.database]
        database.resources.delete_many({})
        database.users.delete_many({})
        _fill(database, resources, users)


def read_back(target: Target, skip: int = 0) -> list[dict[str, Any]]:
    """All resources in the order of created_at, as canonical rows."""
    with MongoClient[Any](target.url, tz_aware=True) as client:
        found = client[target.database].resources.find().sort("created_at", 1).skip(skip)
        return [canonical({name: row["_id" if name == "id" else name] for name in RESOURCE_FIELDS}) for row in found]


def _fill(database: Any, resources: int, users: int) -> None:
    for table, count in (("resources", resources), ("users", users)):
        documents = map(document, rows(table, count))
        while part := list(itertools.islice(documents, 10_000)):
            database[table].insert_many(part, ordered=False)


def document(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a document."""
    key = row["id"]
    rest = {name: value for name, value in row.items() if name != "id"}
    return {"_id": Int64(key) if isinstance(key, int) else key, **rest}
