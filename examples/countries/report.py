"""What the demonstration prints: aligned lines, each an expectation that held or did not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WIDTH = 60


class Report:
    """Counts what held and what did not."""

    def __init__(self) -> None:
        self.failed = 0
        self.held = 0
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self._marks = ("✓", "✗") if utf8 else ("ok", "NO")

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def title(self, text: str) -> None:
        print(self._paint("1", text))

    def section(self, text: str) -> None:
        print(f"\n{self._paint('1;36', text)}", flush=True)

    def note(self, text: str) -> None:
        print(f"    {self._paint('2', text)}")

    def expect(self, what: str, held: Any, seen: str) -> None:
        """One expectation: what was done, whether the answer is right, and what was seen."""
        mark = self._paint("32", self._marks[0]) if held else self._paint("1;31", self._marks[1])
        if held:
            self.held += 1
        else:
            self.failed += 1
        print(f"  {mark} {what:<{WIDTH}} {seen if held else self._paint('31', seen)}", flush=True)

    def end(self) -> int:
        """The closing line; the exit code."""
        text = f"{self.held} of {self.held + self.failed} expectations held"
        print(f"\n{self._paint('1;32' if not self.failed else '1;31', text)}")
        return 1 if self.failed else 0


class Watch:
    """The milliseconds of a block."""

    milliseconds = 0.0

    def __str__(self) -> str:
        return f"{self.milliseconds:.1f} ms"


@contextmanager
def watch() -> Iterator[Watch]:
    """Measures a block."""
    result = Watch()
    began = time.perf_counter()
    yield result
    result.milliseconds = (time.perf_counter() - began) * 1000
