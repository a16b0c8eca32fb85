"""What users write, as mypy and pyright must accept it. Checked, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, assert_type
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Response
from pydantic import BaseModel, EmailStr

from farm_db import (
    ALL,
    BaseDocument,
    Database,
    Document,
    Field,
    Index,
    Indexed,
    NotFoundError,
    ObjectId,
    Page,
    Query,
    Repository,
    SearchableMixin,
    Transaction,
    col,
    many_to_many,
    many_to_one,
    one_to_many,
    set_current_user,
)
from farm_db.fastapi import JSONBytesResponse, NDJSONResponse, combine


class Status(StrEnum):
    ACTIVE = "active"
    CLOSED = "closed"


class Profile(BaseModel):
    city: str | None = None
    age: int = 0


class Resource(Document, table="resources"):
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=100, index=True)
    description: str | None = None
    rating: float | None = Field(default=None, ge=0, le=5)
    price: Decimal = Field(default=Decimal(0), max_digits=12, decimal_places=2)
    status: Status = Status.ACTIVE
    tags: list[str] = Field(default=[], index=True)
    profile: Profile = Field(default_factory=Profile)
    created_at: datetime | None = Field(default=None, auto="created")

    class Settings:
        indexes = [Index("name", "-created_at"), "profile.city", [("status", 1), ("name", -1)]]


class Note(Document, collection="notes"):
    id: int = Field(default=None, primary_key=True)
    text: Annotated[str, Indexed()]
    slug: Annotated[str, Field(max_length=20, unique=True)]


class Shared(Document, abstract=True, use_enum_values=True):
    owner: str


class User(BaseDocument, SearchableMixin):
    email: EmailStr = Field(unique=True)
    roles: list[str] = []


class ResourceCreate(BaseModel):
    name: str
    tags: list[str] = []


class ResourceUpdate(BaseModel):
    name: str | None = None
    tags: list[str] | None = None


db = Database("sqlite:///app.db", models=[Resource, Note, User])


@asynccontextmanager
async def own_lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
    yield {"answer": 42}


app = FastAPI(lifespan=db.lifespan)
other = FastAPI(lifespan=combine(db.lifespan, own_lifespan))
app.include_router(db.health_router())
db.install_error_handlers(app)
Resources = Annotated[Repository[Resource], Depends(db.repository(Resource))]


@app.post("/resources", status_code=201)
async def create(data: ResourceCreate, resources: Resources) -> Resource:
    return await resources.create(data)


@app.get("/resources/{id}")
async def read(id: UUID, resources: Resources) -> Resource:
    return await resources.get(id)


@app.patch("/resources/{id}")
async def change(id: UUID, data: ResourceUpdate, resources: Resources) -> Resource:
    return await resources.update(id, data, expected_version=3)


@app.get("/resources")
async def listing(resources: Resources, after: str | None = None) -> Page[Resource]:
    return await resources.page(Resource.status == Status.ACTIVE, limit=20, after=after, sort="-created_at")


@app.get("/resources.json")
async def raw(resources: Resources) -> Response:
    return JSONBytesResponse(await resources.find().json(by_alias=True))


@app.get("/resources.ndjson")
async def lines(resources: Resources) -> Response:
    return NDJSONResponse(resources.find(), batch=100)


async def reading(resources: Repository[Resource]) -> None:
    query = resources.find(Resource.name == "x", Resource.price >= Decimal(4), Resource.profile.city == "Bonn")
    assert_type(query, Query[Resource])
    assert_type(await query, list[Resource])
    assert_type(await query.first(), Resource | None)
    assert_type(await query.count(), int)
    assert_type(await query.json(), bytes)
    async for some in query.ndjson():
        assert_type(some, bytes)
    assert_type(await query.dicts(), list[dict[str, Any]])
    async for resource in query.sort("-created_at", ("name", 1), -col(Resource.price)).limit(10).skip(5):
        assert_type(resource, Resource)
    async for resource in query.include_deleted().stream(batch=100):
        assert_type(resource.name, str)
    named = (Resource.name == "x") | (col(Resource.name).like("a%") & ~(col(Resource.rating) >= 4))
    await resources.find(named, {"tags": "a", "rating": {"$gte": 4}}, sort=["-created_at", "name"], limit=3)
    await resources.find(
        col(Resource.tags).contains("a"),
        col(Resource.status).in_([Status.ACTIVE]),
        col(Resource.rating).between(1, 3),
        col(Resource.description).is_null(),
        col(Resource.profile.city).startswith("B"),
    )
    assert_type(await resources.get_or_none("x"), Resource | None)
    assert_type(await resources.get_many(["x", "y"]), list[Resource])
    assert_type(await resources.exists(Resource.name == "x"), bool)
    await resources.distinct(Resource.tags)
    await resources.distinct("profile.city", Resource.name != "x")


async def writing(resources: Repository[Resource]) -> None:
    async with db.transaction() as tx:
        assert_type(tx, Transaction)
        created = await resources.create_many([Resource(name="x"), {"name": "y"}, ResourceCreate(name="z")], tx=tx)
        assert_type(created, list[Resource])
        async with tx.transaction() as inner:
            await resources.update_many(ALL, {"$inc": {"price": 1}}, tx=inner)
    assert_type(await resources.update_many(Resource.name == "x", {"name": "y"}), int)
    await resources.update_one(Resource.name == "x", {"$set": {"tags.$[t]": "b"}}, array_filters=[{"t": "a"}])
    assert_type(await resources.delete_many([Resource.name == "x", {"tags": "a"}]), int)
    await resources.upsert({"name": "x"}, on=["name"])
    await resources.find_one_and_update(Resource.name == "x", {"$push": {"tags": "a"}}, sort="name", return_new=False)
    try:
        await resources.delete(uuid4())
    except NotFoundError as error:
        assert_type(error.code, str)

    async def work(tx: Transaction) -> int:
        return await resources.count(tx=tx)

    assert_type(await db.run_transaction(work, retries=5), int)


class Shelf(Document, table="shelves"):
    id: int = Field(primary_key=True)
    room: str = ""
    books = one_to_many(lambda: Book, "shelf_id")


class Label(Document, table="labels"):
    name: str = Field(primary_key=True)


class BookLabel(Document, table="book_labels"):
    book_id: int = Field(primary_key=True)
    label_name: str = Field(primary_key=True)


class Book(Document, table="books"):
    id: int = Field(primary_key=True)
    shelf_id: int | None = None
    shelf = many_to_one(Shelf, on_delete="set_null")
    labels = many_to_many(Label, through=BookLabel, fields=["book_id", "label_name"])


async def relations(books: Repository[Book]) -> None:
    book = await books.get(1, include=[Book.shelf, "labels"])
    assert_type(book.shelf, Shelf | None)
    assert_type(book.labels, list[Label])
    shelf = await Shelf.get(1, include=["books"])
    assert_type(shelf.books, list[Book])
    assert_type(await books.find(Book.shelf.room == "hall", include=["shelf"]), list[Book])
    assert_type(await books.find(Book.labels.name == "new").include("labels").to_list(), list[Book])


async def active_record() -> None:
    set_current_user("u1")
    user = User(email="a@b.de")
    assert_type(user.id, ObjectId)
    assert_type(await user.save(), User)
    user.add_tag("new")
    assert_type(await User.find_one(User.email == "a@b.de", User.is_deleted == False), User | None)  # noqa: E712
    assert_type(await User.find_active(User.version > 1, sort="-created_at"), list[User])
    assert_type(await User.find_by_id_active(str(user.id)), User | None)
    assert_type(await User.find(User.email == "x").to_list(), list[User])
    user.soft_delete()
    await user.update({"$addToSet": {"roles": "admin"}})
    await user.refresh()
    await user.delete()
    note = await Note(text="x", slug="y").insert()
    assert_type(note.id, int)
