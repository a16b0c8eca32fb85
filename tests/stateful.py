"""A repository against plain dicts (plain_rows.py): hypothesis makes up programs of verbs, transactions and savepoints,
and after each step both must hold the same rows and have given the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from farm_db import ALL, Database, Document, FarmDbError, Field, Transaction
from farm_db.mixins import SoftDeleteMixin
from plain_rows import HIGH, LOW, Condition, Refused, Row, Table, begins, compare, has_tag, has_tags, joined, ordered
from plain_rows import tag_count as tag_count_is

IDS = some.integers(1, 6)
CODES = some.sampled_from(["a", "A", "ä", "b", "c", "d", "%", "_"])
NAMES = some.sampled_from(["", "x", "X", "xy", "é", "z z", "Ω", "😀"])
SIZES = some.integers(-12, 12)
RATES = some.sampled_from([None, -1.5, 0.0, 0.25, 1.0, 3.5])
TAGS = some.sampled_from(["red", "Red", "ü"])
SORTS = some.lists(
    some.sampled_from(["size", "-size", "name", "-name", "rate", "-rate"]),
    max_size=2,
    unique_by=lambda part: part.removeprefix("-"),
)


class Item(Document, SoftDeleteMixin, table="items"):
    id: int = Field(primary_key=True)
    code: str = Field(unique=True, max_length=10)
    name: str = Field(default="", max_length=10)
    size: int = Field(default=0, ge=LOW, le=HIGH)
    rate: float | None = None
    tags: list[str] = []
    version: int = Field(default=1, auto="version")


RECORDS = some.fixed_dictionaries(
    {
        "id": IDS,
        "code": CODES,
        "name": NAMES,
        "size": SIZES,
        "rate": RATES,
        "tags": some.lists(TAGS, max_size=3),
    }
)


def _comparisons() -> some.SearchStrategy[Condition]:
    orders = some.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
    lists = some.sampled_from(["$in", "$nin"])
    return some.one_of(
        some.builds(compare, some.just("size"), orders, SIZES),
        some.builds(compare, some.just("size"), lists, some.lists(SIZES, min_size=1, max_size=3)),
        some.builds(compare, some.just("rate"), orders, RATES.filter(lambda rate: rate is not None)),
        some.builds(compare, some.just("rate"), some.sampled_from(["$eq", "$ne"]), some.none()),
        some.builds(compare, some.just("rate"), lists, some.lists(RATES, min_size=1, max_size=3)),
        some.builds(compare, some.just("name"), orders, NAMES),
        some.builds(compare, some.just("code"), some.sampled_from(["$eq", "$ne"]), CODES),
        some.builds(begins, some.sampled_from(["x", "X", "z", "é"])),
        some.builds(has_tag, TAGS),
        some.builds(has_tags, some.lists(TAGS, min_size=1, max_size=2)),
        some.builds(tag_count_is, some.integers(0, 3)),
    )


CONDITIONS = some.recursive(
    _comparisons(),
    lambda inner: some.builds(
        joined, some.sampled_from(["$and", "$or", "$nor"]), some.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=4,
)

#: One operator, or two on different fields.
OPERATORS = some.one_of(
    some.fixed_dictionaries(
        {"$set": some.fixed_dictionaries({}, optional={"name": NAMES, "size": SIZES, "rate": RATES})}
    ).filter(lambda update: bool(update["$set"])),
    some.builds(lambda by: {"$inc": {"size": by}}, SIZES),
    some.builds(lambda by: {"$mul": {"size": by}}, some.integers(-3, 3)),
    some.builds(lambda operator, to: {operator: {"size": to}}, some.sampled_from(["$min", "$max"]), SIZES),
    some.just({"$unset": {"rate": ""}}),
    some.builds(
        lambda operator, tag: {operator: {"tags": tag}}, some.sampled_from(["$push", "$addToSet", "$pull"]), TAGS
    ),
    some.builds(lambda by, tag: {"$inc": {"size": by}, "$push": {"tags": tag}}, SIZES, TAGS),
    some.builds(lambda code: {"$set": {"code": code}}, CODES),
)


def plain(item: Item) -> Row:
    """An instance as the model holds it."""
    row = item.model_dump(exclude={"deleted_at", "is_deleted"})
    assert item.is_deleted == (item.deleted_at is not None)
    return {**row, "deleted": item.is_deleted}


class World:
    """One database, opened once, for many programs."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.database = Database(url, models=[Item])
        self.run(self.database.connect())
        facts = self.database.capabilities
        self.savepoints = bool(facts["savepoints"])
        self.survives_failures = bool(facts["failed_statements"])
        self.answers = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    def close(self) -> None:
        self.run(self.database.close())
        self.loop.close()


