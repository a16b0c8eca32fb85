"""farm_db in FastAPI apps: lifespans, health routes, error answers, and JSON straight from the database.

Importing this module needs FastAPI (`pip install "farm-db[fastapi]"`); the rest of the package does not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic_core import to_jsonable_python

from .errors import FarmDbError

try:
    from fastapi import APIRouter, FastAPI, Request, Response
    from fastapi.responses import JSONResponse, StreamingResponse
except ImportError as error:
    raise ImportError('farm_db.fastapi needs FastAPI: pip install "farm-db[fastapi]"') from error

if TYPE_CHECKING:
    from starlette.types import Send

    from .database import Database
    from .query import Query

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]


class JSONBytesResponse(Response):
    """A response of JSON bytes as they are: `JSONBytesResponse(await resources.find().json())`."""

    media_type = "application/json"


class NDJSONResponse(StreamingResponse):
    """A response of a query's rows as lines of JSON, read while they are sent: `NDJSONResponse(resources.find())`.

    An error before the first row has its own status. When the client goes away, the connection is given back at once.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self,
        query: Query[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        batch: int = 256,
        by_alias: bool | None = None,
    ) -> None:
        self._lines = query.ndjson(batch, by_alias=by_alias)
        super().__init__(self._lines, status_code, headers)

    async def stream_response(self, send: Send) -> None:
        """Sends the status with the first lines, and the rest as the client takes them."""
        async with aclosing(self._lines) as lines:
            first = await anext(lines, b"")
            self.body_iterator = _after(first, lines)
            await super().stream_response(send)


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for lines in rest:
        yield lines


def combine(*lifespans: Lifespan) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """One lifespan of several, entered in their order and left in the opposite one; their states are merged.

    `FastAPI(lifespan=combine(db.lifespan, my_lifespan))`
    """

    @asynccontextmanager
    async def combined(app: Any) -> AsyncGenerator[dict[str, Any]]:
        state: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            for lifespan in lifespans:
                own = await stack.enter_async_context(lifespan(app))
                state.update(own or {})
            yield state

    return combined


def health_router(database: Database, prefix: str = "/health") -> APIRouter:
    """Routes for probes.

    - `/live`: 200 while the process runs; asks no database.
    - `/ready`: 200 when the database answers, else 503; says nothing more.
    - `/db`: the same statuses, with the report of `Database.health_check` and the pool.
    """
    router = APIRouter(prefix=prefix, tags=["health"])

    @router.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/ready")
    async def ready() -> JSONResponse:
        healthy, _ = await _report(database)
        return JSONResponse({"status": "ready" if healthy else "unavailable"}, 200 if healthy else 503)

    @router.get("/db")
    async def db() -> JSONResponse:
        healthy, report = await _report(database)
        return JSONResponse(report, 200 if healthy else 503)

    return router


async def _report(database: Database) -> tuple[bool, dict[str, Any]]:
    """Whether the database is fit for work, and what it says of itself."""
    try:
        report = await database.health_check()
    except FarmDbError as error:
        return False, {"name": database.name, "status": "unhealthy", "connected": False, **_body(error)}
    if not report["connected"]:
        return False, report
    healthy = report.get("status", "healthy") in ("healthy", "ok")
    return healthy, to_jsonable_python({**report, "pool": database.pool_stats()}, fallback=str)


def install_error_handlers(app: FastAPI) -> None:
    """Answers farm_db's errors with `{"error": {"code", "message", "context"}}` and the HTTP status of their kind.

    What a client cannot mend (5xx) is told by its kind alone: no statement, path or host leaves the server.
    """

    async def answer(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, FarmDbError)
        headers = {"Retry-After": "1"} if error.retryable and error.http_status == 503 else None
        return JSONResponse(_body(error), error.http_status, headers)

    app.add_exception_handler(FarmDbError, answer)


def _body(error: FarmDbError) -> dict[str, Any]:
    inside = error.http_status >= 500
    return {
        "error": {
            "code": error.code,
            "message": error.meaning if inside else str(error),
            "context": {} if inside else to_jsonable_python(error.context, fallback=str),
        }
    }
