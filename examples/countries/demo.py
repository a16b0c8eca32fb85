"""The demonstration: real data into SQLite, a FastAPI app answering real requests, Node reading the same file.

`make demo` runs it. Every answer is compared with what plain Python makes of the same data; the exit code is 0 when all
of them are right.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import load
from model import Country
from report import Report, watch

from farm_db import Database

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

ATLANTIS = {
    "cca3": "XAT",
    "cca2": "XA",
    "name": {"common": "Atlantis", "official": "Sunken Kingdom of Atlantis"},
    "region": "Oceania",
    "latlng": [31.0, -24.0],
    "currencies": {"ORI": {"name": "Orichalcum", "symbol": "Ø"}},
    "area": 533.5,
}


async def fill(report: Report, url: str, documents: list[dict[str, Any]]) -> str:
    """Loads the data; returns the contract's hash."""
    report.section("1. Load: nested documents into one SQLite file")
    size = (load.PACKAGE / "countries.json").stat().st_size / 1e6
    seen = f"{len(documents)} documents, {size:.1f} MB of JSON"
    report.expect(f"npm world-countries {load.version()}", len(documents) > 200, seen)
    async with Database(url, models=[Country]) as db:
        countries = db.repository(Country)
        with watch() as time:
            stored = await countries.create_many(documents)
        report.expect(
            "create_many, all or none, validated", len(stored) == len(documents), f"{len(stored)} rows in {time}"
        )
        with watch() as time:
            rows = await countries.find().sort("cca3")
        same = [row.model_dump(include=set(load.STORED)) for row in rows] == expected(documents)
        report.expect("read back as models, equal to what went in", same, f"{len(rows)} models in {time}")
        plan = await countries.find(Country.region == "Europe", sort="-area").explain()
        indexed = "index" in json.dumps(plan, default=str).lower()
        report.expect("a query by region uses its index", indexed, "explain() says so" if indexed else str(plan))
        return db.contract_hash


