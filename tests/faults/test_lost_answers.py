"""Wires that are cut at the worst moment: after a COMMIT or a write was sent, in the middle of an answer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter as Tally
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from farm_db import Database, FarmDbError, Repository, Transaction
from faults.conftest import Wire
from faults.proxy import Proxy, Rule
from faults.support import FULL, SERVERS, Row, Wide, becomes, endpoint, idle, often, opened, through

pytestmark = [pytest.mark.alone, pytest.mark.every_backend, pytest.mark.only(*SERVERS)]

COMMITS = {"postgres": b"COMMIT", "mysql": b"COMMIT", "mongodb": b"commitTransaction"}


async def test_a_lost_commit_is_told_as_unknown_and_never_done_twice(url: str) -> None:
    count = often(1000, 50)
    async with opened(url) as beside:
        await beside.repository(Row).create_many([{"id": f"{number}"} for number in range(count)])
        # MongoDB's driver looks at a server that has failed it twice a second only: twenty drivers wait side by side.
        lanes = 20 if beside.backend == "mongodb" else 1
        bodies = sum(
            await asyncio.gather(*(_lose_commits(url, beside, range(lane, count, lanes)) for lane in range(lanes)))
        )
        assert bodies == count
        values = [row.value for row in await beside.repository(Row).find({"id": {"$regex": "^[0-9]"}})]
        assert len(values) == count
        assert set(values) == ({1} if beside.backend == "mongodb" else {0, 1})


async def _lose_commits(url: str, beside: Database, numbers: range) -> int:
    """Loses the commit of each of these transactions; how often their bodies ran."""
    async with Proxy(*endpoint(url)) as proxy, opened(through(url, proxy.port), max_size=4) as database:
        work = Counted(database)
        for number in numbers:
            # The pool slows down where connections are lost before they were of any use.
            await work.rows.exists({"id": "0"})
            # Half of the time the server has committed, half of the time it has never heard of it.
            then: Any = "lose_answer" if number % 2 == 0 else "lose_request"
            with proxy.rule(Rule("to_server", COMMITS[database.backend], then=then)) as rule:
                told = await work.told_of_run(number)
            assert rule.fired, "no commit passed the wire"
            # MongoDB's driver may send a commit again, whose number the server knows; nobody may run the body again.
            assert told == ("done" if database.backend == "mongodb" else "outcome_unknown")
            assert await work.effect(beside, number) == (1 if told == "done" or then == "lose_answer" else 0)
        await work.at_rest()
        return sum(work.bodies.values())


@pytest.mark.slow
@pytest.mark.only("mongodb")
async def test_a_commit_of_mongodb_that_is_always_lost_is_told_as_unknown(wire: Wire) -> None:
    async with opened(wire.url, max_size=4) as database, opened(wire.direct) as beside:
        work = Counted(database)
        await work.rows.create({"id": "0"})
        with wire.proxy.rule(Rule("to_server", COMMITS["mongodb"], then="lose_answer", times=None)):
            assert await work.told_of_run(0) == "outcome_unknown"
        assert await work.effect(beside, 0) == 1
        await work.at_rest()


class Counted:
    """Transactions of two writes each, whose runs and effects are counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rows = database.repository(Row)
        self.bodies: Tally[int] = Tally()

    async def told_of_run(self, number: int) -> str:
        """What the caller of a transaction is told."""

        async def body(tx: Transaction) -> None:
            self.bodies[number] += 1
            await self.rows.update(f"{number}", {"$inc": {"value": 1}}, tx=tx)
            await self.rows.create({"id": f"mark-{number}"}, tx=tx)

        told = await told_of(self.database.run_transaction(body, retries=5))
        assert self.bodies[number] == 1, f"after a lost commit the body ran again ({told})"
        return told

    async def effect(self, beside: Database, number: int) -> int:
        """How often it has taken effect, seen from beside."""
        rows = beside.repository(Row)
        value, marks = (await rows.get(f"{number}")).value, await rows.count({"id": f"mark-{number}"})
        assert value == marks, "half of a transaction was written"
        return value

    async def at_rest(self) -> None:
        """That nothing of them is left in the pool."""
        await becomes(lambda: idle(self.database), 5, f"connections stay out: {self.database.pool_stats()}")


