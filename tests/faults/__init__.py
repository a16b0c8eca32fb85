"""Faults that are made on purpose: wires that break, servers that are killed, callers that go away."""

import sys
from pathlib import Path

# How servers are started is known there.
sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))
