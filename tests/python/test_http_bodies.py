"""Bodies of a FastAPI app are, byte for byte, what Pydantic prints for the same rows; streamed ones need no memory."""

# No `from __future__ import annotations` here: FastAPI reads the annotations of functions inside functions.
import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, TypeAdapter, computed_field

from farm_db import Database, Document, Field, Repository
from farm_db.fastapi import JSONBytesResponse, NDJSONResponse
from samples import EDGES, NAUGHTY, as_held
from support import run_python

pytestmark = pytest.mark.every_backend


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    part_name: str = Field(default="", serialization_alias="partName")
    price: Decimal = Decimal("1.10")
    made: datetime | None = None
    secret: str = Field(default="hidden", exclude=True)


class Row(Document, table="http_rows"):
    id: int = Field(primary_key=True)
    display_name: str = Field(default="", serialization_alias="displayName")
    hidden: str = Field(default="hidden", exclude=True)
    real: float | None = None
    exact: Decimal | None = None
    moment: datetime | None = None
    day: date | None = None
    clock: time | None = None
    owner: UUID | None = None
    data: bytes | None = None
    colour: Colour | None = None
    stored: int = Field(default=1, column="storedAs")
    parts: list[Part] = []
    by_name: dict[str, Part] = {}
    numbers: list[float] = []


class Counted(Document, table="http_counted"):
    """What the core leaves to Pydantic."""

    id: int = Field(primary_key=True)
    names: list[str] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def count(self) -> int:
        return len(self.names)


REALS = [1e16, 1.0, -0.0, 0.1, 1e-7, 5e-324, 1e300, float("inf"), -float("inf"), None]
MOMENTS = [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 12, 0, 0, 100_000, tzinfo=UTC), *EDGES["datetime_"]]


def row(capabilities: dict[str, Any], number: int) -> Row:
    """One of many different rows; the backend takes all of their values."""

    def one(values: list[Any]) -> Any:
        value = values[number % len(values)]
        return None if as_held(capabilities, value) is None else value

    part = Part(part_name=NAUGHTY[number % 20].replace("\x00", ""), made=one(MOMENTS))
    return Row(
        id=number,
        display_name=NAUGHTY[number % (len(NAUGHTY) - 1)].replace("\x00", ""),
        real=one(REALS),
        exact=one(EDGES["decimal"]),
        moment=one(MOMENTS),
        day=one(EDGES["date_"]),
        clock=one(EDGES["time_"]),
        owner=one(EDGES["uuid"]),
        data=one([b"", b"text", "ü\x1f".encode(), None]),
        colour=one([*Colour, None]),
        parts=[part] * (number % 3),
        by_name={"é": part, '"': Part()} if number % 2 else {},
        numbers=[1e16, 1.0, -0.5, 1e-7][: number % 5],
    )


def build(database: Database) -> FastAPI:
    app = FastAPI(lifespan=database.lifespan)
    database.install_error_handlers(app)
    rows_of = Annotated[Repository[Row], Depends(database.repository(Row))]

    @app.get("/bytes")
    async def straight(rows: rows_of, limit: int) -> JSONBytesResponse:
        return JSONBytesResponse(await rows.find(sort="id", limit=limit).json())

    @app.get("/aliases")
    async def aliases(rows: rows_of, limit: int) -> JSONBytesResponse:
        return JSONBytesResponse(await rows.find(sort="id", limit=limit).json(by_alias=True))

    @app.get("/models")
    async def models(rows: rows_of, limit: int) -> list[Row]:
        return await rows.find(sort="id", limit=limit)

    @app.get("/models/{id}")
    async def read(rows: rows_of, id: int) -> Row:
        return await rows.get(id)

    @app.get("/lines")
    async def lines(
        rows: rows_of, batch: int = 256, by_alias: bool = False, sort: str = "id", limit: int | None = None
    ) -> NDJSONResponse:
        return NDJSONResponse(rows.find(sort=sort, limit=limit), batch=batch, by_alias=by_alias)

    @app.get("/stream")
    async def stream(rows: rows_of) -> StreamingResponse:
        return StreamingResponse(rows.find(sort="id").ndjson(), media_type="application/x-ndjson")

    @app.get("/counted")
    async def counted() -> NDJSONResponse:
        return NDJSONResponse(database.repository(Counted).find(sort="id"))

    @app.get("/related")
    async def related(rows: rows_of) -> NDJSONResponse:
        return NDJSONResponse(rows.find(include=["nothing"]))

    return app


@pytest.fixture
def database(url: str) -> Database:
    # One connection is enough for work that is done one after another, and shows whether each was given back.
    return Database(url, models=[Row, Counted], max_size=1, acquire_timeout=5)


@pytest.fixture
async def app(database: Database) -> AsyncGenerator[FastAPI]:
    app = build(database)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def fill(database: Database, count: int) -> list[Row]:
    rows = database.repository(Row)
    await rows.create_many([row(database.capabilities, number) for number in range(count)])
    return await rows.find(sort="id")