async def told_of(awaitable: Awaitable[Any]) -> str:
    """`done`, or the code of the error."""
    try:
        async with asyncio.timeout(20):
            await awaitable
    except FarmDbError as error:
        return error.code
    return "done"


def _times(database: Database, many: int) -> int:
    """Fewer on MongoDB, whose driver looks at a server that has failed it twice a second only."""
    return many // 6 if database.backend == "mongodb" else many


Verb = tuple[Callable[[Repository[Row], str], Awaitable[Any]], Callable[[Row | None], bool]]

#: Each verb with whether its effect is to be seen in the row. The token stands in each, so that the proxy knows it.
VERBS: dict[str, Verb] = {
    "create": (
        lambda rows, token: rows.create({"id": token, "value": 7}),
        lambda row: row is not None and row.value == 7,
    ),
    "create_many": (
        lambda rows, token: rows.create_many([{"id": token, "value": 7}, {"id": f"{token}-b", "value": 7}]),
        lambda row: row is not None and row.value == 7,
    ),
    "update": (
        lambda rows, token: rows.update(token, {"$inc": {"value": 1}, "$set": {"token": token}}),
        lambda row: row is not None and row.value != 0,
    ),
    "update_many": (
        lambda rows, token: rows.update_many({"id": token}, {"$inc": {"value": 1}}),
        lambda row: row is not None and row.value != 0,
    ),
    "replace": (
        lambda rows, token: rows.replace(token, {"id": token, "value": 9}),
        lambda row: row is not None and row.value == 9,
    ),
    "upsert": (
        lambda rows, token: rows.upsert({"id": token, "value": 9}),
        lambda row: row is not None and row.value == 9,
    ),
    "find_one_and_update": (
        lambda rows, token: rows.find_one_and_update({"id": token}, {"$inc": {"value": 1}}),
        lambda row: row is not None and row.value != 0,
    ),
    "delete": (lambda rows, token: rows.delete(token), lambda row: row is None),
    "delete_many": (lambda rows, token: rows.delete_many({"id": token}), lambda row: row is None),
}


@pytest.mark.parametrize("verb", VERBS if FULL else ["create", "update"])
async def test_a_write_whose_answer_is_lost_never_says_that_it_was_not_done(wire: Wire, verb: str) -> None:
    call, done = VERBS[verb]
    async with opened(wire.url, max_size=2) as database, opened(wire.direct) as beside:
        rows, seen = database.repository(Row), beside.repository(Row)
        found: list[str] = []
        for number in range(often(_times(database, 24), 1)):
            token = f"{verb}-{number:04}-token"
            if not verb.startswith("create"):
                await seen.create({"id": token})
            # Prepared on this connection, as it would be in an app.
            await rows.count({"id": "nobody"})
            with wire.proxy.rule(Rule("to_server", token.encode(), then="lose_answer", times=None)) as rule:
                told = await told_of(call(rows, token))
            assert rule.fired, "nothing was lost"
            await asyncio.sleep(0.05)
            row = await seen.get_or_none(token)
            found.append(f"{told}, {'done' if done(row) else 'not done'}")
            # Inside of a transaction of its own a verb may also be told to try again.
            assert told in ("outcome_unknown", "done", "connection_failed", "transaction_conflict"), told
            assert row is None or row.value in (0, 1, 7, 9), f"done twice: {row}"
        print(Tally(found))
        untrue = {one for one in found if not one.startswith("outcome_unknown")} - {"done, done"}
        assert not any(one.endswith(", done") for one in untrue), f"told as not done, but done: {Tally(found)}"
        assert "done, not done" not in found
        # Verbs that read before they write lose the answer to the read; their commit has a test of its own.
        assert verb != "create" or set(found) == {"outcome_unknown, done"}, found
        await becomes(lambda: idle(database), 5, f"connections stay out: {database.pool_stats()}")


#: Read, changed and written in a transaction on every database, because none answers the filter itself.
REWRITE: Verb = (
    lambda rows, token: rows.update_many({"id": {"$regex": f"^{token}$"}}, {"$inc": {"value": 1}}),
    lambda row: row is not None and row.value == 1,
)


