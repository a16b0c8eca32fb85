"""Many long programs against plain dicts, on every database; see tests/stateful.py."""

from __future__ import annotations

import pytest

from stateful import run_programs

pytestmark = [pytest.mark.every_backend, pytest.mark.slow, pytest.mark.long]


def test_a_repository_is_what_plain_dicts_are_for_many_long_programs(url: str) -> None:
    print(run_programs(url, 150, 50))
