"""Servers that the tests of faults may kill, and proxies before those that they share with others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends import temporary_url
from faults import servers
from faults.proxy import Proxy
from faults.support import SERVERS, end_all, endpoint, through


@dataclass
class Wire:
    """A database by way of a proxy.

    Attributes:
        url: By way of the proxy.
        direct: Past it.
    """

    proxy: Proxy
    url: str
    direct: str


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """As everywhere; but what a failing test has left open must not keep its database from being dropped."""
    backend = getattr(request, "param", "sqlite")
    with temporary_url(backend, tmp_path) as url:
        yield url
        if backend in SERVERS:
            asyncio.run(end_all(url))


@pytest.fixture
async def wire(url: str) -> AsyncGenerator[Wire]:
    """An empty database of the backend that is tested, behind a proxy."""
    async with Proxy(*endpoint(url)) as proxy:
        yield Wire(proxy, through(url, proxy.port), url)


@pytest.fixture(scope="module", params=list(servers.STARTERS))
def owned(request: pytest.FixtureRequest) -> Generator[servers.Owned]:
    """A server that the tests of this module may kill."""
    with servers.owned(request.param) as server:
        yield server
