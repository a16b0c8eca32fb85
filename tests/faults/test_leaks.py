"""A million calls, mixed, leave neither memory nor anything on a server behind; from Python and from Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from leaks import assert_no_leak, leaks
from sessions import NOTHING, named, settled, watching

pytestmark = [pytest.mark.every_backend, pytest.mark.slow, pytest.mark.alone, pytest.mark.long]

SCRIPT = Path(__file__).parents[1] / "node" / "leaks.mjs"
CLIENT = "leaking-node"
#: V8 makes its young generation larger with time, by 16 MB and more, whatever the program does.
STEADY = "--max-semi-space-size=1"


def calls_of(url: str) -> int:
    """How many, by the backend: the servers are asked over a socket."""
    return 1_000_000 if url.startswith("sqlite") else 100_000


def test_a_million_calls_leave_nothing_behind(url: str) -> None:
    print(leaks(url, calls_of(url)))


async def test_a_million_calls_from_node_leave_nothing_behind(url: str) -> None:
    node = shutil.which("node")
    assert node is not None, "there is no node"
    async with watching(url, CLIENT) as watch:
        command = [node, "--expose-gc", STEADY, str(SCRIPT), named(url, CLIENT), str(calls_of(url))]
        done = subprocess.run(  # noqa: ASYNC221 - nothing else is to be done
            command, capture_output=True, text=True, check=False, env={**os.environ}
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        print(assert_no_leak({**found, "left": (await settled(watch))._asdict(), "open": NOTHING._asdict()}))
