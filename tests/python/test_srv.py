"""`mongodb+srv` urls against a name server, in namespaces of their own: port 53 belongs to the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORLD = Path(__file__).with_name("srv_world.py")
#: The superuser needs no namespace of users, in which there would be no other user for the servers.
APART = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


def machine_has_namespaces() -> bool:
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not machine_has_namespaces(), reason="this machine gives no namespaces to its users")
def test_the_records_of_a_cluster_name_its_servers_and_where_its_users_are() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # Closing must not wait for the driver's next look at the records, which is a minute away.
    done = subprocess.run(
        [*APART, sys.executable, str(WORLD)], capture_output=True, text=True, env=environment, timeout=45, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    ann = [{"user": "ann", "db": "people"}]
    assert (seen["by the records"], seen["another service"]) == (ann, ann)
    assert "uthentication failed" in seen["against the url"]["message"]
    assert seen["no such service"]["code"] == "connection_failed"
    assert seen["without TLS"]["code"] == "connection_failed"
    assert "secret" not in done.stdout
