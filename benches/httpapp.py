"""The FastAPI app of one contender under uvicorn: `python -m benches.httpapp MODULE NAME BACKEND TARGET POOL FD`."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Response

from .adapters import load
from .contract import Adapter, Target


def make(adapter: Adapter, target: Target, pool: int) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await adapter.open(target, pool)
        yield
        await adapter.close()

    app = FastAPI(lifespan=lifespan)
    model: Any = adapter.response_model

    if adapter.json_over_http:

        @app.get("/resources")
        async def list_resources(limit: int = 50) -> Response:
            return Response(await adapter.json(limit), media_type="application/json")

    else:

        @app.get(
            "/resources",
            response_model=list[model],
            response_model_by_alias=adapter.response_by_alias,
        )
        async def list_resources(limit: int = 50) -> Any:
            return await adapter.find(limit)

    @app.get("/resources/{id}", response_model=model, response_model_by_alias=adapter.response_by_alias)
    async def get_resource(id: str) -> Any:
        row = await adapter.get(id)
        if row is None:
            raise HTTPException(404)
        return row

    return app


def main() -> None:
    module, name, backend, target, pool, descriptor = sys.argv[1:7]
    app = make(load(module, name, backend), Target.of(json.loads(target)), int(pool))
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main()