@pytest.mark.parametrize("count", [50, 1000])
async def test_lists_are_what_pydantic_prints(database: Database, client: httpx.AsyncClient, count: int) -> None:
    rows = await fill(database, count)
    printed, by_alias = (TypeAdapter(list[Row]).dump_json(rows, by_alias=flag) for flag in (False, True))
    assert b'"displayName"' in by_alias
    assert b'"partName"' in by_alias
    assert b"hidden" not in by_alias
    assert (await client.get("/bytes", params={"limit": count})).content == printed
    # FastAPI itself prints by alias.
    assert (await client.get("/aliases", params={"limit": count})).content == by_alias
    assert (await client.get("/models", params={"limit": count})).content == by_alias
    lines = b"".join(one.model_dump_json().encode() + b"\n" for one in rows)
    assert (await client.get("/lines")).content == lines
    assert (await client.get("/stream")).content == lines


async def test_a_row_by_its_key_is_what_pydantic_prints(database: Database, client: httpx.AsyncClient) -> None:
    for one in await fill(database, 60):
        assert (await client.get(f"/models/{one.id}")).content == one.model_dump_json(by_alias=True).encode()


@pytest.mark.parametrize("batch", [1, 7, 60, 1000])
async def test_lines_are_the_same_whatever_the_batch(database: Database, client: httpx.AsyncClient, batch: int) -> None:
    rows = await fill(database, 60)
    for by_alias in (False, True):
        answer = await client.get("/lines", params={"batch": batch, "by_alias": by_alias})
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.content.splitlines() == [one.model_dump_json(by_alias=by_alias).encode() for one in rows]


async def test_lines_of_no_rows_are_an_empty_body(client: httpx.AsyncClient) -> None:
    answer = await client.get("/lines")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_lines_of_computed_fields_are_printed_by_pydantic(database: Database, client: httpx.AsyncClient) -> None:
    await database.repository(Counted).create_many([{"id": n, "names": ["x"] * n} for n in range(3)])
    assert (await client.get("/counted")).content.splitlines()[2] == b'{"id":2,"names":["x","x"],"count":2}'


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/lines?sort=nope", 422, "unknown_field"),
        ("/lines?batch=0", 422, "invalid_query"),
        ("/related", 501, "unsupported"),
    ],
)
async def test_an_error_before_the_first_line_has_its_status(
    client: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code


async def call(app: FastAPI, query: str, version: str, take: Callable[[bytes], bool]) -> None:
    """One request of lines as a server calls the app, whose client goes away when `take` says so.

    Args:
        app: The app.
        query: What stands behind the path.
        version: Of ASGI: from 2.4 on a server tells of the client by an error of `send`, before by a message.
        take: Is given each piece of the body, and tells whether the client is still there.
    """
    gone = asyncio.Event()
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] != "http.response.body" or take(message["body"]):
            return
        gone.set()
        if version >= "2.4":
            raise OSError("the client is gone")
        await asyncio.sleep(60)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": version},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/lines",
        "raw_path": b"/lines",
        "query_string": query.encode(),
        "root_path": "",
        "headers": [],
        "client": ("test", 1),
        "server": ("test", 80),
    }
    await app(scope, receive, send)


@pytest.mark.parametrize("version", ["2.3", "2.4"])
async def test_a_client_that_goes_away_frees_the_connection(database: Database, app: FastAPI, version: str) -> None:
    await fill(database, 400)
    for _ in range(3):
        pieces: list[bytes] = []

        def take(piece: bytes, pieces: list[bytes] = pieces) -> bool:
            pieces.append(piece)
            return len(pieces) < 3

        try:
            await call(app, "batch=10", version, take)
        except Exception as error:  # what a server logs or swallows
            assert "Disconnect" in type(error).__name__  # noqa: PT017
        assert [len(piece.splitlines()) for piece in pieces] == [10] * 3
        # The only one there is.
        assert await database.repository(Row).count() == 400


STREAM = """
import asyncio, sys
from pathlib import Path
import test_http_bodies as here
from farm_db import Database

def rss():
    return int(next(line for line in Path("/proc/self/status").open() if line.startswith("VmRSS")).split()[1])

async def main():
    database = Database(sys.argv[1], models=[here.Row])
    app = here.build(database)
    async with app.router.lifespan_context(app):
        # The first request warms up: what it takes is not given back, however small it is.
        for query in ("limit=2000", ""):
            digest, lines, size, before, peak = here.hashlib.sha256(), 0, 0, rss(), 0
            def take(piece):
                nonlocal lines, size, peak
                digest.update(piece)
                lines += piece.count(b"\\n")
                size += len(piece)
                peak = max(peak, rss())
                return True
            await here.call(app, query, "2.4", take)
        print(lines, size, digest.hexdigest(), peak - before)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.only("sqlite")
async def test_memory_does_not_grow_with_the_answer(database: Database, url: str) -> None:
    count = 200_000
    async with database:
        await database.repository(Row).create(Row(id=0, display_name="x" * 100, data=b"y" * 100))
        columns = [column for column in Row.model_fields if column != "id"]
        names = ", ".join(f'"{"storedAs" if column == "stored" else column}"' for column in columns)
        await database.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1}) "
            f"INSERT INTO http_rows (id, {names}) SELECT i, {names} FROM n, http_rows WHERE id = 0"
        )
        digest, size = hashlib.sha256(), 0
        async for one in database.repository(Row).find(sort="id").stream():
            line = one.model_dump_json().encode() + b"\n"
            digest.update(line)
            size += len(line)
    done = run_python(STREAM, url, timeout=300)
    assert done.returncode == 0, done.stderr
    *printed, grown = done.stdout.split()
    assert printed == [str(count), str(size), digest.hexdigest()]
    assert size > 2**26
    assert int(grown) < 8 * 1024, "KiB"
