"""The shared cases of pages and stored values (`tests/cases`), replayed through real databases."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from backends import BACKENDS
from farm_db.values import tagged
from samples import as_held
from support import failure
from test_cases import CASES, Engine, open_engines, read

FILES = ("pages", "values")
DATA: dict[str, Any] = {name: json.loads((CASES / f"{name}.json").read_text(encoding="utf-8")) for name in FILES}


def params(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in DATA[name]["cases"]]


@pytest.fixture(scope="module", params=BACKENDS)
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Engine]]:
    """One engine a file, open while all its cases run; each case has a loop of its own."""
    yield from open_engines(request.param, DATA, tmp_path_factory)


def keys(case: dict[str, Any]) -> list[str]:
    (entity,) = (entity for entity in DATA["pages"]["contract"]["entities"] if entity["name"] == case["entity"])
    return [field["name"] for field in entity["fields"] if field.get("primary_key")]


@pytest.mark.parametrize("case", params("pages"))
async def test_pages_follow_each_other_as_the_case_says(engines: dict[str, Engine], case: dict[str, Any]) -> None:
    engine = engines["pages"]
    engine.check_needs(case)
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


def held(engine: Engine, value: Any) -> Any:
    """The value as the backend declares to give it back; `None` where it declares to refuse it."""
    return as_held(engine.native.capabilities, value)


def exact(value: Any) -> str:
    """Text that tells an int from a float, a scale from another and a zero from its negative."""
    return json.dumps(tagged(value), ensure_ascii=False)


@pytest.mark.parametrize("case", params("values"))
async def test_a_value_is_stored_as_the_case_says(engines: dict[str, Engine], case: dict[str, Any]) -> None:
    engine, entity, expected = engines["values"], case["entity"], case["expect"]
    await engine.create(entity, [])
    verbs, record = engine.repositories[entity], read(case["document"])
    columns = {**record, **read(expected)}
    if set(expected) != {"error"} and any(held(engine, value) is None is not value for value in columns.values()):
        expected = {"error": "invalid_value"}
    if set(expected) == {"error"}:
        error = await failure(verbs.call("create", {"record": record}, None))
        assert error.code == expected["error"]
        assert error.context.get("path"), f"{error!r} names no path"
        assert await verbs.call("count", {}, None) == 0
        return
    # A free place holds a value as JSON does.
    wanted = {
        name: exact(held(engine, [value])[0] if entity == "frees" else held(engine, value))
        for name, value in columns.items()
    }
    for row in (await verbs.call("create", {"record": record}, None), await verbs.call("get", {"id": 1}, None)):
        assert {name: exact(getattr(row, name)) for name in engine.columns[entity]} == wanted
