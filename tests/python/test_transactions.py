"""Transactions, savepoints, retries and what concurrent readers see."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import pytest

from farm_db import (
    Database,
    DatabaseBusyError,
    DatabaseClosedError,
    FarmDbError,
    NotFoundError,
    Repository,
    Transaction,
    TransactionConflictError,
    TransactionStateError,
    UniqueViolationError,
    UnsupportedError,
)
from support import Counter, User, eventually, failure, opened

pytestmark = pytest.mark.every_backend


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [User, Counter]) as database:
        yield database


@pytest.fixture
def users(db: Database) -> Repository[User]:
    return db.repository(User)


def user(number: int) -> dict[str, object]:
    return {"id": number, "email": str(number)}


async def test_a_block_commits_at_its_end(db: Database, users: Repository[User]) -> None:
    async with db.transaction() as tx:
        assert tx.active
        await users.create(user(1), tx=tx)
        await users.create(user(2), tx=tx)
        assert await users.count(tx=tx) == 2
        assert await users.count() == 0, "others see nothing before the commit"
    assert not tx.active
    assert await users.count() == 2


async def test_an_error_rolls_back_and_comes_out_as_it_was(db: Database, users: Repository[User]) -> None:
    mine = RuntimeError("mine")

    async def work() -> None:
        async with db.transaction() as tx:
            await users.create(user(1), tx=tx)
            raise mine

    with pytest.raises(RuntimeError) as caught:
        await work()
    assert caught.value is mine
    assert await users.count() == 0


async def test_every_verb_can_run_in_a_transaction(db: Database, users: Repository[User]) -> None:
    async with db.transaction() as tx:
        await users.create(user(1), tx=tx)
        await users.create_many([user(n) for n in range(2, 8)], tx=tx)
        assert (await users.get(1, tx=tx)).email == "1"
        assert await users.get_or_none(99, tx=tx) is None
        assert len(await users.get_many([1, 2], tx=tx)) == 2
        assert len(await users.find({"id": {"$lt": 4}}, tx=tx)) == 3
        assert (await users.find_one({"id": 1}, tx=tx)).id == 1
        assert await users.exists({"id": 1}, tx=tx)
        assert await users.distinct("id", tx=tx) == list(range(1, 8))
        assert len((await users.page(limit=3, tx=tx)).items) == 3
        assert (await users.update(1, {"name": "a"}, tx=tx)).name == "a"
        assert await users.update_one({"id": 2}, {"name": "b"}, tx=tx) == 1
        assert await users.update_many({"id": {"$gt": 5}}, {"name": "c"}, tx=tx) == 2
        assert (await users.find_one_and_update({"id": 3}, {"name": "d"}, tx=tx)).name == "d"
        assert (await users.replace(4, {**user(4), "name": "e"}, tx=tx)).name == "e"
        assert (await users.upsert({**user(5), "name": "f"}, tx=tx)).name == "f"
        await users.delete(6, tx=tx)
        assert await users.delete_many({"id": 7}, tx=tx) == 1
        assert len(await users.find(tx=tx).dicts()) == 5
        assert (await users.find(tx=tx).json()).count(b'"id"') == 5
        await tx.rollback()
    assert await users.count() == 0


@pytest.mark.needs("failed_statements")
async def test_a_failed_statement_leaves_the_transaction_usable(db: Database, users: Repository[User]) -> None:
    async with db.transaction() as tx:
        await users.create(user(1), tx=tx)
        with pytest.raises(UniqueViolationError):
            await users.create_many([user(2), user(1)], tx=tx)
        with pytest.raises(NotFoundError):
            await users.update(99, {"name": "n"}, tx=tx)
        await users.create(user(3), tx=tx)
    assert await users.distinct("id") == [1, 3]


@pytest.mark.needs("savepoints")
async def test_a_first_write_that_fails_leaves_the_transaction_usable(db: Database, users: Repository[User]) -> None:
    await users.create(user(1))
    async with db.transaction() as tx:
        for number in (2, 3):
            assert await users.count(tx=tx) == number - 1
            with pytest.raises(UniqueViolationError):
                await users.create(user(1), tx=tx)
            with pytest.raises(UniqueViolationError):
                await users.create_many([user(9), user(1)], tx=tx)
            await users.create(user(number), tx=tx)
        await users.update(1, {"name": "n"}, tx=tx)
    assert await users.distinct("id") == [1, 2, 3]
    async with db.transaction() as tx:
        with pytest.raises(UniqueViolationError):
            await users.create(user(1), tx=tx)
        assert await users.delete_many(User.id > 0, tx=tx) == 3
        await tx.rollback()
    assert await users.count() == 3
    async with db.transaction() as tx, tx.transaction() as inner:
        with pytest.raises(UniqueViolationError):
            await users.create(user(1), tx=inner)
        await users.create(user(4), tx=inner)
    assert await users.count() == 4


@pytest.fixture
async def repeating(db: Database, url: str) -> AsyncGenerator[str]:
    """The URL of somebody whose transactions see one moment, unless told otherwise."""
    name = f"u{uuid.uuid4().hex}"
    await db.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD 'secret'")
    await db.execute(f"ALTER ROLE {name} SET default_transaction_isolation = 'repeatable read'")
    parts = urlsplit(url)
    yield parts._replace(netloc=f"{name}:secret@{parts.netloc.rpartition('@')[2]}").geturl()
    await db.execute(f"DROP ROLE {name}")


@pytest.mark.only("postgres")
@pytest.mark.parametrize("how", ["option", "default", "session"])
async def test_a_first_write_that_fails_never_moves_the_moment_that_is_read(
    db: Database, users: Repository[User], url: str, repeating: str, how: str
) -> None:
    await users.create(user(1))
    async with opened(repeating if how == "default" else url, [User], max_size=1) as other:
        theirs = other.repository(User)
        if how == "session":
            await other.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        async with other.transaction(isolation="repeatable_read" if how == "option" else None) as tx:
            assert await theirs.count(tx=tx) == 1
            await users.create(user(2))
            with pytest.raises(UniqueViolationError):
                await theirs.create(user(1), tx=tx)
            if how == "session":
                # Nobody knew of it, so that the moment is lost, and the transaction with it.
                assert isinstance(await failure(theirs.count(tx=tx)), TransactionStateError)
                await tx.rollback()
            else:
                assert await theirs.count(tx=tx) == 1


@pytest.mark.only("postgres")
async def test_a_write_that_fails_leaves_the_locks_of_the_transaction(db: Database, users: Repository[User]) -> None:
    await users.create(user(1))
    async with db.transaction() as tx:
        await db.execute("SELECT id FROM users FOR UPDATE", tx=tx)
        with pytest.raises(UniqueViolationError):
            await users.create(user(1), tx=tx)
        assert isinstance(await failure(db.execute("SELECT id FROM users FOR UPDATE NOWAIT")), DatabaseBusyError)


@pytest.mark.needs("savepoints")
async def test_a_savepoint_can_fail_alone(db: Database, users: Repository[User]) -> None:
    async def fails(tx: Transaction) -> None:
        async with tx.transaction() as inner:
            await users.create(user(2), tx=inner)
            raise ValueError("inner")

    async with db.transaction() as tx:
        await users.create(user(1), tx=tx)
        with pytest.raises(ValueError, match="inner"):
            await fails(tx)
        async with tx.transaction() as inner:
            await users.create(user(3), tx=inner)
            async with inner.transaction() as innermost:
                await users.create(user(4), tx=innermost)
                await innermost.rollback()
    assert await users.distinct("id") == [1, 3]


@pytest.mark.needs("savepoints")
async def test_an_outer_rollback_undoes_committed_savepoints(db: Database, users: Repository[User]) -> None:
    async with db.transaction() as tx:
        async with tx.transaction() as inner:
            await users.create(user(1), tx=inner)
        assert await users.count(tx=tx) == 1
        await tx.rollback()
    assert await users.count() == 0


async def test_a_transaction_that_is_over_refuses_work(db: Database, users: Repository[User]) -> None:
    async with db.transaction() as tx:
        await tx.commit()
        error = await failure(users.create(user(1), tx=tx))
        assert isinstance(error, TransactionStateError)
    for work in (users.count(tx=tx), tx.commit(), tx.rollback()):
        assert isinstance(await failure(work), TransactionStateError)
    assert await users.count() == 0


async def test_a_transaction_of_another_database_is_refused(
    db: Database, users: Repository[User], tmp_path: object
) -> None:
    async with opened(f"sqlite:///{tmp_path}/other.db", [User]) as other, other.transaction() as tx:
        error = await failure(users.create(user(1), tx=tx))
        assert isinstance(error, TransactionStateError)
    db.bind()
    assert await users.count() == 0


async def test_a_read_only_transaction_sees_one_moment_and_writes_nothing(
    db: Database, users: Repository[User]
) -> None:
    await users.create(user(1))
    async with db.transaction(read_only=True) as tx:
        assert await users.count(tx=tx) == 1
        await users.create(user(2))
        assert await users.count(tx=tx) == 1, "a snapshot does not move"
        error = await failure(users.create(user(3), tx=tx))
        assert isinstance(error, TransactionStateError)
        error = await failure(db.execute("DELETE FROM users", tx=tx))
        assert isinstance(error, FarmDbError)
    assert await users.count() == 2


async def test_an_unknown_isolation_is_refused(db: Database) -> None:
    with pytest.raises(FarmDbError) as caught:
        async with db.transaction(isolation="chaos"):
            pass
    assert caught.value.code in ("invalid_query", "invalid_configuration", "unsupported")
    if db.capabilities["serializable"]:
        async with db.transaction(isolation="serializable") as tx:
            assert tx.active
    else:
        with pytest.raises(UnsupportedError):
            await db.transaction(isolation="serializable").__aenter__()


async def test_transactions_that_read_and_write_lose_no_update(db: Database) -> None:
    counters = db.repository(Counter)
    await counters.create({"id": 1})

    async def count_up(tx: Transaction) -> None:
        row = await counters.get(1, tx=tx)
        await asyncio.sleep(0)
        await counters.update(1, {"value": row.value + 1}, tx=tx)

    # Where several write at once, the one that loses runs again.
    again = (db.run_transaction(count_up, retries=200, isolation="snapshot") for _ in range(60))
    await asyncio.gather(*again)
    assert (await counters.get(1)).value == 60


async def test_readers_go_on_while_a_transaction_writes(db: Database, users: Repository[User]) -> None:
    await users.create(user(1))
    async with db.transaction() as tx:
        await users.create(user(2), tx=tx)
        async with asyncio.timeout(5):
            counts = await asyncio.gather(*(users.count() for _ in range(50)))
    assert counts == [1] * 50


async def test_run_transaction_returns_what_the_function_returns(db: Database, users: Repository[User]) -> None:
    async def work(tx: Transaction) -> str:
        return (await users.create(user(1), tx=tx)).email

    assert await db.run_transaction(work) == "1"
    assert await users.count() == 1


async def test_run_transaction_runs_again_after_a_conflict_and_only_then(db: Database, users: Repository[User]) -> None:
    attempts = 0

    async def loses_twice(tx: Transaction) -> int:
        nonlocal attempts
        attempts += 1
        await users.create(user(attempts), tx=tx)
        if attempts < 3:
            raise TransactionConflictError("lost") if attempts == 1 else DatabaseBusyError("busy")
        return attempts

    assert await db.run_transaction(loses_twice) == 3
    assert await users.distinct("id") == [3]

    async def always_loses(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        raise TransactionConflictError("lost")

    attempts = 0
    with pytest.raises(TransactionConflictError):
        await db.run_transaction(always_loses, retries=2)
    assert attempts == 3

    async def fails(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError

    attempts = 0
    with pytest.raises(ValueError):
        await db.run_transaction(fails)
    assert attempts == 1


@pytest.mark.only("sqlite")
async def test_run_transaction_does_not_run_again_after_its_deadline(db: Database) -> None:
    runs = 0

    async def always_loses(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.05)
        raise TransactionConflictError("lost")

    with pytest.raises(TransactionConflictError):
        await db.run_transaction(always_loses, retries=1000, deadline=0.2)
    assert 2 <= runs <= 4


async def test_a_transaction_nobody_holds_any_more_is_rolled_back(db: Database, users: Repository[User]) -> None:
    native = await db._open().begin(None, False)
    tx = Transaction(native)
    await users.create(user(1), tx=tx)
    del native, tx
    async with asyncio.timeout(5):
        await users.create(user(2))
    assert await users.distinct("id") == [2]
    assert await eventually(lambda: db.pool_stats()["in_use"] == 0)


async def test_cancelling_a_block_rolls_back_and_frees_the_writer(db: Database, users: Repository[User]) -> None:
    written = asyncio.Event()

    async def block() -> None:
        async with db.transaction() as tx:
            await users.create(user(1), tx=tx)
            written.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(block())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await users.create(user(2))
    assert await users.distinct("id") == [2]


@pytest.mark.slow
async def test_closing_the_database_ends_a_transaction_without_its_effect(url: str) -> None:
    database = Database(url, models=[User])
    await database.connect()
    tx = Transaction(await database._open().begin(None, False))
    await database.repository(User).create(user(1), tx=tx)
    async with asyncio.timeout(20):
        assert (await failure(database.close())).code == "pool_timeout"
    assert (await failure(tx.commit())).code in ("transaction_state", "database_closed")
    async with opened(url, [User]) as again:
        assert await again.repository(User).count() == 0


async def test_a_transaction_of_a_closed_database_is_refused(url: str) -> None:
    database = Database(url, models=[User])
    with pytest.raises(DatabaseClosedError):
        async with database.transaction():
            pass
