"""What every contender must answer, computed from the generated rows."""

from __future__ import annotations

from .data import at, canonical, digest, resource

#: So many resources are in the database when writes begin.
WRITE_BASE = 2000


def newest(rows: int, count: int) -> list[dict[str, object]]:
    return [canonical(resource(n)) for n in range(rows - 1, max(-1, rows - 1 - count), -1)]


def reads(rows: int, ids: list[int]) -> dict[str, str]:
    """Digests of the parts of `check_reads`."""
    filtered = []
    for n in range(rows - 1, -1, -1):
        row = resource(n)
        if row["active"] and row["rating"] >= 4.0:
            filtered.append(canonical(row))
            if len(filtered) == 50:
                break
    page = digest(newest(rows, 1000))
    return {
        "get": digest([canonical(resource(n)) for n in ids]),
        "filtered": digest(filtered),
        "page": page,
        "json": page,
        "buffer": page,
    }


def writes() -> str:
    """The digest of all rows after `check_writes`."""
    rows = [resource(n) for n in range(WRITE_BASE + 501)]
    rows[1].update(name="changed", rating=1.125, updated_at=at(5))
    rows[2].update(name="in a transaction", rating=2.375, updated_at=at(6))
    # Rows are compared in the order of created_at, which is that of their numbers.
    return digest([canonical(row) for row in rows])
