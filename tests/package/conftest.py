"""Tests of what is published: built for release, installed into an empty place, run from there."""

from __future__ import annotations

import sys
from pathlib import Path

# The quick starts are taken from the README by the same code.
sys.path.insert(0, str(Path(__file__).parent.parent / "readme"))
# What starting costs is measured by the benchmark's code.
sys.path.append(str(Path(__file__).parent.parent.parent))
