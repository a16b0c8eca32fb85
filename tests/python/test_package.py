"""What the package is beside its models: records, mixins, object ids, errors, the manager, FastAPI. No database."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest
from pydantic import (
    BaseModel,
    TypeAdapter,
)

import farm_db
from farm_db import (
    AuditMixin,
    BaseDocument,
    Database,
    DatabaseClosedError,
    DatabaseManager,
    Document,
    FarmDbError,
    Field,
    InvalidValueError,
    MetadataMixin,
    ObjectId,
    Page,
    Repository,
    SearchableMixin,
    SoftDeleteMixin,
    TimestampMixin,
    _native,
    errors,
    get_database_manager,
    init_database,
    reset_current_user,
    set_current_user,
)
from farm_db.configuration import DEFAULT_URL, FROM_ENVIRONMENT, Place, locate
from farm_db.entity import entity_of
from farm_db.records import record_of
from model_samples import Account, Profile, fields_of

# Records


def test_records_come_from_dicts_schemas_and_instances() -> None:
    class Create(BaseModel):
        email: str
        age: int = 7

    account = Account(mail="A@b.de")
    assert record_of(Account, account) is account
    assert record_of(Account, {"email": "A@b.de"}) == account
    assert record_of(Account, {"mail": "A@b.de"}) == account
    assert record_of(Account, Create(email="A@b.de")) == account
    assert record_of(Account, Create(email="A@b.de", age=8)).age == 8


def test_wrong_records_name_the_field_and_never_the_value() -> None:
    with pytest.raises(InvalidValueError) as caught:
        record_of(Account, {"email": "x", "age": "secret-value"})
    assert caught.value.context["path"] == "age"
    assert "secret-value" not in str(caught.value) + repr(caught.value.context)
    with pytest.raises(InvalidValueError):
        record_of(Account, 3)  # type: ignore[arg-type]


def test_instances_are_checked_again_where_settings_say_so() -> None:
    class Checked(Document):
        id: int = Field(primary_key=True)
        profile: Profile = Profile()

        class Settings:
            validate_on_save = True

    wrong = Checked(id=1)
    wrong.profile.age = -1
    with pytest.raises(InvalidValueError, match=r"profile\.age"):
        record_of(Checked, wrong)
    unchecked = Account(mail="x")
    unchecked.age = -1
    assert record_of(Account, unchecked) is unchecked


# Mixins


class User(BaseDocument, SearchableMixin):
    email: str = Field(unique=True)
    profile: Profile = Field(default_factory=Profile)
    roles: list[str] = []

    class Settings:
        collection = "users"
        indexes = ("email", [("roles", 1), ("email", -1)], "created_at")


def test_a_base_document_has_everything() -> None:
    user = User(email="a@b.de")
    assert isinstance(user.id, ObjectId)
    assert user.created_at.tzinfo is not None
    assert (user.version, user.is_deleted, user.deleted_at, user.tags, user.metadata) == (1, False, None, [], {})
    assert list(User.model_fields)[:3] == ["search_vector", "id", "metadata"]
    fields = fields_of(User)
    assert {name: field["auto"] for name, field in fields.items() if "auto" in field} == {
        "created_at": "created",
        "updated_at": "updated",
        "version": "version",
        "deleted_at": "deleted",
        "is_deleted": "deleted_flag",
    }


def test_indexes_of_all_bases_are_collected_once() -> None:
    compound = [("roles", 1), ("email", -1)]
    assert User.get_indexes() == ["created_at", "updated_at", "is_deleted", "tags", "email", compound]
    assert entity_of(User).definition("users")["indexes"] == [
        {"fields": ["created_at"]},
        {"fields": ["updated_at"]},
        {"fields": ["is_deleted"]},
        {"fields": ["tags"]},
        {"fields": ["roles", "-email"]},
    ]


def test_mixins_change_their_instance() -> None:
    user = User(email="A@b.de", profile=Profile(city="Bonn"), roles=["Admin", "dev"])
    user.soft_delete()
    assert user.is_deleted
    assert user.deleted_at is not None
    user.restore()
    assert (user.is_deleted, user.deleted_at) == (False, None)
    user.add_tag("a")
    user.add_tag("a")
    user.add_tag("b")
    user.remove_tag("a")
    user.remove_tag("a")
    assert user.tags == ["b"]
    user.set_metadata("k", 1)
    assert (user.get_metadata("k"), user.get_metadata("x", 2)) == (1, 2)
    user.increment_version("u1")
    assert (user.version, user.updated_by) == (2, "u1")
    user.update_search_vector(["email", "profile.city", "roles", "profile.nothing", "missing", "metadata.k"])
    assert user.search_vector == "a@b.de bonn admin dev 1"


def test_documents_become_dicts() -> None:
    user = User(email="a@b.de")
    assert user.to_dict()["id"] == str(user.id)
    assert "deleted_at" not in user.to_dict()
    assert user.to_dict(exclude_none=False)["deleted_at"] is None
    assert user.to_dict(exclude_unset=True) == {"email": "a@b.de"}


def test_mixins_stand_alone() -> None:
    class Small(Document, TimestampMixin, SoftDeleteMixin, AuditMixin, MetadataMixin):
        id: int = Field(default=None, primary_key=True)

    assert entity_of(Small).automatic.keys() == {"created", "updated", "version", "deleted", "deleted_flag"}


def test_the_current_user_signs() -> None:
    token = set_current_user("u1")
    try:
        user = User(email="x")
        assert (user.created_by, user.updated_by) == ("u1", "u1")
        assert User(email="x", created_by="u2").created_by == "u2"
        changes = Repository(User, "users")._changes({"email": "y"})
        assert changes == {"$set": {"email": "y", "updated_by": "u1"}}
    finally:
        reset_current_user(token)
    assert User(email="x").created_by is None


# Object ids


def test_object_ids_convert_and_compare() -> None:
    one = ObjectId("59a47286cfa9a3a73e51e72c")
    assert ObjectId(one.binary) == ObjectId(one) == ObjectId.from_bytes(one.binary) == one
    assert str(one) == bytes(one).hex() == "59a47286cfa9a3a73e51e72c"
    assert repr(one) == "ObjectId('59a47286cfa9a3a73e51e72c')"
    assert one.generation_time == datetime(2017, 8, 28, 19, 44, 6, tzinfo=timezone.utc)
    other = ObjectId("59a47286cfa9a3a73e51e72d")
    assert one < other
    assert one <= other
    assert other > one
    assert other >= one
    assert one != str(one)
    assert len({one, ObjectId(str(one)), other}) == 2
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one


def test_new_object_ids_differ_and_carry_their_time() -> None:
    ids = [ObjectId() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert abs((datetime.now(timezone.utc) - ids[0].generation_time).total_seconds()) < 5


def test_wrong_object_ids_are_refused() -> None:
    for wrong in ("x", "59a47286cfa9a3a73e51e72", "zza47286cfa9a3a73e51e72c", " 9a47286cfa9a3a73e51e72c", b"x"):
        assert not ObjectId.is_valid(wrong)
        with pytest.raises(ValueError):
            ObjectId(wrong)
    with pytest.raises(TypeError):
        ObjectId(3)
    with pytest.raises(AttributeError):
        ObjectId()._bytes = b""


def test_object_ids_are_pydantic_values() -> None:
    adapter = TypeAdapter(ObjectId)
    one = ObjectId()
    assert adapter.validate_python(str(one)) == adapter.validate_json(f'"{one}"') == one
    assert adapter.dump_python(one) is one
    assert adapter.dump_json(one) == f'"{one}"'.encode()
    with pytest.raises(pydantic.ValidationError, match="24 hexadecimal"):
        adapter.validate_python("x")


def test_object_ids_of_bson_are_equal() -> None:
    bson = pytest.importorskip("bson")
    theirs = bson.ObjectId()
    ours = ObjectId(theirs)
    assert ours == theirs
    assert hash(ours) == hash(theirs)
    assert TypeAdapter(ObjectId).validate_python(theirs) == ours


# Errors


def test_there_is_one_class_for_every_kind_of_the_core() -> None:
    table = _native.error_table()
    assert len(table) == len(errors.ERRORS)
    for name, code, retryable, http_status, meaning in table:
        kind = getattr(farm_db, f"{name}Error")
        assert kind is errors.ERRORS[code]
        assert (kind.code, kind.retryable, kind.http_status, kind.meaning) == (code, retryable, http_status, meaning)


def test_errors_carry_their_facts() -> None:
    error = errors.from_native("not_found", "no row (at id)", {"entity": "users", "path": "id"})
    assert isinstance(error, farm_db.NotFoundError)
    assert (error.message, str(error), error.context["entity"]) == ("no row", "no row (at id)", "users")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.context) == (type(error), error.message, error.context)
    assert isinstance(errors.from_native("unheard_of", "x", {}), FarmDbError)


# Databases that are not connected


def test_everything_needs_a_connection() -> None:
    database = Database("sqlite:///nowhere.db", models=[User])

    async def main() -> None:
        users = database.repository(User)
        assert await users() is users
        for call in (
            lambda: users.get(ObjectId()),
            lambda: users.find().to_list(),
            lambda: users.create({"email": "x"}),
            lambda: User.find_one(),
            lambda: User(email="x").save(),
            lambda: database.ensure_schema(),
            lambda: database.execute("select 1"),
        ):
            with pytest.raises(DatabaseClosedError):
                await call()
        with pytest.raises(DatabaseClosedError):
            async with database.transaction():
                pass
        with pytest.raises(DatabaseClosedError):
            await get_database_manager()
        assert await database.health_check() == {"name": "default", "status": "closed", "connected": False}
        await database.close()

    asyncio.run(main())
    assert not Path("nowhere.db").exists()


def test_the_manager_is_a_database_made_from_a_dict() -> None:
    manager = DatabaseManager({"type": "sqlite", "database": "some dir/app.db", "models": [User], "max_pool_size": 4})
    assert manager.database._place.url == "sqlite:///some%20dir/app.db"
    assert manager.database._place.options == {"type": "sqlite", "max_pool_size": 4}
    assert manager.models == [User]
    assert not manager.is_initialized
    assert asyncio.run(manager.health_check()) == {"status": "not_initialized", "connected": False}
    assert asyncio.run(manager.get_stats()) == {}
    assert callable(init_database)


def test_the_url_comes_from_the_first_that_knows_it(tmp_path: Path) -> None:
    assert locate(Place("sqlite:///a.db", {}), {"DATABASE_URL": "x"}, tmp_path) == ("sqlite:///a.db", {})
    assert locate(Place(None, {}), {}, tmp_path) == (DEFAULT_URL, {})
    settings = '[tool.farm-db]\nurl = "sqlite:///p.db"\n[tool.farm-db.options]\nmax_size = 3\nqueue_limit = 5\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert locate(Place(None, {"max_size": 4}), {}, deep) == ("sqlite:///p.db", {"max_size": 4, "queue_limit": 5})
    assert locate(Place(None, {}), {"DATABASE_URL": "sqlite:///e.db"}, deep)[0] == FROM_ENVIRONMENT
    assert locate(Place(None, {}), {"DATABASE_TYPE": "sqlite"}, deep)[0] == FROM_ENVIRONMENT
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(farm_db.InvalidConfigurationError):
        locate(Place(None, {}), {}, deep)


# FastAPI


def test_models_pages_and_repositories_fit_fastapi() -> None:
    fastapi = pytest.importorskip("fastapi")
    database = Database("sqlite:///nowhere.db", models=[User], name="main")
    app = fastapi.FastAPI()
    app.include_router(database.health_router())
    database.install_error_handlers(app)
    users = Annotated[Repository[User], fastapi.Depends(database.repository(User))]

    async def one(id: ObjectId, repository: Any) -> User:
        return User(id=id, email=f"{repository.name}@x")

    async def page() -> Page[User]:
        return Page[User].model_construct(items=[User(email="x")], next_cursor=None, has_more=False, limit=1)

    async def fail(status: int) -> None:
        raise {404: farm_db.NotFoundError, 503: farm_db.PoolTimeoutError}[status]("at host:1", {"secret": "s"})

    one.__annotations__ = {"id": ObjectId, "repository": users, "return": User}
    page.__annotations__ = {"return": Page[User]}
    fail.__annotations__ = {"status": int}
    app.get("/users/{id}")(one)
    app.get("/users")(page)
    app.get("/fail/{status}")(fail)
    pytest.importorskip("httpx")

    async def main() -> None:
        import httpx

        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            id = ObjectId()
            answer = (await client.get(f"/users/{id}")).json()
            assert (answer["id"], answer["email"]) == (str(id), "users@x")
            assert (await client.get("/users/x")).status_code == 422
            assert (await client.get("/users")).json()["items"][0]["email"] == "x"
            assert (await client.get("/health/live")).json() == {"status": "alive"}
            assert (await client.get("/health/ready")).status_code == 503
            assert (await client.get("/health/db")).json()["status"] == "closed"
            missing = await client.get("/fail/404")
            assert missing.status_code == 404
            assert missing.json() == {
                "error": {"code": "not_found", "message": "at host:1", "context": {"secret": "s"}}
            }
            busy = await client.get("/fail/503")
            assert busy.headers["retry-after"] == "1"
            assert busy.json()["error"]["context"] == {}
            assert "host" not in busy.text
            assert (await client.get("/openapi.json")).status_code == 200

    asyncio.run(main())


def test_importing_brings_in_no_web_framework() -> None:
    code = "import sys, farm_db; print([m for m in ('fastapi', 'starlette', 'pytest', 'bson') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
