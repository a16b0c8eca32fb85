"""Where things are, how commands are run, and steps that are done once.

A step has inputs (files whose content matters) and outputs (paths that must exist). It runs when the inputs have
changed since it last succeeded, or an output is gone; the fingerprint of its inputs is kept in `.work/stamps/`.
Only the standard library is used: this runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work"
STAMPS = WORK / "stamps"
REPORTS = WORK / "reports"

#: Built or installed, never an input.
IGNORED = {"__pycache__", "node_modules", "target", "dist", ".work", ".venv", "results"}


class Failure(Exception):
    """What stops the work, said in one line, perhaps with a hint."""


def colours(stream: object = sys.stderr) -> bool:
    """Whether a stream is a terminal that wants colours."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and hasattr(stream, "isatty") and stream.isatty()


def say(text: str) -> None:
    """One short line about what is being done."""
    mark = "\x1b[36m==>\x1b[0m" if colours() else "==>"
    print(f"{mark} {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None, quiet: bool = False) -> None:
    """Runs a command; with `quiet` its output is shown only when it fails.

    Raises:
        Failure: if it cannot be started or ends with another code than 0.
    """
    words = [str(word) for word in command]
    full = {**os.environ, **(env or {})}
    into, errors = (subprocess.PIPE, subprocess.STDOUT) if quiet else (None, None)
    try:
        done = subprocess.run(words, cwd=cwd, env=full, stdin=subprocess.DEVNULL, stdout=into, stderr=errors, text=True)
    except FileNotFoundError as error:
        raise Failure(f"{words[0]} is not installed") from error
    if done.returncode != 0:
        if quiet:
            sys.stderr.write(done.stdout)
        raise Failure(f"`{shlex.join(words)}` ended with {done.returncode}")


def output(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a command prints; empty text where there is no such command or it fails."""
    try:
        done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def triple() -> str:
    """The host's target. Every cargo call names it, so that all of them share what they compile."""
    for line in output("rustc", "-vV").splitlines():
        if line.startswith("host: "):
            return line.removeprefix("host: ")
    raise Failure("rustc is not installed: see https://rustup.rs")


def cargo_target() -> Path:
    """Where cargo puts what it builds for the host."""
    base = Path(os.environ.get("CARGO_TARGET_DIR") or "target")
    return (base if base.is_absolute() else ROOT / base) / triple()


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / "bin" / "python"


# Steps.


def files_of(patterns: Iterable[str]) -> Iterator[Path]:
    """The files that the patterns name (a folder stands for all files in it), sorted, without built ones."""
    found: set[Path] = set()
    for pattern in patterns:
        for path in ROOT.glob(pattern):
            inside = path.rglob("*") if path.is_dir() else [path]
            found.update(file for file in inside if file.is_file() and not IGNORED & set(file.relative_to(ROOT).parts))
    return iter(sorted(file for file in found if file.suffix not in {".so", ".node", ".pyc", ".tsbuildinfo"}))


def fingerprint(patterns: Iterable[str], facts: Iterable[str]) -> str:
    """A hash of the files' names and content, and of the facts."""
    digest = hashlib.sha256("\0".join(facts).encode())
    for path in files_of(patterns):
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def step(
    name: str,
    title: str,
    work: Callable[[], None],
    *,
    inputs: Iterable[str] = (),
    facts: Iterable[str] = (),
    outputs: Iterable[Path] = (),
) -> bool:
    """Does the work unless it was done for the same inputs; returns whether it was done now."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    stamp = STAMPS / name
    with locked(STAMPS / f"{name}.lock"):
        print_of = fingerprint(inputs, facts)
        if all(path.exists() for path in outputs) and stamp.exists() and stamp.read_text() == print_of:
            return False
        stamp.unlink(missing_ok=True)
        say(title)
        began = time.monotonic()
        work()
        missing = [path for path in outputs if not path.exists()]
        if missing:
            raise Failure(f"{name}: {missing[0]} was not made")
        stamp.write_text(print_of)
        seconds = time.monotonic() - began
        if seconds > 5:
            say(f"  done in {seconds:.0f} s")
        return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two calls of make at once take turns."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def copy_atomically(source: Path, target: Path) -> None:
    """Replaces a file that may be loaded by a running process."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    shutil.copy2(source, fresh)
    fresh.replace(target)
