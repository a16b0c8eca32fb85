"""A world of its own for `mongodb+srv`, to be run by `unshare` as `test_srv.py` does.

It has its own name server on port 53, its own `resolv.conf` and a MongoDB that asks for TLS and passwords. The records
are those that Atlas has: the users live in a database that only the TXT record names. Prints what was seen as JSON.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from farm_db import Database, FarmDbError
from support import make_users

ROOT = Path(__file__).parents[2]
CA = str(ROOT / "tests" / "tls" / "ca.pem")
CLUSTER, NODE = "cluster.farm.test", "node.farm.test"
A, TXT, SRV = 1, 16, 33


def isolate() -> None:
    """The loopback is up, and names are asked of this process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        # SIOCSIFFLAGS with IFF_UP and IFF_RUNNING.
        fcntl.ioctl(control, 0x8914, struct.pack("16sh22x", b"lo", 0x41))
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as mine:
        mine.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", mine.name, os.path.realpath("/etc/resolv.conf")], check=True)
    os.unlink(mine.name)


def encoded(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def serve_names(port: int, text: str) -> None:
    """Answers the questions about the cluster in a thread, until the process ends."""
    records = {
        (f"_mongodb._tcp.{CLUSTER}", SRV): struct.pack(">HHH", 0, 0, port) + encoded(NODE),
        (f"_farm._tcp.{CLUSTER}", SRV): struct.pack(">HHH", 0, 0, port) + encoded(NODE),
        (CLUSTER, TXT): bytes([len(text)]) + text.encode(),
        (NODE, A): bytes([127, 0, 0, 1]),
    }
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def answer() -> None:
        while True:
            question, client = server.recvfrom(4096)
            labels, position = [], 12
            while length := question[position]:
                labels.append(question[position + 1 : position + 1 + length].decode().lower())
                position += 1 + length
            [kind] = struct.unpack(">H", question[position + 1 : position + 3])
            data = records.get((".".join(labels), kind))
            known = any(name == ".".join(labels) for name, _ in records)
            flags = 0x8580 if known else 0x8583
            header = question[:2] + struct.pack(">HHHHH", flags, 1, int(data is not None), 0, 0)
            record = b"" if data is None else b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
            server.sendto(header + question[12 : position + 5] + record, client)

    threading.Thread(target=answer, daemon=True).start()


async def who(url: str) -> object:
    """Who the server says that we are, or why it does not let us in."""
    try:
        # The certificate is for another name; who is trusted is not the question here.
        async with Database(url, models=[], contract="off", tls_ca_file=CA, tls_insecure=True) as database:
            status = await database.execute({"connectionStatus": 1})
            return status["authInfo"]["authenticatedUsers"]
    except FarmDbError as error:
        return {"code": error.code, "message": str(error)}


async def main(port: int) -> None:
    await make_users(f"mongodb://127.0.0.1:{port}/", tls_insecure=True)
    place = f"mongodb+srv://ann:secret@{CLUSTER}/app"
    urls = {
        "by the records": place,
        "against the url": f"{place}?authSource=app",
        "another service": f"{place}?srvServiceName=farm&srvMaxHosts=1",
        "no such service": f"{place}?srvServiceName=none",
        "without TLS": f"{place}?tls=false&serverSelectionTimeoutMS=500",
    }
    print(json.dumps({what: await who(url) for what, url in urls.items()}))


if __name__ == "__main__":
    isolate()
    sys.path.insert(0, str(ROOT / "scripts"))
    import servers

    if Path("/proc/self/uid_map").read_text().split()[2] == "1":
        # A mapped superuser is the only user here.
        servers.NOBODY = 0
    variable = "FARM_TEST_MONGODB_TLS_URL"
    with servers.running({variable: servers.SECURED[variable]}) as running:
        port = int(running[variable].rsplit(":", 1)[1].rstrip("/"))
        serve_names(port, "authSource=people")
        asyncio.run(main(port))
