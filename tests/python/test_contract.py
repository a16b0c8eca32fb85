"""The contract of models and database: created, checked, reported field by field, and equal in every language."""

from __future__ import annotations

import hashlib
import json
import warnings
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from farm_db import (
    BaseDocument,
    ContractMismatchError,
    ContractWarning,
    Database,
    Document,
    Field,
    Index,
    InvalidSchemaError,
    ObjectId,
    _native,
)
from support import MODELS, failure, opened

#: They look at the tables by SQL.
pytestmark = [pytest.mark.every_backend, pytest.mark.only("sqlite", "postgres", "mysql")]


def model(table: str = "things", **fields: Any) -> type[Document]:
    """A model of the table `things` with a key and these fields: a type, or a type and its Field."""
    annotations: dict[str, Any] = {"id": int}
    namespace: dict[str, Any] = {"id": Field(primary_key=True)}
    for name, spec in fields.items():
        annotations[name], *default = spec if isinstance(spec, tuple) else (spec,)
        if default:
            namespace[name] = default[0]
    namespace |= {"__annotations__": annotations, "__module__": __name__}
    return type(Document)("Thing", (Document,), namespace, table=table)


class Kind(Enum):
    A = "a"
    B = "b"


class Part(BaseModel):
    name: str
    price: Decimal = Decimal("1.10")


class Everything(BaseDocument, table="everything"):
    key: UUID | None = None
    owner: ObjectId | None = None
    kind: Kind = Kind.A
    parts: list[Part] = []
    prices: dict[str, Decimal] = {}
    moment: datetime | None = None
    data: bytes = b"\x00\xff"
    score: float = Field(default=0.5, ge=0, lt=10)
    code: str = Field(default="x", min_length=1, max_length=5, pattern="^[a-z]+$")

    class Settings:
        indexes = [Index("code", "-score", unique=True, where={"kind": "a"}), Index("parts.name")]


def contract_of(*models: type[Document]) -> tuple[str, str]:
    database = Database("sqlite::memory:", models=models)
    return database.contract, database.contract_hash


def test_the_hash_is_the_sha256_of_the_canonical_json() -> None:
    for models in ([], [Everything], [*MODELS, Everything]):
        text, digest = contract_of(*models)
        assert digest == hashlib.sha256(text.encode()).hexdigest()
        assert _native.normalise_contract(text) == (text, digest), "the canonical form is canonical"


def test_the_canonical_form_does_not_depend_on_spelling() -> None:
    text, digest = contract_of(Everything)

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in reversed(value)}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    loose = shuffled(json.loads(text))
    loose["entities"][0]["fields"].reverse()
    for field in loose["entities"][0]["fields"]:
        field.setdefault("nullable", False)
    spelled = json.dumps(loose, indent=3, ensure_ascii=True)
    assert spelled != text
    assert _native.normalise_contract(spelled) == (text, digest)


def test_models_in_another_order_have_the_same_contract() -> None:
    assert contract_of(*MODELS) == contract_of(*reversed(MODELS))


def test_a_constraint_or_default_or_index_changes_the_hash() -> None:
    hashes = [
        contract_of(model(**fields))[1]
        for fields in (
            {},
            {"name": str},
            {"name": (str, "")},
            {"name": (str, "x")},
            {"name": (str | None, None)},
            {"name": (str, Field(max_length=5))},
            {"name": (str, Field(index=True))},
            {"name": (str, Field(unique=True))},
            {"name": bytes},
            {"name": list[str]},
            {"name": list[bytes]},
            {"name": dict[str, Any]},
            {"name": Part},
        )
    ]
    assert len(set(hashes)) == len(hashes)


def _entity(name: str = "a", kind: str = "int", key: bool = True) -> str:
    fields = [{"name": "x", "type": {"kind": kind}, "primary_key": key}]
    return json.dumps({"version": 1, "entities": [{"name": name, "fields": fields}]})


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no json",
        "[]",
        '{"version": 2, "entities": []}',
        '{"version": 1, "surprise": 1, "entities": []}',
        '{"version": 1, "entities": [{"name": "a"}]}',
        _entity(key=False),
        _entity(kind="nope"),
        _entity(name=""),
        _entity(name="a\x00"),
        _entity(name="_farm_meta"),
    ],
    ids=ascii,
)
def test_a_contract_that_is_none_is_refused(wrong: str) -> None:
    assert _native.normalise_contract(_entity())
    with pytest.raises(InvalidSchemaError) as caught:
        _native.normalise_contract(wrong)
    assert caught.value.code == "invalid_schema"
    assert str(caught.value)


@pytest.mark.only("sqlite")
async def test_connect_creates_tables_and_stores_the_contract(url: str) -> None:
    async with opened(url, [Everything]) as database:
        rows = {row["key"]: row["value"] for row in await database.execute("SELECT key, value FROM _farm_meta")}
        assert rows["contract"] == database.contract
        assert rows["contract_hash"] == database.contract_hash
        assert await database.ensure_schema() == []
    async with opened(url, [Everything], create_missing=False) as database:
        assert (await database.get_stats())["entities"] == {"everything": 0}