class Programs(RuleBasedStateMachine):
    """One program."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()
        self.items = self.world.database.repository(Item)
        self.scopes: list[tuple[Any, Transaction]] = []
        self.world.run(self.items.delete_many(ALL, hard=True))
        self.world.run(self._remove_deleted())

    async def _remove_deleted(self) -> None:
        for item in await self.items.find().include_deleted():
            await self.items.delete(item.id, hard=True)

    def teardown(self) -> None:
        while self.scopes:
            self._leave(False)

    @property
    def tx(self) -> Transaction | None:
        return self.scopes[-1][1] if self.scopes else None

    def both(self, work: Coroutine[Any, Any, Any], expected: Any) -> None:
        """The database's answer, or its error, must be the one of `expected()`."""
        self.world.answers += 1
        try:
            wanted = expected()
        except Refused as refused:
            wanted = refused
        try:
            answer = self.world.run(work)
        except FarmDbError as error:
            if not isinstance(wanted, Refused) or error.code not in wanted.codes:
                raise AssertionError(f"{error!r} instead of {wanted!r}") from error
            if self.scopes and not self.world.survives_failures:
                self._leave(False)
            return
        assert not isinstance(wanted, Refused), f"{answer!r} instead of {wanted!r}"
        answer = plain(answer) if isinstance(answer, Item) else answer
        assert answer == wanted, f"{answer!r} instead of {wanted!r}"

    @initialize(records=some.lists(RECORDS, max_size=5, unique_by=(lambda row: row["id"], lambda row: row["code"])))
    def fill(self, records: list[Row]) -> None:
        async def work() -> list[Row]:
            return [plain(item) for item in await self.items.create_many(records)]

        self.both(work(), lambda: [self.table.create(record) for record in records])

    # Transactions.

    @precondition(lambda self: not self.scopes)
    @rule()
    def begin(self) -> None:
        self._enter(self.world.database.transaction())

    @precondition(lambda self: 0 < len(self.scopes) < 4 and self.world.savepoints)
    @rule()
    def savepoint(self) -> None:
        assert self.tx is not None
        self._enter(self.tx.transaction())

    @precondition(lambda self: bool(self.scopes))
    @rule(committed=some.booleans())
    def end(self, committed: bool) -> None:
        self._leave(committed)

    def _enter(self, scope: Any) -> None:
        self.scopes.append((scope, self.world.run(scope.__aenter__())))
        self.table.begin()

    def _leave(self, committed: bool) -> None:
        scope, _ = self.scopes.pop()
        if committed:
            self.world.run(scope.__aexit__(None, None, None))
            self.table.commit()
            return
        self.table.rollback()
        reason = RuntimeError("rolled back")
        assert not self.world.run(scope.__aexit__(RuntimeError, reason, None)), "the scope swallowed an error"

    # Writing.

    @rule(record=RECORDS)
    def create(self, record: Row) -> None:
        self.both(self.items.create(record, tx=self.tx), lambda: self.table.create(record))

    @rule(record=RECORDS)
    def upsert(self, record: Row) -> None:
        self.both(self.items.upsert(record, tx=self.tx), lambda: self.table.upsert(record))

    @rule(id=IDS, update=OPERATORS, ahead=some.sampled_from([None, None, 0, 0, 1, -1]))
    def update(self, id: int, update: dict[str, Any], ahead: int | None) -> None:
        row = self.table.rows.get(id)
        version = None if ahead is None or row is None else max(1, row["version"] + ahead)
        work = self.items.update(id, update, expected_version=version, tx=self.tx)
        self.both(work, lambda: self.table.update(id, update, version))

    @rule(condition=CONDITIONS, update=OPERATORS.filter(lambda update: "code" not in update.get("$set", {})))
    def update_many(self, condition: Condition, update: dict[str, Any]) -> None:
        work = self.items.update_many(condition.asked, update, tx=self.tx)
        self.both(work, lambda: self.table.update_these(self.table.matching(condition), update))

    @rule(condition=CONDITIONS, update=OPERATORS, sort=SORTS)
    def update_first(self, condition: Condition, update: dict[str, Any], sort: list[str]) -> None:
        first = ordered(self.table.matching(condition), [*sort, "id"])[:1]
        work = self.items.find_one_and_update(condition.asked, update, sort=[*sort, "id"], tx=self.tx)

        def expected() -> Row | None:
            self.table.update_these(first, update)
            return self.table.rows[first[0]["id"]] if first else None

        self.both(work, expected)

    @rule(id=IDS)
    def delete(self, id: int) -> None:
        def expected() -> None:
            self.table.mark(self.table.living(id), True)

        self.both(self.items.delete(id, tx=self.tx), expected)

    @rule(id=IDS)
    def delete_hard(self, id: int) -> None:
        self.both(self.items.delete(id, hard=True, tx=self.tx), lambda: self.table.remove(id))

    @rule(condition=CONDITIONS)
    def delete_many(self, condition: Condition) -> None:
        def expected() -> int:
            return sum(1 for row in self.table.matching(condition) if self.table.mark(row, True))

        self.both(self.items.delete_many(condition.asked, tx=self.tx), expected)

    @rule(id=IDS)
    def restore(self, id: int) -> None:
        def expected() -> Row:
            row = self.table.rows.get(id)
            if row is None or not row["deleted"]:
                raise Refused("not_found")
            return self.table.mark(row, False)

        self.both(self.items.restore(id, tx=self.tx), expected)

    # Reading.

    @rule(id=IDS)
    def get(self, id: int) -> None:
        self.both(self.items.get(id, tx=self.tx), lambda: self.table.living(id))

    @rule(
        condition=some.none() | CONDITIONS,
        sort=SORTS,
        skip=some.none() | some.integers(0, 3),
        limit=some.none() | some.integers(1, 4),
        deleted=some.booleans(),
    )
    def find(
        self, condition: Condition | None, sort: list[str], skip: int | None, limit: int | None, deleted: bool
    ) -> None:
        filters = [] if condition is None else [condition.asked]
        query = self.items.find(*filters, sort=[*sort, "id"], skip=skip, limit=limit, tx=self.tx)
        query = query.include_deleted() if deleted else query
        start = skip or 0
        end = None if limit is None else start + limit

        async def work() -> list[Row]:
            return [plain(item) for item in await query]

        self.both(work(), lambda: ordered(self.table.matching(condition, deleted), [*sort, "id"])[start:end])

    @rule(condition=CONDITIONS, sort=SORTS, size=some.integers(1, 3))
    def pages(self, condition: Condition, sort: list[str], size: int) -> None:
        async def work() -> list[Row]:
            found: list[Row] = []
            after: str | None = None
            while True:
                page = await self.items.page(condition.asked, sort=sort or None, limit=size, after=after, tx=self.tx)
                assert len(page.items) <= size
                found += [plain(item) for item in page.items]
                after = page.next_cursor
                if after is None:
                    return found

        self.both(work(), lambda: ordered(self.table.matching(condition), sort))

    @rule(condition=CONDITIONS)
    def count(self, condition: Condition) -> None:
        matching = self.table.matching(condition)

        async def work() -> tuple[int, bool, list[int]]:
            return (
                await self.items.count(condition.asked, tx=self.tx),
                await self.items.exists(condition.asked, tx=self.tx),
                await self.items.distinct("size", condition.asked, tx=self.tx),
            )

        self.both(work(), lambda: (len(matching), bool(matching), sorted({row["size"] for row in matching})))

    @invariant()
    def the_rows_are_the_same(self) -> None:
        """Inside the transaction, and outside, where only what is committed is seen."""

        async def rows(tx: Transaction | None) -> list[Row]:
            return [plain(item) for item in await self.items.find(sort="id", tx=tx).include_deleted()]

        assert self.world.run(rows(self.tx)) == ordered(list(self.table.rows.values()), [])
        if self.scopes:
            assert self.world.run(rows(None)) == ordered(list(self.table.committed.values()), [])


def run_programs(url: str, programs: int, steps: int) -> str:
    """Runs so many programs on an empty database."""
    world = World(url)
    try:
        machine = type("OfOneDatabase", (Programs,), {"world": world})
        run_state_machine_as_test(
            machine, settings=settings(max_examples=programs, stateful_step_count=steps, deadline=None)
        )
        return f"{world.answers} answers compared"
    finally:
        world.close()
