"""Two hundred interpreters exit with a hundred operations in flight, and a thousand worker threads of Node are
terminated, on every database."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from exits import exits

pytestmark = [pytest.mark.every_backend, pytest.mark.slow, pytest.mark.alone, pytest.mark.long]


async def test_two_hundred_interpreters_exit_cleanly_with_a_hundred_operations_in_flight(url: str) -> None:
    print(await exits(url, 200))


def test_a_thousand_workers_of_node_are_terminated_in_the_middle_of_calls() -> None:
    # One test of Vitest for each database.
    command = [
        "npx",
        "--no-install",
        "vitest",
        "run",
        "--config",
        "tests/node/vitest.config.ts",
        "hosts",
        "-t",
        "terminated",
    ]
    environment = {**os.environ, "FARM_TEST_LONG": "1"}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Of that name and so many: a test that is skipped or called something else would end well too.
    assert done.stdout.count("1000 terminations in") == 4, done.stdout
    print(done.stdout)
