"""The app under uvicorn, its file filled with countries: `python serve.py [--port N] [--database URL]`.

Prints the address of the app and of its OpenAPI page; `--port 0` takes a free port. Ends on Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

SWAGGER = Path(__file__).parent / "node_modules" / "swagger-ui-dist"


def listen(port: int) -> socket.socket:
    """A socket of this machine only."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", port))
    except OSError as error:
        sys.exit(f"error: port {port} cannot be used ({error.strerror}): try --port 0, or make serve PORT=8001")
    # From here on connections wait for the app instead of being refused.
    server.listen(128)
    return server


async def fill() -> int:
    """Loads the countries unless they are there."""
    from app import db
    from load import load
    from model import Country

    async with db:
        return await db.repository(Country).count() or await load(db)


def with_local_docs(app: FastAPI) -> FastAPI:
    """The OpenAPI page from installed files: FastAPI's own takes them from the internet."""

    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/swagger/swagger-ui-bundle.js",
            swagger_css_url="/swagger/swagger-ui.css",
            swagger_favicon_url="/swagger/favicon-32x32.png",
        )

    served = FastAPI(docs_url=None, openapi_url=None, lifespan=app.router.lifespan_context)
    served.mount("/swagger", StaticFiles(directory=SWAGGER))
    served.add_api_route("/docs", docs)
    served.mount("/", app)
    return served


def main() -> None:
    parser = argparse.ArgumentParser(description="The countries app under uvicorn.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--database", help="default: DATABASE_URL, else sqlite:///countries.db")
    arguments = parser.parse_args()
    if arguments.database:
        os.environ["DATABASE_URL"] = arguments.database
    from app import app

    server = listen(arguments.port)
    address = f"http://127.0.0.1:{server.getsockname()[1]}"
    print(f"countries: {asyncio.run(fill())}")
    print(f"app:       {address}/countries")
    print(f"OpenAPI:   {address}/docs", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(with_local_docs(app), log_level="warning")).run(sockets=[server])


if __name__ == "__main__":
    main()
