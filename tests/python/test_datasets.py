"""Real data: Chinook and the theaters, loaded by `create_many` and compared with answers computed in plain Python."""

from __future__ import annotations

import asyncio
import json
from collections import Counter as Tally
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backends import BACKENDS, temporary_url
from chinook import MODELS, Album, Artist, Customer, Employee, Invoice, InvoiceLine, PlaylistTrack, Theater, Track
from farm_db import Database, NotFoundError, ObjectId, col
from support import opened

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "chinook.json").is_file() or not (DATA / "mflix_theaters.json").is_file(),
    reason=f"the data sets are not in {DATA.parent.name}/{DATA.name} beside the project",
)


def plain(value: Any) -> Any:
    """MongoDB's Extended JSON as Python values."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    readers = {"$oid": ObjectId, "$numberInt": int, "$numberDouble": float}
    if len(value) == 1 and (tag := next(iter(value))) in readers:
        return readers[tag](value[tag])
    return {key: plain(item) for key, item in value.items()}


@pytest.fixture(scope="module")
def raw() -> dict[str, list[dict[str, Any]]]:
    """The rows as they are in the files, money exact."""
    rows = json.loads((DATA / "chinook.json").read_text(encoding="utf-8"), parse_float=Decimal)
    lines = (DATA / "mflix_theaters.json").read_text(encoding="utf-8").splitlines()
    return {**rows, "Theater": [plain(json.loads(line)) for line in lines]}


@pytest.fixture(scope="module", params=BACKENDS)
def loaded(
    request: pytest.FixtureRequest, raw: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Database]:
    with temporary_url(request.param, tmp_path_factory.mktemp("data")) as url:
        yield from _loaded(Database(url, models=MODELS), raw)


def _loaded(database: Database, raw: dict[str, Any]) -> Generator[Database]:
    async def load() -> None:
        await database.connect()
        for model in MODELS:
            rows = raw[model.__name__]
            created = await database.repository(model).create_many(rows)
            assert len(created) == len(rows)

    asyncio.run(load())
    yield database
    asyncio.run(database.close())


@pytest.fixture
async def db(loaded: Database) -> Database:
    loaded.bind()
    return loaded


def ids(rows: list[Any], key: str) -> list[Any]:
    return [getattr(row, key) for row in rows]


async def test_every_row_of_every_table_is_there_and_exact(db: Database, raw: dict[str, Any]) -> None:
    for model in MODELS:
        rows = await db.repository(model).find()
        expected = [model.model_validate(row) for row in raw[model.__name__]]
        assert len(rows) == len(expected) == await db.repository(model).count()
        assert sorted(rows, key=repr) == sorted(expected, key=repr)
    assert sum(len(rows) for name, rows in raw.items() if name != "Theater") == 15_607
    assert len(raw["Theater"]) == 1564


async def test_money_is_exact(db: Database, raw: dict[str, Any]) -> None:
    rows = await db.repository(Invoice).find()
    assert sum(row.Total for row in rows) == sum(row["Total"] for row in raw["Invoice"])
    assert {type(row.Total) for row in rows} == {Decimal}
    totals = [row.Total for row in await db.repository(Invoice).find(sort=("-Total", "InvoiceId"))]
    assert totals == sorted(totals, reverse=True)
    expected = sorted({row["Total"] for row in raw["Invoice"]})
    assert await db.repository(Invoice).distinct("Total") == expected


TRACKS = [
    (Track.GenreId == 1, lambda row: row["GenreId"] == 1),
    (Track.UnitPrice > Decimal("0.99"), lambda row: row["UnitPrice"] > Decimal("0.99")),
    (Track.UnitPrice == Decimal("1.990"), lambda row: row["UnitPrice"] == Decimal("1.99")),
    (col(Track.Milliseconds).between(180_000, 200_000), lambda row: 180_000 <= row["Milliseconds"] <= 200_000),
    (Track.Composer == "", lambda row: row["Composer"] == ""),
    (col(Track.Composer).contains("Jagger"), lambda row: "Jagger" in (row.get("Composer") or "")),
    (col(Track.Name).startswith("The "), lambda row: row["Name"].startswith("The ")),
    (col(Track.Name).ilike("%LOVE%"), lambda row: "love" in row["Name"].lower()),
    (col(Track.Name).like("%ç%"), lambda row: "ç" in row["Name"]),
    (
        col(Track.Name).regex(r"^[A-Z][a-z]+$"),
        lambda row: row["Name"].isascii() and row["Name"].isalpha() and row["Name"].istitle() and len(row["Name"]) > 1,
    ),
    (col(Track.AlbumId).in_([1, 5, 141]), lambda row: row["AlbumId"] in (1, 5, 141)),
    (~(col(Track.GenreId).in_([1, 2, 3])), lambda row: row["GenreId"] not in (1, 2, 3)),
    (
        (Track.GenreId == 2) & ((Track.Milliseconds > 400_000) | (Track.Bytes < 5_000_000)),
        lambda row: row["GenreId"] == 2 and (row["Milliseconds"] > 400_000 or row["Bytes"] < 5_000_000),
    ),
    ({"TrackId": {"$mod": [100, 7]}}, lambda row: row["TrackId"] % 100 == 7),
]


@pytest.mark.parametrize("number", range(len(TRACKS)))
async def test_tracks_are_found_as_python_finds_them(db: Database, raw: dict[str, Any], number: int) -> None:
    condition, expected = TRACKS[number]
    wanted = sorted(row["TrackId"] for row in raw["Track"] if expected(row))
    tracks = db.repository(Track)
    assert 0 < len(wanted) < len(raw["Track"])
    assert ids(await tracks.find(condition, sort="TrackId"), "TrackId") == wanted
    assert await tracks.count(condition) == len(wanted)
    longest = sorted(
        (row for row in raw["Track"] if expected(row)), key=lambda row: (-row["Milliseconds"], row["TrackId"])
    )
    found = await tracks.find(condition, sort=("-Milliseconds", "TrackId"), limit=5, skip=2)
    assert ids(found, "TrackId") == [row["TrackId"] for row in longest[2:7]]


async def test_pages_lead_through_all_tracks_once(db: Database, raw: dict[str, Any]) -> None:
    seen: list[int] = []
    after = None
    while True:
        page = await db.repository(Track).page(sort=("GenreId", "-Milliseconds"), limit=500, after=after)
        seen += ids(page.items, "TrackId")
        if (after := page.next_cursor) is None:
            break
    expected = sorted(raw["Track"], key=lambda row: (row["GenreId"], -row["Milliseconds"], -row["TrackId"]))
    assert seen == [row["TrackId"] for row in expected]


async def test_dates_are_filtered_and_sorted_as_moments(db: Database, raw: dict[str, Any]) -> None:
    invoices = db.repository(Invoice)
    rows = await invoices.find(
        {"InvoiceDate": {"$gte": "2022-03-01T00:00:00Z"}}, Invoice.BillingCountry == "Germany", sort="InvoiceDate"
    )
    expected = sorted(
        (row["InvoiceDate"], row["InvoiceId"])
        for row in raw["Invoice"]
        if row["InvoiceDate"] >= "2022-03-01" and row["BillingCountry"] == "Germany"
    )
    assert [(row.InvoiceDate.strftime("%Y-%m-%dT%H:%M:%S"), row.InvoiceId) for row in rows] == expected
    oldest = await db.repository(Employee).find_one(sort="BirthDate")
    assert oldest.BirthDate.isoformat() == min(row["BirthDate"] for row in raw["Employee"])[:10]


async def test_distinct_countries_and_cities_come_in_order(db: Database, raw: dict[str, Any]) -> None:
    customers = db.repository(Customer)
    assert await customers.distinct("Country") == sorted({row["Country"] for row in raw["Customer"]})
    cities = await customers.distinct(Customer.City, Customer.Country == "Brazil")
    assert cities == sorted({row["City"] for row in raw["Customer"] if row["Country"] == "Brazil"})


async def test_nulls_and_empty_texts_are_told_apart(db: Database, raw: dict[str, Any]) -> None:
    employees = db.repository(Employee)
    assert ids(await employees.find({"ReportsTo": None}), "EmployeeId") == [
        row["EmployeeId"] for row in raw["Employee"] if row["ReportsTo"] is None
    ]
    invoices = db.repository(Invoice)
    empty = sum(row.get("BillingState") == "" for row in raw["Invoice"])
    null = sum(row.get("BillingState") is None for row in raw["Invoice"])
    assert await invoices.count({"BillingState": ""}) == empty
    assert await invoices.count({"BillingState": None}) == null
    assert await invoices.count({"BillingState": {"$nin": ["", None]}}) == len(raw["Invoice"]) - empty - null


async def test_the_composite_key_of_playlists_works(db: Database, raw: dict[str, Any]) -> None:
    entries = db.repository(PlaylistTrack)
    sample = raw["PlaylistTrack"][:: len(raw["PlaylistTrack"]) // 50]
    rows = await entries.get_many(sample)
    assert [(row.PlaylistId, row.TrackId) for row in rows] == [(row["PlaylistId"], row["TrackId"]) for row in sample]
    assert await entries.get(sample[3]) == rows[3]
    with pytest.raises(NotFoundError):
        await entries.get({"PlaylistId": 1, "TrackId": -1})
    sizes = Tally(row["PlaylistId"] for row in raw["PlaylistTrack"])
    for playlist, size in sizes.items():
        assert await entries.count({"PlaylistId": playlist}) == size
    assert await entries.distinct("PlaylistId") == sorted(sizes)


async def test_a_walk_along_the_relations_gives_what_a_join_in_python_gives(db: Database, raw: dict[str, Any]) -> None:
    artist = await db.repository(Artist).find_one(Artist.Name == "Iron Maiden")
    albums = await db.repository(Album).find({"ArtistId": artist.ArtistId})
    tracks = await db.repository(Track).find(col(Track.AlbumId).in_(ids(albums, "AlbumId")))
    lines = await db.repository(InvoiceLine).find(col(InvoiceLine.TrackId).in_(ids(tracks, "TrackId")))
    earned = sum(line.UnitPrice * line.Quantity for line in lines)
    own = {row["AlbumId"] for row in raw["Album"] if row["ArtistId"] == artist.ArtistId}
    theirs = {row["TrackId"] for row in raw["Track"] if row["AlbumId"] in own}
    expected = sum(row["UnitPrice"] * row["Quantity"] for row in raw["InvoiceLine"] if row["TrackId"] in theirs)
    assert earned == expected > 0


async def test_updates_in_a_transaction_are_seen_inside_only_and_undone(db: Database, raw: dict[str, Any]) -> None:
    tracks = db.repository(Track)
    rock = sum(row["GenreId"] == 1 for row in raw["Track"])
    async with db.transaction() as tx:
        changed = await tracks.update_many(Track.GenreId == 1, {"$mul": {"UnitPrice": Decimal("1.10")}}, tx=tx)
        assert changed == rock
        inside = await tracks.find(Track.GenreId == 1, tx=tx)
        before = {row["TrackId"]: row["UnitPrice"] for row in raw["Track"]}
        assert all(row.UnitPrice == before[row.TrackId] * Decimal("1.10") for row in inside)
        assert await tracks.delete_many({"GenreId": {"$ne": 1}}, tx=tx) == len(before) - rock
        assert await tracks.count(tx=tx) == rock
        assert await tracks.count() == len(before)
        await tx.rollback()
    assert sum(row.UnitPrice for row in await tracks.find()) == sum(row["UnitPrice"] for row in raw["Track"])


def city(row: dict[str, Any]) -> str:
    return row["location"]["address"]["city"]


def state(row: dict[str, Any]) -> str:
    return row["location"]["address"]["state"]


def longitude(row: dict[str, Any]) -> float:
    return row["location"]["geo"]["coordinates"][0]


THEATERS = [
    ({"location.address.state": "MN"}, lambda row: state(row) == "MN"),
    (Theater.location.address.city == "Bloomington", lambda row: city(row) == "Bloomington"),
    (Theater.location.address.state != "CA", lambda row: state(row) != "CA"),
    (
        {"location.address.zipcode": {"$regex": "^90"}},
        lambda row: row["location"]["address"]["zipcode"].startswith("90"),
    ),
    ({"location.geo.coordinates.0": {"$lt": -120}}, lambda row: longitude(row) < -120),
    (
        {"location.geo.coordinates": {"$elemMatch": {"$gte": 45, "$lte": 46}}},
        lambda row: any(45 <= one <= 46 for one in row["location"]["geo"]["coordinates"]),
    ),
    ({"location.geo.coordinates": {"$size": 2}, "theaterId": {"$lt": 1100}}, lambda row: row["theaterId"] < 1100),
    ({"location.address.street2": {"$nin": [None, ""]}}, lambda row: bool(row["location"]["address"].get("street2"))),
    (
        {"$or": [{"location.address.state": "TX"}, {"location.address.city": {"$in": ["Fargo", "Anchorage"]}}]},
        lambda row: state(row) == "TX" or city(row) in ("Fargo", "Anchorage"),
    ),
    (
        {"_id": {"$gt": ObjectId("59a47287cfa9a3a73e51ea00")}},
        lambda row: row["_id"] > ObjectId("59a47287cfa9a3a73e51ea00"),
    ),
]


@pytest.mark.parametrize("number", range(len(THEATERS)))
async def test_theaters_are_found_by_what_is_deep_inside(db: Database, raw: dict[str, Any], number: int) -> None:
    condition, expected = THEATERS[number]
    theaters = db.repository(Theater)
    wanted = [row for row in raw["Theater"] if expected(row)]
    assert 0 < len(wanted) < len(raw["Theater"])
    assert set(ids(await theaters.find(condition), "id")) == {row["_id"] for row in wanted}
    assert await theaters.count(condition) == len(wanted)
    found = await theaters.find(
        condition, sort=("location.address.state", "-location.address.city", "theaterId"), limit=10
    )
    ordered = sorted(wanted, key=lambda row: row["theaterId"])
    ordered = sorted(sorted(ordered, key=city, reverse=True), key=state)
    assert ids(found, "theater_id") == [row["theaterId"] for row in ordered[:10]]


async def test_states_and_cities_of_theaters_are_distinct(db: Database, raw: dict[str, Any]) -> None:
    theaters = db.repository(Theater)
    assert await theaters.distinct("location.address.state") == sorted({state(row) for row in raw["Theater"]})
    found = await theaters.distinct("location.address.city", {"location.address.state": "TX"})
    assert found == sorted({city(row) for row in raw["Theater"] if state(row) == "TX"})


async def test_a_deep_update_touches_one_place(db: Database, raw: dict[str, Any]) -> None:
    theaters = db.repository(Theater)
    key = raw["Theater"][0]["_id"]
    before = await theaters.get(key)
    async with db.transaction() as tx:
        after = await theaters.update(
            key, {"$set": {"location.address.city": "Zürich"}, "$push": {"location.geo.coordinates": 7.5}}, tx=tx
        )
        assert after.location.address.city == "Zürich"
        assert after.location.geo.coordinates == [*before.location.geo.coordinates, 7.5]
        assert (
            after.location.address.model_copy(update={"city": before.location.address.city}) == before.location.address
        )
        await tx.rollback()
    assert await theaters.get(key) == before


async def test_json_and_streams_give_the_same_rows(db: Database, raw: dict[str, Any]) -> None:
    theaters = db.repository(Theater)
    rows = await theaters.find(sort="theater_id")
    assert [row async for row in theaters.find(sort="theater_id").stream(batch=100)] == rows
    printed = json.loads(await theaters.find(sort="theater_id").json())
    assert printed == [row.model_dump(mode="json") for row in rows]


async def test_tables_of_the_database_are_counted_in_its_statistics(db: Database, raw: dict[str, Any]) -> None:
    stats = await db.get_stats()
    assert stats["entities"] == {model.get_collection_name(): len(raw[model.__name__]) for model in MODELS}


async def test_a_chinook_with_a_broken_row_is_loaded_not_at_all(raw: dict[str, Any], url: str) -> None:
    rows = [*raw["Track"]]
    rows[3000] = {**rows[3000], "TrackId": rows[0]["TrackId"]}
    async with opened(url, [Track]) as database:
        with pytest.raises(Exception, match="TrackId"):
            await database.repository(Track).create_many(rows)
        assert await database.repository(Track).count() == 0
