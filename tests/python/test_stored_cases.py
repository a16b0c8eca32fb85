"""The shared cases of pages and stored values (`tests/cases`), replayed through a real SQLite file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any

import pytest

from farm_db.values import tagged
from support import failure
from test_cases import CASES, Engine, read

FILES = ("pages", "values")
DATA: dict[str, Any] = {name: json.loads((CASES / f"{name}.json").read_text(encoding="utf-8")) for name in FILES}


def params(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in DATA[name]["cases"]]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Engine]]:
    """One engine a file, open while all its cases run; each case has a loop of its own."""
    urls = {name: f"sqlite:///{tmp_path_factory.mktemp(name)}/cases.db" for name in FILES}
    engines = {name: Engine(urls[name], DATA[name]["contract"]) for name in FILES}
    for engine in engines.values():
        asyncio.run(engine.open())
    yield engines
    for engine in engines.values():
        asyncio.run(engine.close())


def keys(case: dict[str, Any]) -> list[str]:
    (entity,) = (entity for entity in DATA["pages"]["contract"]["entities"] if entity["name"] == case["entity"])
    return [field["name"] for field in entity["fields"] if field.get("primary_key")]


@pytest.mark.parametrize("case", params("pages"))
async def test_pages_follow_each_other_as_the_case_says(engines: dict[str, Engine], case: dict[str, Any]) -> None:
    engine = engines["pages"]
    await engine.create(case["entity"], case["documents"])
    query = {name: read(case[name]) for name in ("filter", "sort", "limit", "after") if name in case}
    verbs, key = engine.repositories[case["entity"]], keys(case)

    async def pages() -> list[Any]:
        pages, after = [], query.get("after")
        while True:
            rows, after = await verbs.call("page", {**query, "after": after}, None)
            ids = [[getattr(row, name) for name in key] for row in rows]
            pages.append([id[0] if len(key) == 1 else id for id in ids])
            if after is None:
                return pages

    if isinstance(case["expect"], dict):
        assert (await failure(pages())).code == case["expect"]["error"]
    else:
        assert await pages() == case["expect"]


def exact(value: Any) -> str:
    """Text that tells an int from a float, a scale from another and a zero from its negative."""
    return json.dumps(tagged(value), ensure_ascii=False)


@pytest.mark.parametrize("case", params("values"))
async def test_a_value_is_stored_as_the_case_says(engines: dict[str, Engine], case: dict[str, Any]) -> None:
    engine, entity, expected = engines["values"], case["entity"], case["expect"]
    await engine.create(entity, [])
    verbs, record = engine.repositories[entity], read(case["document"])
    if set(expected) == {"error"}:
        error = await failure(verbs.call("create", {"record": record}, None))
        assert error.code == expected["error"]
        assert error.context.get("path"), f"{error!r} names no path"
        assert await verbs.call("count", {}, None) == 0
        return
    wanted = {name: exact(value) for name, value in {**record, **read(expected)}.items()}
    for row in (await verbs.call("create", {"record": record}, None), await verbs.call("get", {"id": 1}, None)):
        assert {name: exact(getattr(row, name)) for name in engine.columns[entity]} == wanted
