"""Servers that die under load: what was acknowledged is there, what failed says the truth, and the pool comes back.

kill -9 under 200 writers; a replica set of MongoDB whose primary is killed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter as Tally
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from farm_db import Database, FarmDbError
from faults import servers
from faults.support import FULL, Row, becomes, idle, often, opened, token_on_every_connection

pytestmark = pytest.mark.alone

WRITERS, POOL = 200, 16
#: Pool usable after the server's return, in seconds.
USABLE = 2.0
UNKNOWN = "outcome_unknown"


class Writers:
    """Writers that go on whatever happens and note what they were told, each write under a key of its own."""

    def __init__(self, database: Database, count: int) -> None:
        self.database = database
        self.rows = database.repository(Row)
        self.count = count
        self.acknowledged: set[str] = set()
        #: By key, the code of the error.
        self.failed: dict[str, str] = {}
        #: When the last write that was acknowledged was begun and ended.
        self.last = (0.0, 0.0)
        self.going = True

    async def one(self, number: int) -> None:
        """A writer: single writes, or pairs of them in a transaction."""
        serial = 0
        while self.going:
            serial += 1
            key, began = f"{number}-{serial}", time.monotonic()
            try:
                if number % 4 == 0:
                    async with self.database.transaction() as tx:
                        await self.rows.create({"id": key}, tx=tx)
                        await self.rows.create({"id": f"{key}-twin"}, tx=tx)
                else:
                    await self.rows.create({"id": key})
            except FarmDbError as error:
                self.failed[key] = error.code
                await asyncio.sleep(random.uniform(0.02, 0.1))
            else:
                self.acknowledged.add(key)
                self.last = (began, time.monotonic())

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        tasks = [asyncio.create_task(self.one(number)) for number in range(self.count)]
        try:
            yield
        finally:
            self.going = False
            async with asyncio.timeout(60):
                await asyncio.gather(*tasks)

    async def more(self, count: int, within: float = 30) -> None:
        """Waits for so many more acknowledged writes."""
        wanted = len(self.acknowledged) + count
        await becomes(
            lambda: len(self.acknowledged) >= wanted, within, f"{count} more writes; {Tally(self.failed.values())}"
        )

    async def check(self) -> None:
        """Compares what they were told with what is there."""
        found = {row.id for row in await self.rows.find()}
        lost = self.acknowledged - found
        assert not lost, f"{len(lost)} of {len(self.acknowledged)} acknowledged writes are lost"
        untrue = Tally(code for key, code in self.failed.items() if key in found and code != UNKNOWN)
        assert not untrue, f"told as not done, but done: {untrue} of {Tally(self.failed.values())}"
        halves = [key for key in found if key.endswith("-twin") and key.removesuffix("-twin") not in found]
        halves += [
            key
            for key in found
            if int(key.split("-")[0]) % 4 == 0 and not key.endswith("-twin") and f"{key}-twin" not in found
        ]
        assert not halves, f"half of a transaction was written: {halves[:5]}"


async def usable_since(database: Database) -> float:
    """When a call has succeeded that was begun now or later, again and again until one does."""
    while True:
        try:
            await database.repository(Row).count({"id": "nobody"})
        except FarmDbError:
            await asyncio.sleep(0.01)
        else:
            return time.monotonic()


async def test_acknowledged_writes_survive_kill_9_and_the_pool_comes_back(owned: servers.Owned) -> None:
    async with opened(owned.url, max_size=POOL, acquire_timeout=10, connect_timeout=2) as database:
        writers = Writers(database, WRITERS)
        returns: list[float] = []
        async with writers.writing():
            for _ in range(often(20, 1)):
                await writers.more(WRITERS)
                await asyncio.sleep(random.uniform(0, 0.1))
                owned.kill()
                await asyncio.sleep(random.uniform(0, 0.3))
                returned = await owned.start_again()
                async with asyncio.timeout(20):
                    returns.append(await usable_since(database) - returned)
            await writers.more(WRITERS)
        await becomes(lambda: idle(database), 5, f"connections stay out: {database.pool_stats()}")
        await token_on_every_connection(database, POOL)
        await writers.check()
    print(
        f"{len(writers.acknowledged)} acknowledged, {Tally(writers.failed.values())}; usable after {max(returns):.2f} s"
    )
    assert writers.failed, "nothing was under way when the server died: this proves little"
    assert max(returns) < USABLE, f"usable after {[round(one, 2) for one in returns]} s"


@pytest.mark.slow
async def test_writes_resume_after_the_election_of_a_new_primary() -> None:
    with servers.replica_set() as replicas:
        await replicas.settled()
        async with opened(replicas.url, max_size=POOL, acquire_timeout=15, connect_timeout=2, w="majority") as database:
            writers = Writers(database, 50)
            pauses: list[float] = []
            async with writers.writing():
                for _ in range(3 if FULL else 1):
                    await writers.more(100)
                    primary = replicas.primary()
                    assert primary is not None
                    killed = time.monotonic()
                    replicas.members[primary].kill()
                    await becomes(lambda: writers.last[0] > killed, 15, "no write after the primary was killed")  # noqa: B023
                    pauses.append(writers.last[1] - killed)
                    await writers.more(100)
                    await replicas.members[primary].start_again()
                    await replicas.settled()
            await writers.check()
        print(f"{len(writers.acknowledged)} acknowledged, {Tally(writers.failed.values())}; pauses {pauses}")
        assert max(pauses) < 10
