"""References between entities: what a host sees of them, on every backend."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from farm_db import ForeignKeyViolationError, InvalidSchemaError, _native
from test_cases import Engine

pytestmark = pytest.mark.every_backend

KEY = {"name": "id", "type": {"kind": "int"}, "primary_key": True}
AUTHOR = {"name": "author_id", "type": {"kind": "int"}, "nullable": True}


def contract(on_delete: str, **changes: Any) -> dict[str, Any]:
    relation = {"name": "author", "kind": "many_to_one", "target": "authors", "fields": ["author_id"]}
    books = {"name": "books", "fields": [KEY, AUTHOR], "relations": [{**relation, "on_delete": on_delete, **changes}]}
    return {"version": 1, "entities": [{"name": "authors", "fields": [KEY]}, books]}


async def opened(url: str, on_delete: str) -> Engine:
    engine = Engine(url, contract(on_delete))
    await engine.native.connect("check", True, 0)
    await engine.repositories["authors"].call("create_many", {"records": [{"id": 1}, {"id": 2}]}, None)
    await engine.repositories["books"].call("create", {"record": {"id": 1, "author_id": 1}}, None)
    return engine


@pytest.mark.parametrize(("on_delete", "left"), [("cascade", []), ("set_null", [{"id": 1, "author_id": None}])])
async def test_a_delete_reaches_what_names_the_row(url: str, on_delete: str, left: list[dict[str, Any]]) -> None:
    engine = await opened(url, on_delete)
    try:
        await engine.repositories["authors"].call("delete", {"id": 1}, None)
        assert await engine.rows("books") == left
    finally:
        await engine.close()


async def test_a_violation_says_what_it_is_about(url: str) -> None:
    engine = await opened(url, "restrict")
    authors, books = engine.repositories["authors"], engine.repositories["books"]
    try:
        for repository, verb, arguments in (
            (authors, "delete", {"id": 1}),
            (books, "create", {"record": {"id": 2, "author_id": 9}}),
        ):
            with pytest.raises(ForeignKeyViolationError) as caught:
                await repository.call(verb, arguments, None)
            assert caught.value.code == "foreign_key_violation"
            # SQLite does not name the constraint.
            if not url.startswith("sqlite"):
                assert {**caught.value.context, "entity": "books", "relation": "author"} == caught.value.context
        assert await engine.rows("books") == [{"id": 1, "author_id": 1}]
    finally:
        await engine.close()


async def test_books_and_authors_come_and_go(url: str) -> None:
    """Whatever meets, no book is left whose author is gone."""
    engine = await opened(url, "cascade")
    authors, books = engine.repositories["authors"], engine.repositories["books"]
    try:
        records = [{"id": number, "author_id": 1 + number % 2} for number in range(2, 30)]
        calls = [books.call("create", {"record": record}, None) for record in records]
        calls[10:10] = [authors.call("delete", {"id": 1}, None), authors.call("delete", {"id": 2}, None)]
        await asyncio.gather(*calls, return_exceptions=True)
        left = {row["id"] for row in await engine.rows("authors")}
        assert {row["author_id"] for row in await engine.rows("books")} <= left
    finally:
        await engine.close()


async def test_a_reference_to_nothing_is_refused(url: str) -> None:
    engine = Engine(url, contract("cascade", target="nobodies"))
    with pytest.raises(InvalidSchemaError, match=r"books\.author.*nobodies") as caught:
        await engine.native.connect("check", True, 0)
    assert (caught.value.context["entity"], caught.value.context["relation"]) == ("books", "author")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("sqlite::memory:", True),
        ("postgres://localhost/none", True),
        ("mysql://localhost/none", True),
        ("mysql://localhost/none?planetscale=true", False),
        ("mongodb://localhost/none", False),
    ],
)
def test_the_facts_say_who_enforces(place: str, expected: bool) -> None:
    engine = _native.Engine(place, {}, '{"version": 1, "entities": []}')
    assert engine.capabilities["foreign_keys"] is expected