def expected(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents as the model sees them, by code."""
    models = [Country.model_validate(document) for document in documents]
    return sorted((model.model_dump(include=set(load.STORED)) for model in models), key=lambda row: row["cca3"])


def line(method: str, path: str, answer: httpx.Response) -> str:
    """A request and its status, aligned."""
    return f"{method:<6} {path:<47} {answer.status_code}"


def requests(report: Report, client: httpx.Client, documents: list[dict[str, Any]]) -> None:
    """The app, asked over HTTP."""

    def ask(method: str, path: str, status: int, **options: Any) -> tuple[str, bool, Any]:
        with watch() as time:
            answer = client.request(method, path, **options)
        body = answer.json() if answer.content else None
        filter = f" {json.dumps(options['json'])}" if path.endswith("search") else ""
        return line(method, path + filter, answer), answer.status_code == status, (body, str(time), answer)

    what, held, (body, _, _) = ask("GET", "/health/ready", 200)
    report.expect(what, held and body["status"] == "ready", body["status"])

    what, held, (body, time, _) = ask("GET", "/countries/jpn", 200)
    held = held and body["currencies"]["JPY"]["symbol"] == "¥" and body["name"]["native"]["jpn"]["common"] == "日本"
    report.expect(what, held, f"{body['name']['common']}, {body['name']['native']['jpn']['common']} ({time})")

    what, held, (body, time, _) = ask("GET", "/countries/che/neighbours", 200)
    names = [one["name"]["common"] for one in body]
    report.expect(
        what, held and sorted(one["cca3"] for one in body) == ["AUT", "DEU", "FRA", "ITA", "LIE"], ", ".join(names)
    )

    pages(report, client, documents)

    large = {"landlocked": True, "languages.fra": {"$exists": True}, "area": {"$gte": 500_000}}
    _, held, (body, _, answer) = ask("POST", "/countries/search?sort=-area", 200, json=large)
    what = line("POST", "/countries/search  (landlocked, large, French)", answer)
    right = [
        one["cca3"]
        for one in sorted(documents, key=lambda one: -one["area"])
        if one["landlocked"] and one["area"] >= 500_000 and "fra" in one["languages"]
    ]
    names = [one["name"]["common"] for one in body]
    report.expect(what, held and [one["cca3"] for one in body] == right, ", ".join(names))

    what, held, (body, time, answer) = ask("GET", "/countries/all", 200)
    report.expect(
        what, held and len(body) == len(documents), f"{len(answer.content) / 1e3:.0f} kB of JSON bytes in {time}"
    )

    what, held, (body, _, _) = ask("POST", "/countries", 201, json=ATLANTIS)
    report.expect(what, held and body["name"]["common"] == "Atlantis", "Atlantis rises")

    changes = {"currencies": {"EUR": {"name": "Euro", "symbol": "€"}}}
    what, held, (body, _, _) = ask("PATCH", "/countries/xat", 200, json=changes)
    held = (
        held
        and list(body["currencies"]) == ["EUR"]
        and body["area"] == 533.5
        and body["updated_at"] > body["created_at"]
    )
    report.expect(what, held, "adopts the euro, keeps its area, updated_at moves")

    refusals(report, ask)


def pages(report: Report, client: httpx.Client, documents: list[dict[str, Any]]) -> None:
    """A filtered, sorted list in keyset pages."""
    seen: list[str] = []
    parameters: dict[str, Any] = {"region": "Africa", "sort": "-area", "limit": 25}
    count = 0
    while True:
        answer = client.get("/countries", params=parameters)
        page = answer.json()
        count += 1
        seen += [one["cca3"] for one in page["items"]]
        if not page["has_more"]:
            break
        parameters["after"] = page["next_cursor"]
    largest_first = sorted((one for one in documents if one["region"] == "Africa"), key=lambda one: -one["area"])
    held = [one["cca3"] for one in largest_first] == seen
    largest = ", ".join(one["name"]["common"] for one in largest_first[:3])
    report.expect(
        line("GET", "/countries?region=Africa&sort=-area&limit=25", answer),
        held,
        f"{len(seen)} in {count} pages: {largest} ...",
    )


def refusals(report: Report, ask: Any) -> None:
    """What must not work, and says why."""

    def refused(method: str, path: str, status: int, code: str, **options: Any) -> None:
        what, held, (body, _, _) = ask(method, path, status, **options)
        error = body.get("error", {}) if isinstance(body, dict) else {}
        report.expect(what, held and error.get("code") == code, f"{error.get('code')}: {error.get('message')}")

    report.section("3. Refused, each with a stable code")
    refused("POST", "/countries", 409, "unique_violation", json=ATLANTIS)
    refused("GET", "/countries/xyz", 404, "not_found")
    refused("POST", "/countries/search", 422, "unknown_operator", json={"area": {"$greater": 5}})
    refused("POST", "/countries/search", 422, "unknown_field", json={"aera": 5})
    refused("POST", "/countries/search", 422, "invalid_value", json={"area": "large"})
    refused("GET", "/countries?after=nonsense", 422, "invalid_cursor")
    what, held, _ = ask("DELETE", "/countries/xat", 204)
    report.expect(what, held, "Atlantis sinks")
    refused("GET", "/countries/xat", 404, "not_found")


def node(report: Report, url: str, contract_hash: str) -> None:
    """The same file, from Node."""
    report.section("4. Node: the same file, the same contract")
    status = from_node(ROOT / "js" / "cli" / "bin" / "farm.js", "db", "status", "--json", "--url", url)
    held = status.get("ok") is True and status["contract"]["hash"] == contract_hash
    report.expect(
        "farm db status --json", held, f"contract {contract_hash[:12]}..., as in Python" if held else str(status)
    )
    found = from_node(HERE / "neighbours.mjs", url, "CHE")
    held = found.get("hash") == contract_hash and found.get("created") and found.get("currencies") == ["CHF"]
    held = held and found.get("neighbours") == ["France", "Germany", "Italy", "Austria", "Liechtenstein"]
    seen = f"Switzerland borders {', '.join(found['neighbours'])}" if held else str(found)
    report.expect("@farm/db-native, models from the stored contract", held, seen)


def from_node(*words: Any) -> dict[str, Any]:
    """What a Node program prints, one JSON object."""
    environment = {
        **os.environ,
        "FARM_DB_ADDON": os.environ.get("FARM_DB_ADDON") or str(ROOT / ".work/release/farm-db.node"),
    }
    done = subprocess.run(
        ["node", *map(str, words)], capture_output=True, text=True, cwd=HERE, env=environment, timeout=60
    )
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        return {"exit code": done.returncode, "stdout": done.stdout[-300:], "stderr": done.stderr[-600:]}


@contextmanager
def served(url: str) -> Iterator[str]:
    """The app under uvicorn in a process of its own; its address."""
    command = [sys.executable, HERE / "serve.py", "--port", "0", "--database", url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE)
    try:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("app:"):
                address = line.split()[1].removesuffix("/countries")
                # The socket listens from before this line was printed: a request waits until the app is up.
                yield address
                break
        else:
            raise SystemExit(f"error: the app ended with {process.wait()}")
    finally:
        process.terminate()
        process.wait(20)


def main() -> int:
    report = Report()
    documents = load.records()
    report.title("farm-db: one SQLite file, a FastAPI app and a Node program")
    with tempfile.TemporaryDirectory(prefix="farm-db-demo-") as folder:
        url = f"sqlite:///{folder}/countries.db"
        contract_hash = asyncio.run(fill(report, url, documents))
        with served(url) as address, httpx.Client(base_url=address, timeout=20) as client:
            report.section(f"2. FastAPI under uvicorn at {address}")
            requests(report, client, documents)
            node(report, url, contract_hash)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
