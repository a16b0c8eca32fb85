"""What a country is."""

from __future__ import annotations

from pydantic import BaseModel

from farm_db import Document, Field, Index
from farm_db.mixins import TimestampMixin


class NameForm(BaseModel):
    """A name as people say it and as documents write it."""

    common: str
    official: str


class Name(NameForm):
    """The English name, and those in the country's own languages by language code."""

    native: dict[str, NameForm] = {}


class Currency(BaseModel):
    """Money."""

    name: str
    symbol: str = ""


class Country(Document, TimestampMixin, table="countries"):
    """A country or territory."""

    cca3: str = Field(primary_key=True, pattern="^[A-Z]{3}$")
    cca2: str = Field(unique=True, min_length=2, max_length=2)
    name: Name
    independent: bool | None = None
    un_member: bool = False
    capital: list[str] = []
    region: str = Field(index=True)
    subregion: str = ""
    currencies: dict[str, Currency] = {}
    languages: dict[str, str] = {}
    translations: dict[str, NameForm] = {}
    latlng: list[float] = Field(min_length=2, max_length=2)
    landlocked: bool = False
    borders: list[str] = []
    #: Square kilometres; -1 where nobody has measured.
    area: float = Field(ge=-1)
    flag: str = ""

    class Settings:
        indexes = [Index("region", "-area"), Index("name.common")]


class CountryChanges(BaseModel):
    """What `PATCH` takes; fields that are not sent stay as they are."""

    capital: list[str] | None = None
    currencies: dict[str, Currency] | None = None
    area: float | None = None
