"""The shared cases of the query language (`tests/cases`), replayed through every database."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Generator
from contextlib import ExitStack
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from backends import BACKENDS, temporary_url
from farm_db import ObjectId, _native
from farm_db.values import tagged
from support import failure

CASES = Path(__file__).resolve().parent.parent / "cases"
FILES = ("filters", "sorts", "updates")
DATA: dict[str, Any] = {name: json.loads((CASES / f"{name}.json").read_text(encoding="utf-8")) for name in FILES}


def params(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in DATA[name]["cases"]]


def read(value: Any) -> Any:
    """Tagged JSON as Python values."""
    if isinstance(value, list):
        return [read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, inner),) = value.items()
        readers = {
            "$numberLong": int,
            "$numberDouble": lambda text: {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[text],
            "$numberDecimal": Decimal,
            "$binary": lambda binary: base64.b64decode(binary["base64"]),
            "$uuid": UUID,
            "$oid": ObjectId,
            "$date": datetime.fromisoformat,
            "$day": date.fromisoformat,
            "$time": time.fromisoformat,
        }
        if tag in readers:
            return readers[tag](inner)
    return {key: read(item) for key, item in value.items()}


#: What the core changes by itself.
AUTOMATIC = ("updated_at", "version")


class Row(BaseModel):
    """Whatever columns a row has."""


class Engine:
    """An engine with the contract of one file of cases, and its repositories."""

    def __init__(self, url: str, contract: dict[str, Any]) -> None:
        self.native = _native.Engine(url, {}, json.dumps(contract))
        entities = json.loads(self.native.contract_json)["entities"]
        self.columns = {entity["name"]: [field["name"] for field in entity["fields"]] for entity in entities}
        shapes = {
            entity: _native.Shape(Row, [(column, column, None, None) for column in columns])
            for entity, columns in self.columns.items()
        }
        # Ids are given as the core's own types.
        self.repositories = {
            entity: self.native.repository(entity, shape, lambda key: key) for entity, shape in shapes.items()
        }

    def check_needs(self, case: dict[str, Any]) -> None:
        """Skips a case about what the backend declares not to do."""
        facts = self.native.capabilities
        for name, needed in case.get("needs", {}).items():
            if facts[name] != needed:
                pytest.skip(f"{self.native.backend} declares {name} {facts[name]}")

    async def open(self) -> None:
        await self.native.connect("check", True, 0)

    async def close(self) -> None:
        await self.native.close()

    async def create(self, entity: str, documents: list[Any]) -> None:
        """These documents and no others."""
        await self.repositories[entity].call("delete_many", {"all": True, "hard": True, "deleted": True}, None)
        records = [read(document) for document in documents]
        await self.repositories[entity].call("create_many", {"records": records}, None)

    async def rows(self, entity: str, **query: Any) -> list[dict[str, Any]]:
        return await self.repositories[entity].dicts(query, None)


def open_engines(backend: str, data: dict[str, Any], folders: pytest.TempPathFactory) -> Generator[dict[str, Engine]]:
    """An engine for each file of cases, in a database of its own."""
    with ExitStack() as stack:
        engines = {
            name: Engine(stack.enter_context(temporary_url(backend, folders.mktemp(name))), content["contract"])
            for name, content in data.items()
        }
        for engine in engines.values():
            asyncio.run(engine.open())
        yield engines
        for engine in engines.values():
            asyncio.run(engine.close())


@pytest.fixture(scope="module", params=BACKENDS)
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Engine]]:
    """One engine a file, open while all its cases run; each case has a loop of its own."""
    yield from open_engines(request.param, DATA, tmp_path_factory)


async def outcome(work: Any, expected: Any) -> Any:
    """What a call gives; the code of its error in the form of the cases, which always name a path."""
    if not (isinstance(expected, dict) and set(expected) == {"error"}):
        return await work
    error = await failure(work)
    assert error.context.get("path"), f"{error!r} names no path"
    return {"error": error.code}


@pytest.mark.parametrize("case", params("filters"))
async def test_a_filter_finds_what_the_case_says(engines: dict[str, Engine], case: dict[str, Any]) -> None:
    engine = engines["filters"]
    engine.check_needs(case)
    await engine.create(case["entity"], case["documents"])
    filter = read(case["filter"])

    async def ids() -> list[Any]:
        return sorted(row["id"] for row in await engine.rows(case["entity"], filter=filter))

    found = await outcome(ids(), case["expect"])
    assert found == read(case["expect"])
    if isinstance(found, list):
        verbs = engine.repositories[case["entity"]]
        assert await verbs.call("count", {"filter": filter}, None) == len(found)
        assert await verbs.call("exists", {"filter": filter}, None) is bool(found)
        assert await verbs.call("delete_many", {"filter": filter, "all": True}, None) == len(found)
        assert await verbs.call("count", {}, None) == len(case["documents"]) - len(found)


@pytest.mark.parametrize("case", params("sorts"))
async def test_a_sort_orders_as_the_case_says(engines: dict[str, Engine], case: dict[str, Any]) -> None:
    engine = engines["sorts"]
    await engine.create(case["entity"], case["documents"])

    async def ids() -> list[Any]:
        return [row["id"] for row in await engine.rows(case["entity"], sort=read(case["sort"]))]

    found = await outcome(ids(), case["expect"])
    assert found == read(case["expect"])
    if isinstance(found, list):
        cut = await engine.rows(case["entity"], sort=read(case["sort"]), limit=2, skip=1)
        assert [row["id"] for row in cut] == found[1:3]


@pytest.mark.parametrize("case", params("updates"))
async def test_an_update_changes_what_the_case_says(engines: dict[str, Engine], case: dict[str, Any]) -> None:
    engine, entity, expected = engines["updates"], case["entity"], case["expect"]
    engine.check_needs(case)
    update, refused = read(case["update"]), "error" in case["expect"]
    filters = {"array_filters": read(case["array_filters"])} if "array_filters" in case else {}
    columns = [column for column in engine.columns[entity] if column not in AUTOMATIC or column in expected]
    for verb in ("update", "update_many", "update_one", "find_one_and_update"):
        await engine.create(entity, [case["document"]])
        (before,) = await engine.rows(entity, deleted=True)
        chosen = {"id": before["id"]} if verb == "update" else {"filter": {"id": before["id"]}}
        arguments = {**chosen, "changes" if verb == "update" else "update": update, **filters}
        done = await outcome(engine.repositories[entity].call(verb, arguments, None), expected)
        (after,) = await engine.rows(entity, deleted=True)
        # As text, because the order of keys counts.
        text = {name: (json.dumps(tagged(before[name])), json.dumps(tagged(after[name]))) for name in columns}
        changed = {name: tagged(after[name]) for name in columns if text[name][0] != text[name][1]}
        if refused:
            assert done == expected, verb
            assert after == before, verb
        else:
            assert changed == {name: tagged(read(value)) for name, value in expected.items()}, verb
