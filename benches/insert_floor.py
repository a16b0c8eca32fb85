"""What MongoDB itself takes for `create_many`: 10,000 documents by pymongo, and the same ones encoded before the clock
starts, which is what a client would take that costs nothing.

`python scripts/servers.py -- .work/bench/bin/python -m benches.insert_floor`. Needs pymongo.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from typing import Any

from bson import encode
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from .backends import mongodb, rows
from .timing import Span

COUNT = 10_000
#: Documents of one command: about 3 MB.
PART = 5_000
REPETITIONS = 9

Insert = Callable[["Collection[Any]", list[Any], "ClientSession | None"], object]


def insert_many(collection: Collection[Any], documents: list[Any], session: ClientSession | None) -> None:
    collection.insert_many(documents, session=session)


def encoded(collection: Collection[Any], documents: list[Any], session: ClientSession | None) -> None:
    for start in range(0, len(documents), PART):
        command = {"insert": collection.name, "documents": documents[start : start + PART]}
        collection.database.command(command, session=session)


def timed(client: MongoClient[Any], insert: Insert, to: Collection[Any], documents: list[Any], whole: bool) -> float:
    """Seconds of one insert; `whole` is in one transaction, as farm_db's."""
    with client.start_session() as session, Span() as span:
        if not whole:
            insert(to, documents, None)
        else:
            session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority"))
            insert(to, documents, session)
            session.commit_transaction()
    return span.seconds


def main() -> None:
    documents = [mongodb.document(row) for row in rows("resources", COUNT)]
    given: dict[str, tuple[Insert, list[Any]]] = {
        "pymongo's insert_many": (insert_many, documents),
        "encoded before": (encoded, [RawBSONDocument(encode(one)) for one in documents]),
    }
    found: dict[tuple[str, bool, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        targets = {form: mongodb.place(folder, "insert_floor", form) for form in mongodb.FORMS}
        with MongoClient[Any](targets["plain"].url) as client:
            for _ in range(REPETITIONS):
                for name, (insert, what) in given.items():
                    for whole in (False, True):
                        for form, target in targets.items():
                            mongodb.create(target, form)
                            to = client[target.database].resources
                            found.setdefault((name, whole, form), []).append(timed(client, insert, to, what, whole))
                            mongodb.drop(target)
    print("| documents | one transaction | validator | ms, median | best |\n|---|---|---|---|---|")
    for (name, whole, form), seconds in found.items():
        times = f"{statistics.median(seconds) * 1e3:.0f} | {min(seconds) * 1e3:.0f}"
        print(f"| {name} | {'yes' if whole else 'no'} | {'yes' if form == 'farm' else 'no'} | {times} |")


if __name__ == "__main__":
    main()
