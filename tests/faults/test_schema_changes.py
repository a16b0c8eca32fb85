"""Tables that change under traffic: no wrong answer, no error, and a plan that is outdated is made anew once."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter as Tally
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from farm_db import Database, Document, FarmDbError, Field, Transaction, TransactionConflictError
from faults.conftest import Wire
from faults.support import becomes, idle, often, opened

pytestmark = [pytest.mark.alone, pytest.mark.every_backend]

ITEMS = 50


class Item(Document, table="items"):
    """What both versions of an app know."""

    id: int = Field(primary_key=True)
    name: str = Field(max_length=40)
    count: int = 0


class GradedItem(Document, table="items"):
    """The next version of `Item`: a new field that has a default."""

    id: int = Field(primary_key=True)
    name: str = Field(max_length=40)
    count: int = 0
    grade: int = 7


class Traffic:
    """Calls whose answers are known, again and again until it is told to stop; every error is noted."""

    def __init__(self, database: Database, model: type[Any] = Item) -> None:
        self.database = database
        self.items = database.repository(model)
        self.errors: Tally[str] = Tally()
        self.calls = 0
        self.added: Tally[int] = Tally()
        self.created: set[int] = set()
        self.going = True

    async def _worker(self, number: int) -> None:
        chance = random.Random(number)
        serial = iter(range(10_000 * (number + 1), 10_000 * (number + 2)))
        work: list[Callable[[], Awaitable[None]]] = [
            lambda: self._get(chance.randrange(ITEMS)),
            lambda: self._find(chance.randrange(ITEMS)),
            lambda: self._add(chance.randrange(ITEMS)),
            lambda: self._create(next(serial)),
            lambda: self._transaction(chance.randrange(ITEMS)),
        ]
        while self.going:
            try:
                await chance.choice(work)()
                self.calls += 1
            except FarmDbError as error:
                self.errors[f"{error.code}: {error}"] += 1
            await asyncio.sleep(0.001)

    async def _get(self, id: int) -> None:
        assert (await self.items.get(id)).name == f"name {id}"

    async def _find(self, id: int) -> None:
        found = await self.items.find({"id": {"$gte": id, "$lt": ITEMS}}, sort="id")
        assert [(row.id, row.name) for row in found] == [(one, f"name {one}") for one in range(id, ITEMS)]

    async def _add(self, id: int) -> None:
        row = await self.items.update(id, {"$inc": {"count": 1}})
        self.added[id] += 1
        assert row.name == f"name {id}"

    async def _create(self, id: int) -> None:
        row = await self.items.create({"id": id, "name": f"name {id}"})
        self.created.add(id)
        assert (row.id, row.name) == (id, f"name {id}")

    async def _transaction(self, id: int) -> None:
        async def body(tx: Transaction) -> None:
            assert (await self.items.get(id, tx=tx)).name == f"name {id}"
            await self.items.update(id, {"$inc": {"count": 1}}, tx=tx)

        # A transaction may lose against a change of its table, and says so.
        await self.database.run_transaction(body, retries=20)
        self.added[id] += 1

    @asynccontextmanager
    async def running(self, workers: int = 8) -> AsyncGenerator[None]:
        tasks = [asyncio.create_task(self._worker(number)) for number in range(workers)]
        try:
            yield
        finally:
            self.going = False
            async with asyncio.timeout(30):
                await asyncio.gather(*tasks)

    async def check(self) -> None:
        """No error, no lost write, none done twice."""
        assert not self.errors, f"{self.errors} in {self.calls} calls"
        found = {row.id: row for row in await self.items.find()}
        assert {id: found[id].count for id in range(ITEMS)} == {id: self.added[id] for id in range(ITEMS)}
        assert set(found) == {*range(ITEMS), *self.created}
        await becomes(lambda: idle(self.database), 5, f"connections stay out: {self.database.pool_stats()}")


async def prepared(url: str) -> None:
    """The table with its rows."""
    async with opened(url, [Item]) as database:
        await database.repository(Item).create_many([{"id": id, "name": f"name {id}"} for id in range(ITEMS)])


def changes(backend: str, number: int) -> list[Any]:
    """What an administrator does to the table, the number-th time."""
    width = 50 + number
    if backend == "mongodb":
        rules = {
            "$jsonSchema": {"bsonType": "object", "required": ["_id"], "properties": {"name": {"bsonType": "string"}}}
        }
        return [
            {"collMod": "items", "validator": rules, "validationLevel": "strict"},
            {
                "createIndexes": "items",
                "indexes": [{"key": {"count": 1}, "name": f"more_{number}", "sparse": number % 2 == 0}],
            },
            {"dropIndexes": "items", "index": f"more_{number}"},
            {"collMod": "items", "validator": {}},
        ]
    if backend == "mysql":
        retype = f"ALTER TABLE items MODIFY COLUMN extra_{number} varchar({width}) NULL"
        name = (
            f"ALTER TABLE items MODIFY COLUMN name varchar({width}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
        )
    elif backend == "postgres":
        retype = f"ALTER TABLE items ALTER COLUMN extra_{number} TYPE varchar({width})"
        name = f"ALTER TABLE items ALTER COLUMN name TYPE varchar({width})"
    else:
        return [
            f"ALTER TABLE items ADD COLUMN extra_{number} TEXT",
            f"CREATE INDEX more_{number} ON items (extra_{number})",
        ]
    return [
        f"ALTER TABLE items ADD COLUMN extra_{number} int",
        retype,
        name,
        f"CREATE INDEX more_{number} ON items (extra_{number}, name)",
        f"DROP INDEX more_{number}" + (" ON items" if backend == "mysql" else ""),
    ]


async def changed(admin: Database, statement: Any) -> None:
    """Makes a change; one that met a deadlock with the traffic is made again."""
    for _ in range(20):
        try:
            await admin.execute(statement)
        except TransactionConflictError:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError(f"always a deadlock: {statement}")


async def test_changes_of_the_table_under_traffic_give_no_wrong_answer(url: str) -> None:
    await prepared(url)
    async with opened(url, [Item], max_size=6) as database, opened(url, [], contract="off") as admin:
        traffic = Traffic(database)
        async with traffic.running():
            for number in range(often(15, 2)):
                for statement in changes(database.backend, number):
                    calls = traffic.calls
                    await changed(admin, statement)
                    await becomes(lambda: traffic.calls >= calls + 20, 20, "the traffic stands still")  # noqa: B023
        await traffic.check()


@pytest.mark.only("postgres", "mysql")
async def test_a_plan_that_a_change_has_outdated_is_made_anew_once(wire: Wire) -> None:
    await prepared(wire.direct)
    async with (
        opened(wire.url, [Item], max_size=1, group_reads=False) as database,
        opened(wire.direct, [], contract="off") as admin,
    ):
        items = database.repository(Item)
        for number in range(often(20, 3)):
            await items.get(1)
            for statement in changes(database.backend, number):
                await admin.execute(statement)
                seen = _Seen(wire)
                for _ in range(5):
                    row = await items.get(1)
                    assert row.name == "name 1"
                assert seen.count(b"cached plan must not change") <= 1, "more than one retry for one change"
                accepted = wire.proxy.accepted
                assert accepted == seen.accepted, "a connection was given up for a plan"


class _Seen:
    """What has come from the server since."""

    def __init__(self, wire: Wire) -> None:
        self.accepted = wire.proxy.accepted
        self._wire = wire
        wire.proxy.record = bytearray()

    def count(self, pattern: bytes) -> int:
        """How often the server has said it."""
        assert self._wire.proxy.record is not None
        return len(re.findall(re.escape(pattern), bytes(self._wire.proxy.record)))


async def test_two_versions_of_an_app_work_side_by_side_while_the_new_one_is_deployed(url: str) -> None:
    await prepared(url)
    async with opened(url, [Item], max_size=4) as old:
        before = Traffic(old)
        async with before.running(4):
            await becomes(lambda: before.calls > 50, 10, "no traffic")
            began = time.monotonic()
            # Connecting runs ensure_schema; twice, as two processes of the new version do.
            async with opened(url, [GradedItem], max_size=4) as new, opened(url, [GradedItem], max_size=1) as again:
                await again.ensure_schema()
                print(f"deployed within {time.monotonic() - began:.2f} s")
                graded = new.repository(GradedItem)
                await graded.create({"id": 1000, "name": "name 1000", "grade": 9})
                assert (await old.repository(Item).get(1000)).name == "name 1000"
                await old.repository(Item).create({"id": 1001, "name": "name 1001"})
                assert (await graded.get(1001)).grade == 7, "what the old version writes has the default"
                # The old version changes a row of the new one, and leaves what it does not know.
                await old.repository(Item).update(1000, {"count": 5})
                kept = await graded.get(1000)
                assert (kept.grade, kept.count) == (9, 5)
                # Conditions and orders, not only what is read, know the default of old rows.
                assert await graded.count({"grade": 7, "id": {"$lt": ITEMS}}) == ITEMS
                calls = before.calls
                await becomes(lambda: before.calls > calls + 50, 20, "the old version stands still")
                assert {row.grade for row in await graded.find({"id": {"$lt": ITEMS}})} == {7}
                await graded.delete_many({"id": {"$in": [1000, 1001]}})
        await before.check()
