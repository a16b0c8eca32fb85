"""Hostile JSON of any shape, from the outside in: a right answer or a typed error, in a bounded time and memory, and no
other table is touched. `test_hostile.py` has the names, `test_bad_input.py` the mistakes one by one."""

# ruff: noqa: B023 - every lambda is called where it stands.

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import resource
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from farm_db import Database, Document, FarmDbError, Field, Repository, _native, errors
from support import Address, User, opened

pytestmark = pytest.mark.every_backend

#: Codes that tell of a defect, or of a database that did not understand what we said.
DEFECTS = {"internal_error", "backend_error", "connection_failed", "connection_lost", "outcome_unknown"}
#: Seconds that one call may take, whatever it was given; a debug build on a busy machine needs some of them.
PATIENCE = 10.0
#: Megabytes by which the process may grow over all calls of a test, also for a moment: 70,000 conditions are 3 KB each
#: on MongoDB.
GROWTH = 300
DEEP = 10_000


class Target(Document, table="targets"):
    id: int = Field(primary_key=True)
    text: str | None = None
    number: int | None = None
    real: float | None = None
    flag: bool | None = None
    items: list[str] = []
    numbers: list[int] = []
    place: Address | None = None
    limits: dict[str, int] = {}
    free: dict[str, Any] = {}


ROWS = [
    {"id": 1, "text": "a", "number": 1, "items": ["a", "b"], "free": {"a": {"b": [1, {"c": None}]}, "__proto__": 1}},
    {
        "id": 2,
        "text": 'it\'s "b" -- `c`',
        "real": 1.5,
        "place": {"city": "Bonn", "numbers": [1]},
        "limits": {"x": 2**63 - 1},
    },
    {"id": 3, "flag": True, "numbers": [-(2**63), 0], "free": {"0": [[[]]], "constructor": {}}},
]


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Target, User]) as database:
        await database.repository(User).create_many([{"id": n, "email": f"witness {n}"} for n in range(3)])
        await database.repository(Target).create_many(ROWS)
        yield database


@pytest.fixture
def targets(db: Database) -> Repository[Target]:
    return db.repository(Target)


