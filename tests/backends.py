"""The databases that the tests of every backend run against, and an empty one of each for a test."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

#: Every backend that there is.
BACKENDS = ("sqlite",)


@contextmanager
def temporary_url(backend: str, folder: Path) -> Generator[str]:
    """The URL of an empty database, which is gone afterwards."""
    assert backend in BACKENDS, backend
    yield f"sqlite:///{folder / 'app.db'}"
