"""PgBouncer in transaction mode while callers go away: a cancel stops what it was meant for and nobody else's."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from farm_db import Database
from faults.support import NAME, Row, Wide, becomes, idle, often, opened, token_on_every_connection
from faults.test_cancelled import cancelled_at_random

pytestmark = pytest.mark.alone
POOL = 8


@pytest.fixture
async def db() -> AsyncGenerator[Database]:
    schema = f"farm_{uuid.uuid4().hex}"
    proxy = f"{os.environ['FARM_TEST_PGBOUNCER_URL']}?pgbouncer=true&schema={schema}"
    async with opened(proxy, max_size=POOL) as database:
        await database.repository(Wide).create_many(
            [{"id": number, "text": f"{number:04}" * 100} for number in range(200)]
        )
        yield database
        await database.execute(f"DROP SCHEMA {schema} CASCADE")


async def test_cancels_through_a_proxy_stop_nobody_else(db: Database) -> None:
    count = often(3000, 150)
    wide, rows = db.repository(Wide), db.repository(Row)
    await rows.create({"id": "a"})
    serial = iter(range(10**9))
    going, answered = True, 0

    async def bystander(number: int) -> None:
        """Is never cancelled, so that nothing of it may fail."""
        nonlocal answered
        while going:
            async with db.transaction() as tx:
                found = await wide.find({"id": {"$gte": number, "$lt": number + 20}}, sort="id", tx=tx)
                assert [row.id for row in found] == list(range(number, number + 20))
            assert (await wide.get(number)).text == f"{number:04}" * 100
            answered += 1

    async def victim() -> None:
        kind = next(serial) % 4
        if kind == 0:
            assert len(await wide.find()) == 200
        elif kind == 1:
            async with db.transaction() as tx:
                await rows.update("a", {"$inc": {"value": 1}}, tx=tx)
                await asyncio.sleep(0.002)
                await tx.rollback()
        elif kind == 2:
            async with aclosing(wide.find(sort="id").stream(batch=10)) as stream:
                assert [row.id async for row in stream] == list(range(200))
        else:
            await db.execute("SELECT pg_sleep(0.03)")

    bystanders = [asyncio.create_task(bystander(number * 20)) for number in range(4)]
    try:
        cancelled = await cancelled_at_random(victim, count, 0.05, together=12)
    finally:
        going = False
        async with asyncio.timeout(20):
            await asyncio.gather(*bystanders)
    assert cancelled > count * 0.2, "hardly anything was cancelled: this proves little"
    assert answered > count / 20
    await becomes(lambda: idle(db), 5, f"connections stay out: {db.pool_stats()}")

    async def at_rest() -> bool:
        sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE state LIKE 'idle in trans%' AND application_name = $1"
        return (await db.execute(sql, [NAME]))[0]["n"] == 0

    await becomes(at_rest, 1, "transactions are left open on the server")
    for _ in range(3):
        await token_on_every_connection(db, POOL)
    assert (await rows.get("a")).value == 0
