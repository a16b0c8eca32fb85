"""Code blocks of the documents."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def quick_start(name: str) -> str:
    """The block of the README behind `<!-- quick start: NAME -->`."""
    readme = (ROOT / "README.md").read_text()
    found = re.search(rf"<!-- quick start: {name} -->\n```\w+\n(.*?)```", readme, re.DOTALL)
    assert found, f"the README has no quick start for {name}"
    return found[1]


def blocks(document: Path, language: str) -> list[tuple[int, str]]:
    """The blocks of one language with the lines on which they begin."""
    text = document.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(text[: match.start(1)].count("\n") + 1, match[1]) for match in found]
