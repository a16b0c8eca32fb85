"""The shared cases of full-text search (`tests/cases`), replayed through every database."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from backends import BACKENDS
from support import failure
from test_cases import CASES, Engine, open_engines, read

CASE_FILE: dict[str, Any] = json.loads((CASES / "search.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=BACKENDS)
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Engine]]:
    """One engine, open while all cases run."""
    yield from open_engines(request.param, {"search": CASE_FILE}, tmp_path_factory)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASE_FILE["cases"]])
async def test_a_search_finds_what_the_case_says(engines: dict[str, Engine], case: dict[str, Any]) -> None:
    engine = engines["search"]
    await engine.create(case["entity"], case["documents"])
    verbs = engine.repositories[case["entity"]]
    for verb, arguments in case.get("writes", []):
        await verbs.call(verb, read(arguments), None)
    query = {name: read(case[name]) for name in ("search", "filter", "sort", "limit", "skip") if name in case}
    if isinstance(case["expect"], dict):
        assert (await failure(verbs.call("find", query, None))).code == case["expect"]["error"]
        return
    ids = [row.id for row in await verbs.call("find", query, None)]
    assert (ids if "sort" in case else sorted(ids)) == case["expect"]
