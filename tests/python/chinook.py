"""Models of the data sets in `shared/data`: the eleven tables of Chinook and the theaters of MongoDB's samples."""

# The names of the columns are Chinook's.

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator

from farm_db import Document, Field, ObjectId

Money = Annotated[Decimal, Field(max_digits=10, decimal_places=2, ge=0)]


def _day(value: Any) -> Any:
    """Chinook writes days as midnights."""
    return value[:10] if isinstance(value, str) else value


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_utc)]
Day = Annotated[date, BeforeValidator(_day)]


class Genre(Document, table="genres"):
    GenreId: int = Field(primary_key=True)
    Name: str = Field(max_length=120)


class MediaType(Document, table="media_types"):
    MediaTypeId: int = Field(primary_key=True)
    Name: str = Field(max_length=120)


class Artist(Document, table="artists"):
    ArtistId: int = Field(primary_key=True)
    Name: str = Field(max_length=120, index=True)


class Album(Document, table="albums"):
    AlbumId: int = Field(primary_key=True)
    Title: str = Field(max_length=160)
    ArtistId: int = Field(index=True)


class Track(Document, table="tracks"):
    TrackId: int = Field(primary_key=True)
    Name: str = Field(max_length=200)
    AlbumId: int = Field(index=True)
    MediaTypeId: int
    GenreId: int = Field(index=True)
    Composer: str | None = None
    Milliseconds: int = Field(ge=0)
    Bytes: int | None = None
    UnitPrice: Decimal


class Employee(Document, table="employees"):
    EmployeeId: int = Field(primary_key=True)
    LastName: str
    FirstName: str
    Title: str | None = None
    ReportsTo: int | None = None
    BirthDate: Day
    HireDate: Day
    Address: str | None = None
    City: str | None = None
    State: str | None = None
    Country: str | None = None
    PostalCode: str | None = None
    Phone: str | None = None
    Fax: str | None = None
    Email: str | None = Field(default=None, unique=True)


class Customer(Document, table="customers"):
    CustomerId: int = Field(primary_key=True)
    FirstName: str
    LastName: str
    Company: str | None = None
    Address: str | None = None
    City: str | None = None
    State: str | None = None
    Country: str | None = None
    PostalCode: str | None = None
    Phone: str | None = None
    Fax: str | None = None
    Email: str = Field(unique=True)
    SupportRepId: int | None = None


class Invoice(Document, table="invoices"):
    InvoiceId: int = Field(primary_key=True)
    CustomerId: int = Field(index=True)
    InvoiceDate: Moment = Field(index=True)
    BillingAddress: str | None = None
    BillingCity: str | None = None
    BillingState: str | None = None
    BillingCountry: str | None = None
    BillingPostalCode: str | None = None
    Total: Money


class InvoiceLine(Document, table="invoice_lines"):
    InvoiceLineId: int = Field(primary_key=True)
    InvoiceId: int = Field(index=True)
    TrackId: int = Field(index=True)
    UnitPrice: Money
    Quantity: int = Field(gt=0)


class Playlist(Document, table="playlists"):
    PlaylistId: int = Field(primary_key=True)
    Name: str | None = None


class PlaylistTrack(Document, table="playlist_tracks"):
    PlaylistId: int = Field(primary_key=True)
    TrackId: int = Field(primary_key=True)


class StreetAddress(BaseModel):
    street1: str
    street2: str | None = None
    city: str
    state: str
    zipcode: str


class Geo(BaseModel):
    type: str
    coordinates: list[float]


class Location(BaseModel):
    address: StreetAddress
    geo: Geo


class Theater(Document, table="theaters"):
    id: ObjectId = Field(primary_key=True, column="_id", alias="_id")
    theater_id: int = Field(column="theaterId", alias="theaterId", unique=True)
    location: Location


MODELS: list[type[Document]] = [
    Genre,
    MediaType,
    Artist,
    Album,
    Track,
    Employee,
    Customer,
    Invoice,
    InvoiceLine,
    Playlist,
    PlaylistTrack,
    Theater,
]
