"""A FastAPI app on farm_db: lifespan, dependencies, health routes, error answers, JSON bodies, OpenAPI."""

# No `from __future__ import annotations` here: FastAPI reads the annotations of functions inside functions.
import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import TypeAdapter

from farm_db import ALL, Database, Page, Repository, Transaction, UniqueViolationError, errors
from farm_db.fastapi import JSONBytesResponse, combine
from support import Article, Resource, User

pytestmark = pytest.mark.every_backend


def build(database: Database) -> FastAPI:
    app = FastAPI(lifespan=database.lifespan)
    app.include_router(database.health_router())
    database.install_error_handlers(app)
    resources_of = Annotated[Repository[Resource], Depends(database.repository(Resource))]

    @app.post("/resources", status_code=201)
    async def create(data: Resource, resources: resources_of) -> Resource:
        return await resources.create(data)

    @app.get("/resources")
    async def page(resources: resources_of, after: str | None = None, limit: int = 2) -> Page[Resource]:
        return await resources.page(sort="-stock", limit=limit, after=after)

    @app.get("/resources.json", response_model=list[Resource])
    async def everything(resources: resources_of) -> JSONBytesResponse:
        return JSONBytesResponse(await resources.find(sort="id").json())

    @app.get("/resources/{id}")
    async def read(id: str, resources: resources_of) -> Resource:
        return await resources.get(id)

    @app.patch("/resources/{id}", response_model=Resource)
    async def change(id: str, data: dict[str, Any], resources: resources_of) -> Any:
        return await resources.update(id, data)

    @app.delete("/resources/{id}", status_code=204)
    async def delete(id: str, resources: resources_of) -> None:
        await resources.delete(id)

    @app.post("/both")
    async def both(resources: resources_of) -> None:
        async with database.transaction() as tx:
            await resources.create({"id": "tx", "name": "n"}, tx=tx)
            await resources.create({"id": "tx", "name": "n"}, tx=tx)

    @app.get("/raise/{code}")
    async def fail(code: str) -> None:
        raise errors.ERRORS[code]("select secret from /etc/farm.db", {"path": "somewhere", "host": "10.0.0.1"})

    return app


