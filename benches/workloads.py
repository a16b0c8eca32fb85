"""What is measured, as data. A group is what an adapter's `only` and the command line's `--groups` select."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Workload:
    id: str
    group: str
    title: str
    #: The worker's command and its parameters.
    op: str
    parameters: dict[str, Any] = field(default_factory=dict)
    #: `1/s`, `rows/s` or `ms` (of one call).
    unit: str = "1/s"
    writes: bool = False
    #: SQLite has one writer: libraries that begin transactions by reading fail there when several run at once.
    servers_only: bool = False
    #: The only language in which it is measured; all if empty.
    language: str = ""


WORKLOADS = [
    Workload("get_1", "get", "get by id, 1 at a time", "get", {"concurrency": 1}),
    Workload("get_16", "get", "get by id, 16 at once", "get", {"concurrency": 16}),
    Workload("get_64", "get", "get by id, 64 at once", "get", {"concurrency": 64}),
    Workload("find_50", "find", "find 50, filtered and sorted", "find", {"limit": 50, "filtered": True}, "ms"),
    Workload("find_10000", "find", "10,000 rows to models", "find", {"limit": 10_000, "filtered": False}, "ms"),
    Workload(
        "objects_1000",
        "objects",
        "1,000 rows to objects",
        "find",
        {"limit": 1000, "filtered": False},
        "ms",
        language="node",
    ),
    Workload("buffer_1000", "buffer", "1,000 rows, no objects", "buffer", {"limit": 1000}, "ms", language="node"),
    Workload("json_1000", "json", "1,000 rows to JSON bytes", "json", {"limit": 1000}, "ms"),
    Workload("insert_1", "insert", "create one, 1 at a time", "insert", {"concurrency": 1}, writes=True),
    Workload("insert_16", "insert", "create one, 16 at once", "insert", {"concurrency": 16}, writes=True),
    Workload("update_1", "update", "update one by id", "update", {"concurrency": 1}, writes=True),
    Workload(
        "transaction_1", "transaction", "transaction, 1 at a time", "transaction", {"concurrency": 1}, writes=True
    ),
    Workload(
        "transaction_16",
        "transaction",
        "transaction, 16 at once",
        "transaction",
        {"concurrency": 16},
        writes=True,
        servers_only=True,
    ),
    Workload("create_10000", "create_many", "create_many 10,000", "create_many", {"count": 10_000}, "rows/s", True),
]

STREAM = Workload("stream", "stream", "stream all users", "stream", unit="rows/s")


@dataclass(frozen=True)
class Http:
    """A path of the app and how many connections ask for it; `{id}` is a random key."""

    id: str
    title: str
    path: str
    connections: int


HTTP = [
    Http("http_get", "HTTP get", "/resources/{id}", 16),
    Http("http_50", "HTTP list of 50", "/resources?limit=50", 16),
    Http("http_1000", "HTTP list of 1,000", "/resources?limit=1000", 2),
]

GROUPS = [*dict.fromkeys(workload.group for workload in WORKLOADS), "http", "stream", "start"]
TITLES = {one.id: one.title for one in WORKLOADS}
TITLES |= {one.id: one.title for one in HTTP} | {STREAM.id: STREAM.title}
UNITS = {one.id: one.unit for one in (*WORKLOADS, STREAM)}
#: Ratios are told against these.
BASELINES = {
    ("sqlite", "python"): "aiosqlite",
    ("sqlite", "node"): "better-sqlite3",
    ("postgres", "python"): "asyncpg",
    ("postgres", "node"): "pg",
    ("mysql", "python"): "asyncmy",
    ("mysql", "node"): "mysql2",
    ("mongodb", "python"): "pymongo",
    ("mongodb", "node"): "mongodb",
}
