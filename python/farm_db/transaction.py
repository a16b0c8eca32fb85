"""Transactions and the savepoints inside them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from .errors import FarmDbError

if TYPE_CHECKING:
    from . import _native


class Transaction:
    """A running transaction; give it to every call that belongs to it as `tx=`.

    Made by `Database.transaction()`, which commits it at the end of its block and rolls it back when the block raises.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.Transaction) -> None:
        self._native = native

    @property
    def active(self) -> bool:
        """Whether it is neither committed nor rolled back."""
        return self._native.active

    async def commit(self) -> None:
        """Makes everything done in it permanent.

        Raises:
            TransactionStateError: if it is over.
            TransactionConflictError: if it lost against another transaction; nothing was done.
            OutcomeUnknownError: if the connection broke while committing.
        """
        await self._native.commit()

    async def rollback(self) -> None:
        """Undoes everything done in it.

        Raises:
            TransactionStateError: if it is over.
        """
        await self._native.rollback()

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A savepoint: `async with tx.transaction() as inner`; its block may fail without ending this transaction."""
        return scope(self._native.begin)

    def __repr__(self) -> str:
        return f"<Transaction {'active' if self.active else 'over'}>"


@asynccontextmanager
async def scope(begin: Callable[[], Awaitable[_native.Transaction]]) -> AsyncGenerator[Transaction]:
    """Runs a block in a transaction: commits at its end, rolls back when it raises or is cancelled.

    A block may commit or roll back by itself; then nothing more happens.
    """
    native = await begin()
    try:
        yield Transaction(native)
    except BaseException as error:
        if native.active:
            await _undo(native, error)
        raise
    if native.active:
        await native.commit()


async def _undo(native: _native.Transaction, error: BaseException) -> None:
    """Rolls back without hiding why."""
    try:
        await native.rollback()
    except FarmDbError as failure:
        error.add_note(f"the rollback failed too: {failure}")
