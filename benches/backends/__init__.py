"""Where each database comes from and how it is filled: one module a database, with the functions that `sqlite` has.

`place` gives the targets; `create`, `seed`, `reset`, `read_back` and `drop` go through one plain driver, so that no
contender has a hand in its own data. Only the tables of the form `farm` are made by farm_db, as its users have them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from ..contract import Target
from ..data import resource, user

MAKERS = {"resources": resource, "users": user}


def create_farm(target: Target) -> None:
    """The tables as farm_db's own `ensure_schema` makes them."""
    from ..adapters.farm import create_tables

    asyncio.run(create_tables(target))


def rows(table: str, count: int) -> Iterable[dict[str, Any]]:
    """The first rows of a table; nobody may change them, because those of a reset are kept for the next one."""
    return _few(table, count) if count <= 5000 else (MAKERS[table](n) for n in range(count))


@cache
def _few(table: str, count: int) -> list[dict[str, Any]]:
    return [MAKERS[table](n) for n in range(count)]


class Unavailable(RuntimeError):
    """There is no such server, or not its driver."""


def server(variable: str) -> str:
    """The URL of a server.

    Raises:
        Unavailable: where the environment does not name one.
    """
    url = os.environ.get(variable)
    if not url:
        raise Unavailable(f"{variable} is not set: run it under `python3 scripts/servers.py --`")
    return url


def place_on(backend: str, variable: str, name: str, form: str) -> Target:
    """A database of our own on a server; this process's number keeps runs apart."""
    database = f"farm_bench_{os.getpid()}_{name}_{form}"
    return Target(backend, database, urlsplit(server(variable))._replace(path=f"/{database}").geturl())


def find(name: str) -> ModuleType:
    """The module of a database.

    Raises:
        Unavailable: where its driver is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:
        raise Unavailable(str(error)) from error
