"""Thousands of calls leave neither memory nor anything on a server behind; `make soak` makes a million of them."""

from __future__ import annotations

import pytest

from leaks import leaks

pytestmark = [pytest.mark.every_backend, pytest.mark.slow, pytest.mark.alone]


def test_thousands_of_calls_leave_nothing_behind(url: str) -> None:
    print(leaks(url, 10_000))
