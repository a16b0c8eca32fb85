"""Servers that the tests of faults may kill, and proxies before those that they share with others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass

import pytest

from faults import servers
from faults.proxy import Proxy
from faults.support import endpoint, through


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
async def wire(url: str) -> AsyncGenerator[Wire]:
    """An empty database of the backend that is tested, behind a proxy."""
    async with Proxy(*endpoint(url)) as proxy:
        yield Wire(proxy, through(url, proxy.port), url)


@pytest.fixture(scope="module", params=list(servers.STARTERS))
def owned(request: pytest.FixtureRequest) -> Generator[servers.Owned]:
    """A server that the tests of this module may kill."""
    with servers.owned(request.param) as server:
        yield server
