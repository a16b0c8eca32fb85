"""Servers that ask for TLS and passwords: who is trusted, what goes over the wire, what is refused; a MongoDB that
stands alone; PlanetScale's mode, which wants TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import servers

from farm_db import ConnectionFailedError, Database, FarmDbError, InvalidConfigurationError, UnsupportedError
from support import User, make_users

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
CERTIFICATES = ROOT / "tests" / "tls"
CA, STRANGER = str(CERTIFICATES / "ca.pem"), str(CERTIFICATES / "stranger.pem")


@pytest.fixture(scope="module")
def secured() -> Generator[dict[str, str]]:
    """URLs of servers by variable."""
    with servers.running(servers.SECURED) as urls:
        yield urls


def named(url: str, host: str = "localhost") -> str:
    """The URL with the name that the server's certificate is made for, or another one."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace("127.0.0.1", host)))


async def is_encrypted(url: str, **options: object) -> bool:
    async with Database(url, models=[], contract="off", **options) as database:
        if database.backend == "postgres":
            [row] = await database.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            return bool(row["ssl"])
        [row] = await database.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        return row["Value"] != ""


async def refusal(url: str, **options: object) -> str:
    with pytest.raises(FarmDbError) as caught:
        await is_encrypted(url, **options)
    assert isinstance(caught.value, ConnectionFailedError), caught.value
    assert "secret" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("variable", "mode", "root", "modes"),
    [
        ("POSTGRES", "sslmode", "sslrootcert", ("disable", "prefer", "require", "verify-ca", "verify-full")),
        ("MYSQL", "ssl_mode", "ssl_ca", ("disabled", "preferred", "required", "verify_ca", "verify_identity")),
    ],
)
async def test_each_mode_trusts_whom_it_says(
    secured: dict[str, str], variable: str, mode: str, root: str, modes: tuple[str, ...]
) -> None:
    url = secured[f"FARM_TEST_{variable}_TLS_URL"]
    none, preferred, required, authority, whole = modes
    assert not await is_encrypted(url, **{mode: none})
    assert await is_encrypted(url, **{mode: preferred})
    assert await is_encrypted(url, **{mode: required})
    assert await is_encrypted(url, **{mode: authority, root: CA})
    assert await is_encrypted(named(url), **{mode: whole, root: CA})
    # Another name than the certificate's, another authority, none at all.
    assert "cert" in (await refusal(url, **{mode: whole, root: CA})).lower()
    assert "cert" in (await refusal(named(url), **{mode: whole, root: STRANGER})).lower()
    assert "cert" in (await refusal(url, **{mode: authority, root: STRANGER})).lower()
    assert "cert" in (await refusal(named(url), **{mode: whole})).lower()


async def test_planetscale_wants_tls_and_works_over_it(secured: dict[str, str]) -> None:
    url = named(secured["FARM_TEST_MYSQL_TLS_URL"])
    with pytest.raises(InvalidConfigurationError, match="TLS only"):
        await is_encrypted(url, planetscale=True, ssl_mode="disabled")
    # A server on this machine is verified too.
    await refusal(url, planetscale=True)
    async with Database(url, models=[User], planetscale=True, ssl_ca=CA) as database:
        users = database.repository(User)
        await users.create_many([{"id": 1, "email": "a"}, {"id": 2, "email": "b"}])
        async with database.transaction() as tx:
            await users.update_many({"id": 1}, {"email": "c"}, tx=tx)
        assert [user.email for user in await users.find(sort="id")] == ["c", "b"]
        assert await database.ensure_schema() == []


# MongoDB.


@pytest.fixture(scope="module")
def mongodb(secured: dict[str, str]) -> str:
    """A URL with the password of a user of `people`, who may write into the database `app`."""
    place = named(secured["FARM_TEST_MONGODB_TLS_URL"])
    asyncio.run(make_users(place, tls_ca_file=CA))
    return place.replace("mongodb://", "mongodb://ann:secret@") + "app?authSource=people&tls=true"


async def test_mongodb_authenticates_over_tls_against_its_source(mongodb: str) -> None:
    async with Database(mongodb, models=[], contract="off", tls_ca_file=CA) as database:
        assert (await database.execute({"connectionStatus": 1}))["authInfo"]["authenticatedUsers"] == [
            {"user": "ann", "db": "people"}
        ]
    for wrong in (mongodb.replace("secret", "guess"), mongodb.replace("people", "app")):
        with pytest.raises(FarmDbError, match=r"(?i)authentication failed") as caught:
            await Database(wrong, models=[], contract="off", tls_ca_file=CA).connect()
        assert not {"secret", "guess"} & set(str(caught.value).split()), caught.value


async def test_mongodb_trusts_whom_it_is_told_to(mongodb: str) -> None:
    def place(host: str = "localhost", **options: object) -> Database:
        url = named(mongodb.replace("localhost", "127.0.0.1"), host)
        return Database(url, models=[], contract="off", server_selection_timeout=2, **options)

    async with place("127.0.0.1", tls_insecure=True) as database:
        assert (await database.execute({"ping": 1}))["ok"] == 1
    for refused in (place(), place(tls_ca_file=STRANGER), place("127.0.0.1", tls_ca_file=CA)):
        with pytest.raises(ConnectionFailedError) as caught:
            await refused.connect()
        assert "secret" not in str(caught.value)


async def test_a_mongodb_that_stands_alone_says_what_it_cannot(mongodb: str) -> None:
    async with Database(mongodb, models=[User], tls_ca_file=CA) as database:
        users = database.repository(User)
        await users.create({"id": 1, "email": "a"})
        await users.update(1, {"email": "b"})
        await users.update_many({"id": 1}, {"$set": {"email": "c"}})
        assert (await users.get(1)).email == "c"
        with pytest.raises(UnsupportedError, match="only on a replica set"):
            async with database.transaction():
                raise AssertionError("a transaction began")
        with pytest.raises(UnsupportedError, match="only on a replica set"):
            await users.create_many([{"id": 2, "email": "x"}, {"id": 3, "email": "y"}])
        assert await users.count() == 1
        health = await database.health_check()
        assert health["status"] == "healthy"