async def witnesses(db: Database) -> str:
    """A hash of the table that nobody writes to."""
    rows = [row.model_dump() for row in await db.repository(User).find(sort="id")]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def forget_peak() -> None:
    """From here on `peak` counts anew; elsewhere than on Linux it goes on."""
    with suppress(FileNotFoundError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Megabytes that the process has had at most since `forget_peak`."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) / 1024


async def bounded(work: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The answer or the typed error of a call, which ends in time and tells of no defect."""
    began = time.monotonic()
    try:
        outcome = work()
        if asyncio.iscoroutine(outcome):
            outcome = await outcome
    except FarmDbError as error:
        outcome = error
    took = time.monotonic() - began
    if isinstance(outcome, FarmDbError):
        assert errors.ERRORS[outcome.code] is type(outcome)
        assert outcome.code not in DEFECTS, f"{outcome!r} {outcome.context!r}"[:2000]
        assert len(str(outcome)) < 20_000, "an error repeats what it was given"
    assert took < patience, f"{took:.1f} s"
    return outcome


# JSON as a request may bring it.

LEGS = [
    "a",
    "0",
    "$where",
    "$",
    "$[]",
    "__proto__",
    "constructor",
    "",
    "x y",
    "a'b",
    'a"b',
    "a`b",
    "a\\b",
    "a--b",
    "{a,b}",
    "é",
    "a\x00b",
    "%s",
    "?",
]
NAMES = [
    *Target.model_fields,
    "_id",
    "nope",
    "users.id",
    "sqlite_master",
    "text; DROP TABLE users; --",
    "__proto__",
    "$where",
    "$expr",
    "",
    ".",
]
#: Known ones, and some that are none of ours.
OPERATORS = [
    f"${name}"
    for name in (
        *(
            "eq",
            "ne",
            "gt",
            "gte",
            "lt",
            "lte",
            "in",
            "nin",
            "and",
            "or",
            "nor",
            "not",
            "exists",
            "size",
            "type",
            "regex",
        ),
        *(
            "options",
            "mod",
            "all",
            "elemMatch",
            "set",
            "unset",
            "inc",
            "mul",
            "min",
            "max",
            "rename",
            "push",
            "addToSet",
        ),
        *("pull", "pullAll", "pop", "currentDate", "each", "slice", "position", "sort"),
        *("where", "function", "expr", "text", "near", "", "$", "[x]"),
    )
]

paths = st.builds(
    lambda name, legs: ".".join([name, *legs]), st.sampled_from(NAMES), st.lists(st.sampled_from(LEGS), max_size=3)
)
texts = st.one_of(
    st.sampled_from(
        ["'", '"', "' OR '1'='1", "\\", "\x00", "\ud800", "a\udfffb", "(a+)+$", "[", "$where", "\u202e", "*/ DROP"]
    ),
    st.text(max_size=12),
)
numbers = st.one_of(
    st.sampled_from(
        [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 10**40, 10**4000, 1e308, -1e308, 5e-324, -0.0]
    ),
    st.floats(),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts, paths)
keys = st.one_of(paths, st.sampled_from(OPERATORS), texts)
json_values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=14,
)
conditions = st.dictionaries(st.sampled_from(OPERATORS), json_values, min_size=1, max_size=2)
filters = st.one_of(
    st.dictionaries(paths, st.one_of(conditions, leaves), min_size=1, max_size=2),
    st.dictionaries(
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(st.dictionaries(paths, conditions, max_size=2), max_size=3),
        max_size=2,
    ),
    st.dictionaries(keys, json_values, max_size=3),
    json_values,
)
updates = st.one_of(
    st.dictionaries(
        st.sampled_from(OPERATORS), st.dictionaries(paths, json_values, max_size=2), min_size=1, max_size=2
    ),
    st.dictionaries(paths, json_values, max_size=2),
    json_values,
)


def examples_of(*strategies: st.SearchStrategy[Any]) -> list[tuple[Any, ...]]:
    """What Hypothesis makes of the strategies; the calls are made afterwards, on the loop that is running."""
    made: list[tuple[Any, ...]] = []

    @seed(int(os.environ.get("FARM_TEST_SEED", "1")))
    @given(st.tuples(*strategies))
    def collect(example: tuple[Any, ...]) -> None:
        made.append(example)

    collect()
    return made


async def test_any_json_as_a_filter_reads_or_is_refused(db: Database, targets: Repository[Target]) -> None:
    forget_peak()
    before, at_first = await witnesses(db), peak()
    for (filter,) in examples_of(filters):
        found = await bounded(lambda: targets.find(filter).to_list())
        counted = await bounded(lambda: targets.count(filter))
        if isinstance(found, list) and isinstance(counted, int):
            assert len(found) == counted, filter
            others = await bounded(lambda: targets.count({"$nor": [filter]}))
            assert not isinstance(others, int) or counted + others == len(ROWS), filter
        await bounded(lambda: targets.find(filter).json())
        await bounded(lambda: targets.find(filter).explain())
        await bounded(lambda: targets.page(filter))
    assert [row.id for row in await targets.find(sort="id")] == [1, 2, 3]
    assert await witnesses(db) == before
    assert peak() - at_first < GROWTH


async def test_any_json_as_an_update_or_a_record_changes_what_is_meant_or_is_refused(
    db: Database, targets: Repository[Target]
) -> None:
    before, everything = await witnesses(db), await targets.find(sort="id")
    for filter, update in examples_of(filters, updates):
        async with db.transaction() as tx:
            outcome = await bounded(lambda: targets.update_many({"id": 1}, update, tx=tx))
            assert isinstance(outcome, FarmDbError) or outcome in (0, 1)
            await bounded(lambda: targets.update(2, update, tx=tx))
            await bounded(lambda: targets.upsert(update, tx=tx))
            await bounded(lambda: targets.create(update, tx=tx))
            await bounded(
                lambda: targets.update_many({"id": 1}, {"$set": {"numbers.$[x]": 1}}, array_filters=[filter], tx=tx)
            )
            assert await targets.get(3, tx=tx) == everything[2], update
            await tx.rollback()
        async with db.transaction() as tx:
            gone = await bounded(lambda: targets.delete_many(filter, tx=tx))
            if isinstance(gone, int):
                assert await targets.count(tx=tx) == len(ROWS) - gone, filter
            await tx.rollback()
    assert await targets.find(sort="id") == everything
    assert await witnesses(db) == before


async def test_any_json_as_a_sort_a_field_an_alias_or_a_cursor_answers_or_is_refused(
    db: Database, targets: Repository[Target]
) -> None:
    before = await witnesses(db)
    for name, value, text in examples_of(keys, json_values, texts):
        await bounded(lambda: targets.find(sort=value).to_list())
        await bounded(lambda: targets.find(sort=[name, "-id"]).to_list())
        await bounded(lambda: targets.find(fields=[name]).to_list())
        await bounded(lambda: targets.distinct(name))
        await bounded(lambda: targets.page(sort=name, after=text))
        await bounded(lambda: targets.page(after=value))
        await bounded(lambda: targets.aggregate(group={name: "flag"}, measures={text or "n": {"$count": True}}))
        await bounded(lambda: targets.aggregate(measures={"n": value}))
        await bounded(
            lambda: targets.aggregate(group={"g": name}, measures={"n": {"$max": name}}, having={name: value})
        )
        await bounded(lambda: targets.get(value))
        await bounded(lambda: targets.get_many([value, name]))
        await bounded(lambda: targets.find(limit=value, skip=value).to_list())
        await bounded(lambda: targets.find(include=[name]).to_list())
    assert len(await targets.find()) == len(ROWS)
    assert await witnesses(db) == before


# Size.


def nest(depth: int, of: Callable[[Any], Any], inner: Any = 1) -> Any:
    for _ in range(depth):
        inner = of(inner)
    return inner


NESTINGS: dict[str, Callable[[Any], Any]] = {
    "lists": lambda inner: [inner],
    "maps": lambda inner: {"a": inner},
    "both": lambda inner: {"a": [inner]},
}


@pytest.mark.parametrize("nesting", NESTINGS)
async def test_what_is_nested_ten_thousand_deep_is_refused(
    db: Database, targets: Repository[Target], nesting: str
) -> None:
    deep = nest(DEEP, NESTINGS[nesting])
    calls: list[Callable[[], Any]] = [
        lambda: targets.find({"free": deep}).to_list(),
        lambda: targets.find({"free.a": {"$in": [deep]}}).to_list(),
        lambda: targets.find({"free.a": {"$elemMatch": {"b": deep}}}).to_list(),
        lambda: targets.create({"id": 9, "free": {"k": deep}}),
        lambda: targets.create_many([{"id": 9, "free": {"k": deep}}]),
        lambda: targets.create(Target.model_construct(id=9, items=[], numbers=[], limits={}, free={"k": deep})),
        lambda: targets.update(1, {"free": {"k": deep}}),
        lambda: targets.update(1, {"$set": {"free.k": deep}}),
        lambda: targets.update(1, {"$push": {"free.k": {"$each": [deep]}}}),
        lambda: targets.update(1, {"$pull": {"items": deep}}),
        lambda: targets.upsert({"id": 1, "free": {"k": deep}}),
        lambda: targets.replace(1, {"id": 1, "free": {"k": deep}}),
        lambda: targets.update_many({"id": 1}, {"$set": {"numbers.$[x]": 1}}, array_filters=[{"x": deep}]),
        lambda: targets.get(deep),
        lambda: targets.get_many([deep]),
        lambda: targets.aggregate(measures={"n": deep}),
        lambda: targets.aggregate(group={"g": deep}),
        lambda: targets.aggregate(measures={"n": {"$count": True}}, having={"n": deep}),
        lambda: targets.find(sort=deep).to_list(),
        lambda: targets.page(after=deep),
        lambda: db.execute("SELECT 1", [deep]),
    ]
    for number, call in enumerate(calls):
        outcome = await bounded(call)
        assert isinstance(outcome, FarmDbError), f"call {number} gave {outcome!r:.200}"
    assert len(await targets.find()) == len(ROWS)


@pytest.mark.parametrize("operator", ["$and", "$or", "$nor", "$not", "$elemMatch"])
@pytest.mark.parametrize("depth", [20, 45, 90, DEEP])
async def test_conditions_nested_in_each_other_answer_or_are_refused(
    targets: Repository[Target], operator: str, depth: int
) -> None:
    if operator.endswith(("and", "or")):
        filter = nest(depth, lambda inner: {operator: [inner]}, {"id": 1})
    else:
        filter = {"free.a": nest(depth, lambda inner: {operator: inner}, {"$exists": True})}
    outcome = await bounded(lambda: targets.find(filter).to_list())
    if depth == DEEP:
        assert isinstance(outcome, FarmDbError)
    elif operator in ("$and", "$or") or (operator == "$nor" and depth % 2 == 0):
        # A dict and a list for each; a hundred of both is the core's bound.
        assert (depth == 90 and isinstance(outcome, FarmDbError)) or [row.id for row in outcome] == [1]


async def test_what_is_wide_is_answered_or_refused_within_bounds(db: Database, targets: Repository[Target]) -> None:
    forget_peak()
    at_first, before = peak(), await witnesses(db)
    long, many = "x" * 2_000_000, 5_000
    calls: list[Callable[[], Any]] = [
        lambda: targets.find({long: 1}).to_list(),
        lambda: targets.find({f"free.{long}": 1}).to_list(),
        lambda: targets.find({"free." + "a." * 20_000 + "a": 1}).to_list(),
        lambda: targets.find({"text": long}).to_list(),
        lambda: targets.find({"text": {f"${long}": 1}}).to_list(),
        lambda: targets.find({"text": {"$regex": long}}).to_list(),
        lambda: targets.find(sort=long).to_list(),
        lambda: targets.find(fields=[long]).to_list(),
        lambda: targets.distinct(long),
        lambda: targets.page(after=long),
        lambda: targets.update(1, {long: 1}),
        lambda: targets.update(1, {f"${long}": {"a": 1}}),
        lambda: targets.aggregate(measures={long[:100_000]: {"$count": True}}),
        lambda: targets.find({"id": {"$in": list(range(100_000))}}).to_list(),
        lambda: targets.find({"text": {"$nin": [f"n{n}" for n in range(100_000)]}}).to_list(),
        lambda: targets.find({"items": {"$all": [f"n{n}" for n in range(many)]}}).to_list(),
        lambda: targets.find({"$or": [{"number": n} for n in range(many)]}).to_list(),
        lambda: targets.find({"$and": [{"number": {"$ne": n}} for n in range(many)]}).to_list(),
        lambda: targets.find({"$or": [{"number": n} for n in range(70_000)]}).to_list(),
        lambda: targets.find({"$nor": [{"free.a": n} for n in range(many)]}).to_list(),
        lambda: targets.find({f"free.k{n}": {"$ne": n} for n in range(many)}).to_list(),
        lambda: targets.find({f"limits.k{n}": {"$exists": False} for n in range(many)}).to_list(),
        lambda: targets.find(sort=[f"limits.k{n}" for n in range(2 * many)]).to_list(),
        lambda: targets.page(sort=[f"limits.k{n}" for n in range(many)]),
        lambda: targets.update(1, {"$set": {f"free.k{n}": n for n in range(many)}}),
        lambda: targets.update_many({"id": 1}, {"$inc": {f"limits.k{n}": n for n in range(many)}}),
        lambda: targets.update(1, {"$pullAll": {"items": [f"n{n}" for n in range(100_000)]}}),
        lambda: targets.get_many(range(50_000)),
    ]
    for number, call in enumerate(calls):
        try:
            await bounded(call)
        except AssertionError as error:
            raise AssertionError(f"call {number}: {error}") from error
    assert [row.id for row in await targets.find(sort="id")] == [1, 2, 3]
    assert await witnesses(db) == before
    assert peak() - at_first < GROWTH


# Regular expressions.

EVIL = [
    "(a+)+$",
    "(a+)+b",
    "(a|aa)+$",
    "(a|a?)+b",
    "(.*a){20}b",
    "(.*)*b",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(?:a?){20000}b",
    "(?:a%?){3000}b",
    "[ab]*a[ab]{2000}c",
    "(a{0,300}){0,300}b",
    "((a{0,100}){0,100}){0,100}b",
    "(?i)(?:[a-z]{1,50}%?){60}@",
    "(" * 5000,
    "a{65535}{65535}",
    "(a)" * 10_000 + "b",
    "[^b]" * 8_000,
    "a" * 10_000 + "b",
    "|".join("a" * (1990 + n) + "[bc]" for n in range(15)),
    "|".join("a" * 190 + f"{n}" for n in range(160)),
    "|".join(f"a{n}" for n in range(6_000)),
]


@pytest.mark.alone
async def test_no_regular_expression_of_a_user_runs_away(targets: Repository[Target]) -> None:
    await targets.update(1, {"text": "a" * 30_000, "items": ["a" * 30_000]})
    for expression in EVIL:
        for filter in ({"text": {"$regex": expression}}, {"items": {"$not": {"$regex": expression}}}):
            try:
                await bounded(lambda: targets.find(filter).to_list(), 1.0)
            except AssertionError as error:
                raise AssertionError(f"{expression[:60]} {error}") from error


# URLs and options.

urls = st.builds(
    lambda scheme, parts: scheme + "".join(parts),
    st.sampled_from(
        ["sqlite:///", "sqlite:", "postgres://", "mysql://", "mongodb://", "mongodb+srv://", "", "file:", "\x00"]
    ),
    st.lists(
        st.one_of(
            texts, st.sampled_from(["@", ":", "/", "?", "&", "=", "%", "%00", "[::1]", ",", "max_size=1", ":memory:"])
        ),
        max_size=8,
    ),
)


@pytest.mark.only("sqlite")
async def test_any_url_and_any_options_are_read_or_refused_and_open_nothing(
    url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = st.dictionaries(
        st.one_of(st.sampled_from(["pool", "max_size", "timeout", "mode", "options", "password", "sqlite"]), texts),
        json_values,
        max_size=3,
    )
    engine = lambda place, named: _native.Engine(place, named, '{"version": 1, "entities": []}')  # noqa: E731
    for place, named in examples_of(urls, options):
        for one in (place, url):
            await bounded(lambda: engine(one, named))
            await bounded(lambda: Database(one, models=[User], **named).url)
    wide = {
        url: nest(DEEP, lambda inner: {"pool": inner}),
        f"{url}?{'x=1&' * 100_000}": {},
        f"{url}?{'x' * 2_000_000}=1": {},
        "mongodb://" + "h," * 100_000: {"x" * 1_000_000: 1},
        "x" * 2_000_000: {},
        "postgres://h/d": {"host": "h," * 500_000, "max_size": 10**5000},
    }
    for place, named in wide.items():
        assert isinstance(await bounded(lambda: engine(place, named)), FarmDbError)
    assert os.listdir(tmp_path) == []
