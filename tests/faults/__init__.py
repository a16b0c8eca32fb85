"""Faults that are made on purpose: wires that break, servers that are killed, callers that go away."""