@pytest.mark.only(*(SERVERS if FULL else SERVERS[:2]))
async def test_a_write_whose_commit_is_lost_is_of_unknown_outcome(wire: Wire) -> None:
    """Verbs of several statements end in a COMMIT of their own, on some databases."""
    async with opened(wire.url, max_size=2) as database, opened(wire.direct) as beside:
        lost = 0
        for verb, (call, done) in {**VERBS, "rewrite": REWRITE}.items():
            token = f"{verb}-commit-token"
            if not verb.startswith("create"):
                await beside.repository(Row).create({"id": token})
            with wire.proxy.rule(Rule("to_server", COMMITS[database.backend], then="lose_answer", times=None)) as rule:
                told = await told_of(call(database.repository(Row), token))
            await asyncio.sleep(0.05)
            assert done(await beside.repository(Row).get_or_none(token)), verb
            assert told == ("outcome_unknown" if rule.fired else "done"), f"{verb}: {told}"
            lost += bool(rule.fired)
        assert lost > 0, "no commit was lost: this proves nothing"


async def test_a_read_whose_connection_is_cut_succeeds_or_may_be_repeated(wire: Wire) -> None:
    async with opened(wire.url, max_size=2) as database:
        rows = database.repository(Row)
        await rows.create_many([{"id": f"r{number}", "token": "here"} for number in range(20)])
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: rows.find({"token": "here"}),
            lambda: rows.count({"token": "here"}),
            lambda: rows.find_one({"token": "here"}),
            lambda: rows.exists({"token": "here"}),
            lambda: rows.page({"token": "here"}, limit=5),
        ]
        calls = calls[: often(len(calls), 2)]
        expected = [await call() for call in calls]
        for times in (1, None) if FULL else (1,):
            for call, right in zip(calls, expected, strict=True):
                rule = Rule("to_server", b"here", then="lose_answer", times=times)
                with wire.proxy.rule(rule):
                    try:
                        found = await call()
                    except FarmDbError as error:
                        assert error.code == "connection_failed"
                        assert error.retryable
                    else:
                        assert times == 1, "this cannot be an answer"
                        assert found == right
                assert rule.fired
                assert await call() == right, "the connection was not replaced"
        await becomes(lambda: idle(database), 5, f"connections stay out: {database.pool_stats()}")


async def test_an_answer_that_breaks_off_is_never_taken_for_the_whole(wire: Wire) -> None:
    chance = random.Random(1)
    async with opened(wire.url, max_size=2) as database:
        wide = database.repository(Wide)
        # So many that the first are built while the last are on their way.
        await wide.create_many([{"id": number, "text": f"{number} " * 20} for number in range(2000)])
        before = wire.proxy.passed["to_client"]
        whole = await wide.find(sort="id")
        size = wire.proxy.passed["to_client"] - before
        broken = 0
        for _ in range(often(_times(database, 300), 3)):
            streams = chance.random() < 0.5
            rule = Rule("to_client", after=chance.randrange(size), times=1 if chance.random() < 0.5 else 2)
            with wire.proxy.rule(rule):
                try:
                    found = (
                        [row async for row in wide.find(sort="id").stream(batch=200)]
                        if streams
                        else await wide.find(sort="id")
                    )
                except FarmDbError as error:
                    assert error.code == "connection_failed", f"{error.code}: {error}"
                    broken += 1
                else:
                    assert found == whole, f"{len(found)} of {len(whole)} rows"
            await wide.count()
        print(f"{broken} broken")
        assert broken, "nothing was broken: this proves nothing"
        await becomes(lambda: idle(database), 5, f"connections stay out: {database.pool_stats()}")


@pytest.mark.slow
async def test_a_connection_that_the_server_half_closes_while_it_idles_is_replaced(wire: Wire) -> None:
    async with opened(wire.url, max_size=2) as database:
        rows = database.repository(Row)
        await rows.create({"id": "a"})
        for _ in range(3):
            await asyncio.gather(*(rows.get("a") for _ in range(4)))
            wire.proxy.half_close("to_client")
            await asyncio.sleep(0.02)
            async with asyncio.timeout(5):
                assert (await rows.get("a")).id == "a"
                async with database.transaction() as tx:
                    await rows.update("a", {"$inc": {"value": 1}}, tx=tx)
        assert (await rows.get("a")).value == 3
