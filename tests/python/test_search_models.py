"""Full-text search of models: `Settings.search`, repositories and active record."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import BaseModel

from farm_db import (
    BaseDocument,
    Database,
    Document,
    Field,
    InvalidQueryError,
    InvalidSchemaError,
    SearchableMixin,
)
from farm_db.entity import entity_of
from support import failure, opened

pytestmark = pytest.mark.every_backend


class Profile(BaseModel):
    """Who it is."""

    bio: str | None = Field(default=None, column="about")


class Person(BaseDocument, SearchableMixin, table="people"):
    """Someone to be found."""

    name: str
    profile: Profile = Profile()

    class Settings:
        """What is searched."""

        search = ("name", "profile.bio", "tags")


class Chef(Person, table="chefs"):
    """Inherits what is searched."""

    stars: int = 0


class Plain(Document, SearchableMixin, table="plain_people"):
    """The old behaviour: a column that the app fills."""

    id: int = Field(primary_key=True)
    name: str = ""


class Song(Document, table="songs"):
    """With a search field of its own name, and a field that is named like a verb."""

    id: int = Field(primary_key=True)
    search: str
    found: str | None = Field(default=None, auto="search")

    class Settings:
        """What is searched."""

        search = ["search"]


@pytest.fixture
async def db(url: str) -> AsyncGenerator[Database]:
    async with opened(url, [Person, Chef, Plain, Song]) as database:
        yield database


async def names(query: Any) -> list[str]:
    return sorted(row.name for row in await query)


async def make() -> None:
    for name, bio, tags in [
        ("Ada", "The first programmer", ["math"]),
        ("Bob", "a cook", []),
        ("Eve", "programmer", []),
    ]:
        await Person(name=name, profile=Profile(bio=bio), tags=tags).insert()


async def test_active_record_searches(db: Database) -> None:
    await make()
    assert await names(Person.search("programmer")) == ["Ada", "Eve"]
    found = await Person.search("PROGRAMMER first", limit=20)
    assert isinstance(found, list)
    assert [row.name for row in found] == ["Ada"]
    assert found[0].search_vector
    assert set(found[0].search_vector.split()) == {"ada", "the", "first", "programmer", "math"}


async def test_a_search_is_a_query(db: Database) -> None:
    await make()
    people = db.repository(Person)
    query = people.search("programmer", Person.name != "Ada")
    assert await names(query) == ["Eve"]
    assert await query.count() == 1
    assert await query.exists()
    assert (first := await query.first()) is not None
    assert first.name == "Eve"
    assert [row["name"] for row in json.loads(await query.json())] == ["Eve"]
    assert [row.name async for row in query] == ["Eve"]
    assert await names(people.find({"name": "Ada"}).search("programmer")) == ["Ada"]
    ordered = await people.search("programmer", sort="-name", limit=1, skip=1, fields=["name"])
    assert [row.name for row in ordered] == ["Ada"]
    (totals,) = await people.aggregate(search="programmer", measures={"people": {"$count": True}})
    assert totals == {"people": 2}
    page = await people.page(search="programmer", limit=1)
    rest = await people.page(search="programmer", limit=1, after=page.next_cursor)
    assert sorted(row.name for row in [*page.items, *rest.items]) == ["Ada", "Eve"]
    assert rest.next_cursor is None


async def test_every_write_of_a_document_keeps_its_words(db: Database) -> None:
    await make()
    ada = (await Person.search("ada"))[0]
    ada.profile.bio = "countess"
    ada.search_vector = "nonsense"
    await ada.save()
    assert ada.search_vector is not None
    assert "countess" in ada.search_vector
    assert await names(Person.search("countess math")) == ["Ada"]
    assert await names(Person.search("first")) == []
    assert await names(Person.search("nonsense")) == []
    await ada.update({"name": "Augusta"})
    assert await names(Person.search("augusta countess")) == ["Augusta"]
    await ada.update({"$push": {"tags": "Engine"}, "$set": {"profile.bio": "x"}})
    assert await names(Person.search("engine x math")) == ["Augusta"]
    await db.repository(Person).update_many({"name": "Bob"}, {"name": "Robert"})
    assert await names(Person.search("robert cook")) == ["Robert"]
    await ada.delete()
    assert await names(Person.search("augusta")) == []
    assert await names(Person.search("augusta").include_deleted()) == ["Augusta"]
    ada = await Person.search("augusta").include_deleted().first()
    ada.restore()
    ada.name = "Back"
    await ada.save()
    assert await names(Person.search("back engine")) == ["Back"]


async def test_a_transaction_finds_its_own_rows(db: Database) -> None:
    await make()
    people = db.repository(Person)
    async with db.transaction() as tx:
        await people.create({"name": "New", "profile": {"bio": "programmer"}}, tx=tx)
        assert await names(people.search("programmer", tx=tx)) == ["Ada", "Eve", "New"]
    assert await names(people.search("programmer")) == ["Ada", "Eve", "New"]


async def test_settings_are_inherited(db: Database) -> None:
    await Chef(name="Paul", tags=["Lyon"], stars=3).insert()
    assert await names(Chef.search("lyon")) == ["Paul"]
    assert await names(Person.search("lyon")) == []


async def test_a_field_may_be_named_as_the_verb(db: Database) -> None:
    songs = db.repository(Song)
    await songs.create({"id": 1, "search": "Yellow Submarine"})
    assert [row.id for row in await songs.search("submarine")] == [1]
    assert [row.id for row in await songs.find(Song.search == "Yellow Submarine")] == [1]


async def test_without_settings_the_column_is_the_apps(db: Database) -> None:
    row = Plain(id=1, name="Ada")
    row.update_search_vector(["name"])
    await row.insert()
    assert (await Plain.get(1)).search_vector == "ada"
    assert (await failure(Plain.search("ada").to_list())).code == "invalid_query"


async def test_what_is_no_search_is_refused(db: Database) -> None:
    with pytest.raises(InvalidQueryError, match="a search is a text"):
        Person.search(None)  # type: ignore[arg-type]
    assert await Person.search("").count() == 0


def test_the_contract_names_stored_paths() -> None:
    (field,) = [one for one in entity_of(Chef).definition("chefs")["fields"] if one["name"] == "search_vector"]
    assert field == {
        "name": "search_vector",
        "type": {"kind": "text"},
        "nullable": True,
        "auto": "search",
        "search": ["name", "profile.about", "tags"],
    }


async def test_wrong_settings_are_refused() -> None:
    class Text(Document, SearchableMixin):
        id: int = Field(primary_key=True)

        class Settings:
            search = "name"

    class Without(Document):
        id: int = Field(primary_key=True)
        name: str

        class Settings:
            search = ("name",)

    class Unknown(Document, SearchableMixin):
        id: int = Field(primary_key=True)

        class Settings:
            search = ("nothing",)

    with pytest.raises(InvalidSchemaError, match="must be a list"):
        entity_of(Text)
    with pytest.raises(InvalidSchemaError, match="SearchableMixin"):
        entity_of(Without)
    database = Database("sqlite::memory:", models=[Unknown])
    with pytest.raises(InvalidSchemaError, match="nothing"):
        await database.connect()