@pytest.mark.only("sqlite")
async def test_without_create_missing_nothing_is_made(url: str) -> None:
    async with opened(url, [Everything], create_missing=False) as database:
        assert (await failure(database.repository(Everything).count())).code
        assert await database.execute("SELECT name FROM sqlite_schema") == []
        created = await database.ensure_schema()
        assert "table everything" in created
        assert await database.repository(Everything).count() == 0


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"name": str}, {"name": int}, ["things.name", "int", "text"]),
        ({"name": str}, {"name": (str | None, None)}, ["things.name", "nullable"]),
        ({"name": (str | None, None)}, {"name": (str, "")}, ["things.name", "nullable"]),
        ({"name": list[str]}, {"name": dict[str, str]}, ["things.name", "list", "map"]),
        ({"name": str}, {}, ["things.name", "not declared"]),
        ({"name": str}, {"name": str, "more": str}, ["things.more"]),
    ],
    ids=str,
)
async def test_check_refuses_a_different_field_and_names_it(
    url: str, before: dict[str, Any], after: dict[str, Any], words: list[str]
) -> None:
    async with opened(url, [model(**before)]) as database:
        await database.execute("SELECT 1")
    database = Database(url, models=[model(**after)])
    error = await failure(database.connect())
    assert isinstance(error, ContractMismatchError)
    assert error.code == "contract_mismatch"
    for word in words:
        assert word in str(error), error
    assert not database.connected
    async with opened(url, [model(**before)]):
        pass  # nothing was changed


async def test_every_difference_is_reported_not_only_the_first(url: str) -> None:
    async with opened(url, [model(a=int, b=str, c=(str, Field(max_length=5)))]):
        pass
    database = Database(url, models=[model(a=str, b=int, c=(str, Field(max_length=6)))])
    error = await failure(database.connect())
    differences = error.context["differences"]
    assert any(line.startswith("things.a:") for line in differences)
    assert any(line.startswith("things.b:") for line in differences)
    assert len(differences) >= 2


async def test_warn_connects_and_says_what_differs(url: str) -> None:
    async with opened(url, [model(name=str)]):
        pass
    with pytest.warns(ContractWarning, match=r"things\.name") as caught:
        async with opened(url, [model(name=int)], contract="warn") as database:
            assert database.connected
    assert "text" in str(caught[0].message)


async def test_off_connects_silently(url: str) -> None:
    async with opened(url, [model(name=str)]):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with opened(url, [model(name=int)], contract="off") as database:
            assert database.connected


async def test_an_unknown_mode_is_refused(url: str) -> None:
    database = Database(url, models=[model()], contract="maybe")  # type: ignore[arg-type]
    assert (await failure(database.connect())).code in ("invalid_configuration", "invalid_query")


async def test_a_new_nullable_column_is_added_and_old_rows_have_null(url: str) -> None:
    old = model(name=str)
    async with opened(url, [old]) as database:
        await database.repository(old).create_many([{"id": n, "name": str(n)} for n in range(3)])
    new = model(name=str, note=(str | None, None), stock=(int, 7), tags=(list[str], []))
    async with opened(url, [new]) as database:
        things = database.repository(new)
        rows = await things.find(sort="id")
        assert [(row.name, row.note, row.stock, row.tags) for row in rows] == [(str(n), None, 7, []) for n in range(3)]
        await things.create({"id": 9, "name": "x", "note": "y"})
        assert await things.count({"note": "y"}) == 1
        stored = await database.execute("SELECT value FROM _farm_meta AS m WHERE m.key = 'contract_hash'")
        assert stored == [{"value": database.contract_hash}]


async def test_a_new_index_is_made_for_a_table_that_exists(url: str) -> None:
    old = model(name=str)
    async with opened(url, [old]) as database:
        await database.repository(old).create({"id": 1, "name": "a"})
    new = model(name=(str, Field(unique=True)))
    async with opened(url, [new]) as database:
        assert (await failure(database.repository(new).create({"id": 2, "name": "a"}))).code == "unique_violation"


@pytest.mark.only("sqlite")
async def test_a_unique_index_over_rows_that_are_equal_is_refused_whole(url: str) -> None:
    old = model(name=str)
    async with opened(url, [old]) as database:
        await database.repository(old).create_many([{"id": n, "name": "same"} for n in range(2)])
    new = model(name=(str, Field(unique=True)), more=(str | None, None))
    error = await failure(Database(url, models=[new]).connect())
    assert error.code in ("unique_violation", "contract_mismatch", "constraint_violation")
    async with opened(url, [old]) as database:
        assert len(await database.repository(old).find()) == 2
        columns = await database.execute("SELECT name FROM pragma_table_info('things')")
        assert [row["name"] for row in columns] == ["id", "name"], "half of the change was kept"


async def test_apps_that_share_a_database_leave_each_others_tables_alone(url: str) -> None:
    mine, theirs = model("mine", name=str), model("theirs", name=int)
    async with opened(url, [mine]) as database:
        await database.repository(mine).create({"id": 1, "name": "a"})
    async with opened(url, [theirs]) as database:
        await database.repository(theirs).create({"id": 1, "name": 5})
    async with opened(url, [mine]) as database:
        assert await database.repository(mine).count() == 1
        stored = json.loads(
            (await database.execute("SELECT value FROM _farm_meta AS m WHERE m.key = 'contract'"))[0]["value"]
        )
        assert [entity["name"] for entity in stored["entities"]] == ["mine", "theirs"]


@pytest.mark.only("sqlite")
async def test_a_table_made_by_hand_that_fits_is_used_and_one_that_does_not_is_refused(url: str) -> None:
    async with opened(url, []) as database:
        await database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        await database.execute("INSERT INTO things VALUES (1, 'a')")
    fitting = model(name=str)
    async with opened(url, [fitting]) as database:
        assert (await database.repository(fitting).get(1)).name == "a"
    error = await failure(Database(url, models=[model(name=float)]).connect())
    assert error.code == "contract_mismatch"
    assert "name" in str(error)