@asynccontextmanager
async def running(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """The app as a server runs it: in its lifespan."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@pytest.fixture
def database(url: str) -> Database:
    return Database(url, models=[Resource])


@pytest.fixture
async def client(database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    async with running(build(database)) as client:
        yield client


async def test_the_lifespan_opens_and_closes_the_database(database: Database) -> None:
    app = build(database)
    assert not database.connected
    async with running(app):
        assert database.connected
    assert not database.connected
    async with running(app) as client:
        assert (await client.get("/health/ready")).status_code == 200


async def test_the_lifespan_closes_the_database_when_the_app_fails(database: Database) -> None:
    app = FastAPI(lifespan=database.lifespan)
    with pytest.raises(RuntimeError):
        async with app.router.lifespan_context(app):
            raise RuntimeError
    assert not database.connected


async def test_several_lifespans_can_be_combined(database: Database, tmp_path: Path) -> None:
    seen: list[str] = []
    other = Database(f"sqlite:///{tmp_path}/other.db", models=[User])

    @asynccontextmanager
    async def mine(app: Any) -> AsyncGenerator[dict[str, int]]:
        seen.append("in" if database.connected else "too early")
        yield {"answer": 42}
        seen.append("out" if database.connected else "too late")

    app = FastAPI(lifespan=combine(database.lifespan, other.lifespan, mine))
    async with app.router.lifespan_context(app) as state:
        assert state == {"answer": 42}
        assert database.connected
        assert other.connected
    assert seen == ["in", "out"]
    assert not database.connected
    assert not other.connected


async def test_a_resource_lives_from_post_to_delete(client: httpx.AsyncClient) -> None:
    body = {"id": "a", "name": "Ä", "rating": 4.5, "tags": ["x"], "address": {"city": "Bonn"}}
    created = await client.post("/resources", json=body)
    assert created.status_code == 201
    assert created.json() == Resource(**body).model_dump(mode="json")
    assert (await client.get("/resources/a")).json() == created.json()
    changed = await client.patch("/resources/a", json={"name": "B", "address.city": "Köln"})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["address"]["city"]) == ("B", "Köln")
    assert (await client.delete("/resources/a")).status_code == 204
    assert (await client.get("/resources/a")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/resources/nobody", None, 404, "not_found"),
        ("DELETE", "/resources/nobody", None, 404, "not_found"),
        ("PATCH", "/resources/nobody", {"name": "n"}, 404, "not_found"),
        ("POST", "/resources", {"id": "taken", "name": "n"}, 409, "unique_violation"),
        ("POST", "/both", None, 409, "unique_violation"),
        ("PATCH", "/resources/taken", {"rating": 99}, 422, "invalid_value"),
        ("PATCH", "/resources/taken", {"nope": 1}, 422, "unknown_field"),
        ("PATCH", "/resources/taken", {"$nope": {"name": 1}}, 422, "unknown_operator"),
        ("GET", "/resources?after=wrong", None, 422, "invalid_cursor"),
        ("GET", "/resources?limit=0", None, 422, "invalid_query"),
    ],
    ids=str,
)
async def test_an_error_is_answered_with_its_status_and_code(
    client: httpx.AsyncClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    await client.post("/resources", json={"id": "taken", "name": "n"})
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert (await client.get("/resources/tx")).status_code == 404


@pytest.mark.parametrize("code", sorted(errors.ERRORS))
async def test_every_kind_of_error_has_its_answer_and_server_errors_keep_secrets(
    client: httpx.AsyncClient, code: str
) -> None:
    kind = errors.ERRORS[code]
    answer = await client.get(f"/raise/{code}")
    assert answer.status_code == kind.http_status
    error = answer.json()["error"]
    assert error["code"] == code
    if kind.http_status >= 500:
        assert "secret" not in answer.text
        assert "10.0.0.1" not in answer.text
        assert error["message"] == kind.meaning
    else:
        assert error["context"]["path"] == "somewhere"
    assert ("retry-after" in answer.headers) is (kind.retryable and kind.http_status == 503)


@pytest.mark.only("sqlite")
async def test_a_pool_that_is_used_up_is_answered_with_503(url: str) -> None:
    database = Database(url, models=[Resource], acquire_timeout=0.1)
    async with running(build(database)) as client, database.transaction():
        answer = await client.post("/resources", json={"id": "a", "name": "n"})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "pool_timeout"
        assert answer.headers["retry-after"] == "1"
        assert (await client.get("/resources/a")).status_code == 404


async def test_requests_after_the_close_are_answered_with_503(database: Database) -> None:
    async with running(build(database)) as client:
        await database.close()
        answer = await client.get("/resources/a")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "database_closed"
        assert (await client.get("/health/live")).json() == {"status": "alive"}
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json() == {"status": "unavailable"}
        assert (await client.get("/health/db")).status_code == 503


async def test_health_tells_probes_what_they_need(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "alive"}
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    report = (await client.get("/health/db")).json()
    assert report["status"] == "healthy"
    assert report["pool"]["in_use"] == 0
    assert report["checks"]


@pytest.mark.only("sqlite", "postgres", "mysql")
async def test_a_database_that_cannot_be_asked_is_not_ready_but_alive(url: str) -> None:
    database = Database(url, models=[Resource], max_size=1, acquire_timeout=0.1)
    async with running(build(database)) as client:
        resources = database.repository(Resource)
        await resources.create_many([{"id": str(n), "name": "n"} for n in range(10)])
        rows = resources.find().stream(batch=1)
        await anext(rows)
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable"})
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/db")).json()["error"]["code"] == "pool_timeout"
        await rows.aclose()
        assert (await client.get("/health/ready")).status_code == 200


async def test_json_bytes_are_what_fastapi_itself_would_answer(client: httpx.AsyncClient, database: Database) -> None:
    resources = database.repository(Resource)
    await resources.create_many(
        [
            {"id": str(n), "name": 'ü\n"', "rating": n / 3, "tags": ["a"] * n, "attributes": {"x": [None, n]}}
            for n in range(5)
        ]
    )
    answer = await client.get("/resources.json")
    assert answer.headers["content-type"] == "application/json"
    expected = TypeAdapter(list[Resource]).dump_json(await resources.find(sort="id"))
    assert answer.content == expected
    await resources.delete_many(ALL)
    assert (await client.get("/resources.json")).content == b"[]"


async def test_pages_follow_each_other_over_http(client: httpx.AsyncClient) -> None:
    for n in range(5):
        await client.post("/resources", json={"id": str(n), "name": "n", "stock": n})
    seen, after = [], None
    while True:
        page = (await client.get("/resources", params={"after": after} if after else {})).json()
        seen += [row["id"] for row in page["items"]]
        after = page["next_cursor"]
        if not page["has_more"]:
            break
    assert seen == ["4", "3", "2", "1", "0"]


async def test_the_models_appear_in_openapi(client: httpx.AsyncClient) -> None:
    spec = (await client.get("/openapi.json")).json()
    schema = spec["components"]["schemas"]["Resource"]
    assert schema["required"] == ["id", "name"]
    assert schema["properties"]["name"]["maxLength"] == 100
    assert schema["properties"]["rating"]["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 5}
    assert "Page_Resource_" in spec["components"]["schemas"]
    answer = spec["paths"]["/resources/{id}"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Resource"}
    names = {parameter["name"] for parameter in spec["paths"]["/resources/{id}"]["get"]["parameters"]}
    assert names == {"id"}, "the repository is no parameter of the request"


async def test_base_documents_work_as_response_models(url: str) -> None:
    database = Database(url, models=[Article])
    app = FastAPI(lifespan=database.lifespan)

    @app.get("/articles")
    async def articles() -> list[Article]:
        return await Article.find(sort="slug")

    async with running(app) as client:
        rows = [await Article(slug=f"s{n}").insert() for n in range(2)]
        answer = (await client.get("/articles")).json()
        assert [row["id"] for row in answer] == [str(row.id) for row in rows]
        assert answer[0]["created_at"].endswith("Z")
        spec = (await client.get("/openapi.json")).json()
        assert spec["components"]["schemas"]["Article"]["properties"]["id"]["pattern"] == "^[0-9a-f]{24}$"


async def test_a_transaction_can_be_a_dependency(database: Database) -> None:
    app = FastAPI(lifespan=database.lifespan)
    database.install_error_handlers(app)
    resources = database.repository(Resource)

    async def transaction() -> AsyncGenerator[Transaction]:
        async with database.transaction() as tx:
            yield tx

    @app.post("/{id}")
    async def create(id: str, tx: Annotated[Transaction, Depends(transaction)], fail: bool = False) -> None:
        await resources.create({"id": id, "name": "n"}, tx=tx)
        if fail:
            raise UniqueViolationError("invented")

    async with running(app) as client:
        assert (await client.post("/a")).status_code == 200
        assert (await client.post("/b?fail=true")).status_code == 409
        assert await resources.distinct("id") == ["a"]


async def test_hundreds_of_requests_at_once_are_all_answered(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.post("/resources", json={"id": str(n), "name": "n"}) for n in range(150)),
        *(client.get("/resources.json") for _ in range(50)),
    )
    assert {answer.status_code for answer in answers} == {200, 201}
    assert len((await client.get("/resources.json")).json()) == 150


def test_the_package_itself_imports_neither_fastapi_nor_asyncio() -> None:
    from support import run_python

    done = run_python("import sys, farm_db; print({'asyncio', 'fastapi', 'starlette'} & set(sys.modules))")
    assert (done.stdout, done.stderr) == ("set()\n", "")
