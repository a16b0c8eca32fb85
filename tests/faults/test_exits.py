"""Two hundred interpreters exit with a hundred operations in flight, on every database."""

from __future__ import annotations

import pytest

from exits import exits

pytestmark = [pytest.mark.every_backend, pytest.mark.slow, pytest.mark.alone, pytest.mark.long]


async def test_two_hundred_interpreters_exit_cleanly_with_a_hundred_operations_in_flight(url: str) -> None:
    print(await exits(url, 200))
