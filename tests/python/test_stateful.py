"""Programs that hypothesis makes up: a repository answers and ends as plain dicts do; see tests/stateful.py."""

from __future__ import annotations

import os

import pytest

from stateful import run_programs

pytestmark = pytest.mark.every_backend

PROGRAMS = int(os.environ.get("FARM_DB_EXAMPLES", "50")) // 4


def test_a_repository_is_what_plain_dicts_are(url: str) -> None:
    print(run_programs(url, PROGRAMS, 30))
