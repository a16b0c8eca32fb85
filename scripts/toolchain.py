"""Which tools must be there, what is said when one is not, and what may be installed.

On Debian, as root, missing packages are installed; anybody else is told the command. Rust and Node are never installed:
there is more than one good way, and it is the user's choice.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path

from workspace import Failure, output, run, say

PYTHON = (3, 11)
NODE = (20, 19)
RUST = (1, 89)


@cache
def check(what: str) -> None:
    """Makes sure that `python`, `rust`, `node` or `c++` can be used.

    Raises:
        Failure: if it cannot; the message says what to do.
    """
    {"python": _python, "rust": _rust, "node": _node, "c++": _compiler}[what]()


def _python() -> None:
    if sys.version_info < PYTHON:
        found = sys.version.split()[0]
        raise Failure(f"Python {_dotted(PYTHON)} or newer is needed, this is {found}: make PYTHON=python3.13 ...")
    if importlib.util.find_spec("ensurepip") is None:
        # Debian splits ensurepip off; with it missing `python3 -m venv` makes an environment without pip.
        _debian(f"python{sys.version_info.major}.{sys.version_info.minor}-venv", "python3 -m venv lacks ensurepip")


def _rust() -> None:
    found = _version(output("rustc", "--version"))
    if found is None or not shutil.which("cargo"):
        raise Failure("Rust is not installed: get it from https://rustup.rs (or Debian's rustup)")
    if found < RUST:
        raise Failure(f"Rust {_dotted(RUST)} or newer is needed, this is {_dotted(found)}: rustup update")
    if not shutil.which("cc"):
        _debian("gcc libc6-dev", "there is no C compiler, and SQLite is compiled from C")


def _node() -> None:
    found = _version(output("node", "--version"))
    if found is None or not shutil.which("npm"):
        raise Failure(f"Node {_dotted(NODE)} or newer with npm is not installed: see https://nodejs.org")
    if found < NODE:
        raise Failure(f"Node {_dotted(NODE)} or newer is needed, this is {_dotted(found)}")


def _compiler() -> None:
    if not shutil.which("c++") or not shutil.which("make"):
        _debian("build-essential", "better-sqlite3 is compiled from C++")


def _debian(packages: str, reason: str) -> None:
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages.split()]
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        raise Failure(f"{reason}; on Debian: sudo {' '.join(command)}")
    say(f"{reason}: installing {packages}")
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-q", env=environment, quiet=True)
    run(*command, env=environment, quiet=True)


def _version(text: str) -> tuple[int, int] | None:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


@cache
def node_platform() -> str:
    """This machine as the addon's packages are named, such as `linux-x64-gnu`."""
    name = output("node", "-p", "process.platform + '-' + process.arch")
    return f"{name}-gnu" if name.startswith("linux") else name
