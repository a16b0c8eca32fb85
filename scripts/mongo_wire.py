"""As much of MongoDB's wire protocol as makes a replica set of one server: commands by OP_MSG, before any driver is
installed (MongoDB manual, "Wire Protocol")."""

from __future__ import annotations

import socket
import struct
from typing import Any

OP_MSG = 2013


def _encode(value: Any) -> tuple[int, bytes]:
    match value:
        case bool():
            return 8, bytes([value])
        case int():
            return 16, struct.pack("<i", value)
        case str():
            data = value.encode() + b"\0"
            return 2, struct.pack("<i", len(data)) + data
        case list():
            return 4, document({str(index): item for index, item in enumerate(value)})
        case dict():
            return 3, document(value)
    raise TypeError(type(value))


def document(fields: dict[str, Any]) -> bytes:
    """BSON of bools, small ints, text, lists and maps."""
    body = b""
    for name, value in fields.items():
        kind, data = _encode(value)
        body += bytes([kind]) + name.encode() + b"\0" + data
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def command(port: int, fields: dict[str, Any]) -> bytes:
    """Sends a command to the database `admin` of a server on this machine; the reply as BSON."""
    message = struct.pack("<iB", 0, 0) + document({**fields, "$db": "admin"})
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(struct.pack("<iiii", len(message) + 16, 1, 0, OP_MSG) + message)
        with connection.makefile("rb") as answer:
            (length,) = struct.unpack("<i", answer.read(4))
            return answer.read(length - 4)[17:]


def is_primary(port: int, name: str) -> bool:
    """Whether a server is the primary of the replica set of its own that it is made if it is in none.

    Raises:
        OSError: while it does not answer.
    """
    try:
        hello = command(port, {"hello": 1})
        if b"\x02setName\0" not in hello:
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            command(port, {"replSetInitiate": {"_id": name, "members": [member]}})
    except struct.error as error:
        raise ConnectionError("the server closed the connection") from error
    return b"\x08isWritablePrimary\0\x01" in hello
