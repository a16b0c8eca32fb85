"""Pages by cursor: nothing twice, nothing left out, whatever happens between two pages."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from farm_db import Database, InvalidCursorError, InvalidQueryError, Page, Repository
from support import Address, Resource, Seat, opened

pytestmark = pytest.mark.every_backend

ROWS = [
    Resource(
        id=f"r{n:03}",
        name=f"n{n % 4}",
        rating=None if n % 6 == 0 else float(n % 5),
        stock=n % 3,
        address=None if n % 7 == 0 else Address(city=f"c{n % 2}"),
    )
    for n in range(103)
]


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Resource, Seat]) as database:
        await database.repository(Resource).create_many(ROWS)
        yield database


@pytest.fixture
def resources(db: Database) -> Repository[Resource]:
    return db.repository(Resource)


def flat(pages: list[list[Any]]) -> list[Any]:
    return [row for page in pages for row in page]


async def walk(repository: Repository[Any], *filters: Any, **options: Any) -> list[list[Any]]:
    pages, after = [], None
    while True:
        page = await repository.page(*filters, after=after, **options)
        pages.append([row.id for row in page.items])
        assert page.has_more is (page.next_cursor is not None)
        if page.next_cursor is None:
            return pages
        assert len(page.items) == page.limit
        after = page.next_cursor


@pytest.mark.parametrize(
    "sort", ["id", "-id", "stock", "-stock", ("name", "-stock"), ("-rating", "name"), "rating", "address.city"], ids=str
)
async def test_pages_put_together_are_the_whole_sorted_result(resources: Repository[Resource], sort: Any) -> None:
    pages = await walk(resources, sort=sort, limit=10)
    assert [len(page) for page in pages] == [10] * 10 + [3]
    keys = [sort] if isinstance(sort, str) else list(sort)
    if keys[-1].lstrip("-") != "id":
        # The key comes last, in the direction of the key before it.
        keys.append("-id" if keys[-1].startswith("-") else "id")
    assert flat(pages) == [row.id for row in await resources.find(sort=keys)]


async def test_a_filter_holds_on_every_page(resources: Repository[Resource]) -> None:
    pages = await walk(resources, Resource.stock == 1, {"name": {"$ne": "n0"}}, sort="-name", limit=4)
    expected = {row.id for row in ROWS if row.stock == 1 and row.name != "n0"}
    assert len(flat(pages)) == len(expected)
    assert set(flat(pages)) == expected


async def test_the_last_full_page_has_no_next_cursor(resources: Repository[Resource]) -> None:
    page = await resources.page(limit=103)
    assert len(page.items) == 103
    assert page.next_cursor is None
    assert page.has_more is False
    empty = await resources.page(Resource.stock == 99)
    assert (empty.items, empty.next_cursor) == ([], None)


async def test_rows_that_come_and_go_between_pages_shift_nothing(resources: Repository[Resource]) -> None:
    chance = random.Random(7)
    seen: list[str] = []
    after = None
    removed: set[str] = set()
    while True:
        page = await resources.page(sort=("stock", "id"), limit=7, after=after)
        seen += [row.id for row in page.items]
        after = page.next_cursor
        if after is None:
            break
        gone = chance.choice([row.id for row in ROWS if row.id not in removed])
        removed.add(gone)
        await resources.delete(gone)
        await resources.create({"id": f"a{len(seen):03}", "name": "new", "stock": 0})
    assert len(seen) == len(set(seen)), "a row was seen twice"
    assert {row.id for row in ROWS} - removed <= set(seen), "a row was skipped"


async def test_a_cursor_outlives_the_row_it_points_at(resources: Repository[Resource]) -> None:
    page = await resources.page(sort="id", limit=10)
    await resources.delete(page.items[-1].id)
    following = await resources.page(sort="id", limit=10, after=page.next_cursor)
    assert following.items[0].id == "r010"


async def test_pages_of_a_composite_key_end_with_all_of_it(db: Database) -> None:
    seats = db.repository(Seat)
    await seats.create_many(Seat(row=n % 5, place=str(n)) for n in range(50))
    seen, after = [], None
    while True:
        page = await seats.page(sort="-row", limit=7, after=after)
        seen += [(seat.row, seat.place) for seat in page.items]
        after = page.next_cursor
        if after is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 50


async def test_a_page_reads_in_its_transaction(db: Database, resources: Repository[Resource]) -> None:
    async with db.transaction() as tx:
        await resources.create({"id": "aaa", "name": "first"}, tx=tx)
        assert (await resources.page(sort="id", limit=1, tx=tx)).items[0].id == "aaa"
        await tx.rollback()
    assert (await resources.page(sort="id", limit=1)).items[0].id == "r000"


async def test_a_page_is_a_pydantic_model_that_prints_itself(resources: Repository[Resource]) -> None:
    page = await resources.page(limit=1)
    printed = page.model_dump(mode="json")
    assert set(printed) == {"items", "next_cursor", "has_more", "limit"}
    assert isinstance(page, Page)
    assert Page[Resource].model_validate(printed).items == page.items


@pytest.mark.parametrize("limit", [0, 1001, -1])
async def test_a_page_has_one_to_a_thousand_rows(resources: Repository[Resource], limit: int) -> None:
    with pytest.raises(InvalidQueryError, match=r"limit|1000"):
        await resources.page(limit=limit)


def _forged(cursor: str) -> list[str]:
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return [
        "",
        "x",
        "!!!!",
        cursor[:-3],
        cursor + "AAAA",
        base64.urlsafe_b64encode(b"[]").decode(),
        base64.urlsafe_b64encode(raw.replace(b"r009", b"r009\x00")).decode().rstrip("="),
        base64.urlsafe_b64encode(b'["deadbeef",["r001"]]').decode().rstrip("="),
        base64.urlsafe_b64encode(raw[:12] + b"[[[[[[" + raw[12:]).decode().rstrip("="),
        "A" * 100_000,
        "ü",
        "\x00",
    ]


async def test_a_wrong_cursor_is_refused_with_its_own_code(resources: Repository[Resource]) -> None:
    page = await resources.page(sort="id", limit=10)
    assert page.next_cursor is not None
    for wrong in _forged(page.next_cursor):
        with pytest.raises(InvalidCursorError) as caught:
            await resources.page(sort="id", limit=10, after=wrong)
        assert caught.value.code == "invalid_cursor"
        assert caught.value.http_status == 422


async def test_a_cursor_of_another_query_is_refused(db: Database, resources: Repository[Resource]) -> None:
    cursor = (await resources.page(sort="id", limit=10)).next_cursor
    for filters, sort in [((), "-id"), ((), "name"), ((Resource.stock == 1,), "id"), (({"name": "n1"},), "id")]:
        with pytest.raises(InvalidCursorError):
            await resources.page(*filters, sort=sort, limit=10, after=cursor)
    with pytest.raises(InvalidCursorError):
        await db.repository(Seat).page(limit=10, after=cursor)
    assert (await resources.page(sort="id", limit=3, after=cursor)).items[0].id == "r010"
