"""`Database`: one database with its models, from the first connection to the last."""

from __future__ import annotations

import json
import random
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar, cast

from . import _native, binding
from .configuration import Place, locate
from .errors import DatabaseBusyError, DatabaseClosedError, InvalidSchemaError, TransactionConflictError
from .model import Document
from .repository import Repository
from .transaction import Transaction, scope
from .validation import Validating

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

M = TypeVar("M", bound=Document)
T = TypeVar("T")


class ContractWarning(UserWarning):
    """The database was made for models that differ from these (`Database(contract="warn")`)."""


@dataclass(frozen=True, slots=True)
class Introspection:
    """What `Database.introspect` found."""

    contract: str
    """The contract as canonical JSON."""
    notes: list[str]
    """What was left out or is read as something else, a line each that names the table and the column."""


class Database:
    """A database and the models in it.

    Args:
        url: Where it is (`sqlite:///app.db`). Without it: the environment (`DATABASE_URL`, or the split variables),
            then `[tool.farm-db]` in pyproject.toml, then `sqlite:///farm.db`.
        models: The models; `register_model` and `repository` add others.
        contract: What to do when the database was made for other models: raise (`"check"`), warn, or nothing.
        create_missing: Create missing tables and indexes on `connect`.
        validate_on_read: Run the models' validators on every row that is read.
        replicas: URLs of read replicas (PostgreSQL, MySQL), which then answer the reads outside transactions; in the
            place of a lost one another or the primary answers, without an error.
        max_staleness: Seconds that a replica may be behind to be read from.
        read_your_writes: Reads see everything that this database object has written before.
        name: A name for people, shown in health reports.
        **options: Options of the connection, as the configuration reference lists them; the rest of the URL's query.

    Making one opens nothing; `await connect()` or `async with` does.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        models: Iterable[type[Document]] = (),
        contract: Literal["check", "warn", "off"] = "check",
        create_missing: bool = True,
        validate_on_read: bool = False,
        replicas: Iterable[str] = (),
        max_staleness: float | None = None,
        read_your_writes: bool | None = None,
        name: str = "default",
        **options: Any,
    ) -> None:
        # Here, because it is a third of what importing the package would cost beside Pydantic.
        from asyncio import Lock

        self.name = name
        # What stands in a variable stands in a traceback with variables too (`Place`).
        self._place = Place(url, {**options, "replicas": replicas})
        del url, options, replicas
        self._contract_mode = contract
        self._create_missing = create_missing
        self._validate_on_read = validate_on_read
        self._engine: _native.Engine | None = None
        self._changing = Lock()
        self._repositories: dict[str, Repository[Any]] = {}
        self._place.list_replicas()
        if not self._place.options["replicas"]:
            # What is not given may stand in the URL.
            del self._place.options["replicas"]
        given = {"max_staleness": max_staleness, "read_your_writes": read_your_writes}
        self._place.options.update({option: value for option, value in given.items() if value is not None})
        for model in models:
            self.register_model(model)

    # Models.

    def register_model(self, model: type[Document]) -> None:
        """Adds a model. Tables of models that come after `connect` are made by `ensure_schema()`.

        Raises:
            InvalidSchemaError: if the model is malformed or its table's name is taken.
        """
        self.repository(model)

    def repository(self, model: type[M], name: str | None = None) -> Repository[M]:
        """The repository of a model; registers the model if it is new. Also a FastAPI dependency.

        Args:
            model: The model.
            name: The table or collection, where it is not the model's own (an archive of the same rows).

        Raises:
            InvalidSchemaError: if the model is malformed or the name is taken.
        """
        name = name or model.get_collection_name()
        known = self._repositories.get(name)
        if known is not None:
            if known.model is model:
                return cast("Repository[M]", known)
            message = f"{model.__name__} and {known.model.__name__} both want the table {name!r}"
            raise InvalidSchemaError(message, {"entity": name})
        repository = Repository(model, name)
        self._repositories[name] = repository
        if self._engine is not None:
            self._attach_late(self._engine, repository)
        return repository

    def _attach_late(self, engine: _native.Engine, repository: Repository[Any]) -> None:
        """A model that came after `connect`."""
        try:
            engine.register(self._contract_source())
        except BaseException:
            del self._repositories[repository.name]
            raise
        repository.attach(self._native_repository(engine, repository))
        self.bind()

    @property
    def models(self) -> list[type[Document]]:
        """The registered models."""
        return list(dict.fromkeys(repository.model for repository in self._repositories.values()))

    @property
    def contract(self) -> str:
        """The canonical JSON of the models; equal to what TypeScript prints for the same models.

        Raises:
            InvalidSchemaError: if the models contradict each other or the core's rules.
        """
        return self._normalised()[0]

    @property
    def contract_hash(self) -> str:
        """The sha-256 of `contract`, in hexadecimal digits."""
        return self._normalised()[1]

    def _normalised(self) -> tuple[str, str]:
        if self._engine is not None:
            return self._engine.contract_json, self._engine.contract_hash
        return _native.normalise_contract(self._contract_source())

    def _contract_source(self) -> str:
        entities = [repository.entity.definition(name) for name, repository in self._repositories.items()]
        return json.dumps({"version": 1, "entities": entities}, allow_nan=False, ensure_ascii=False)

    # Opening and closing.

    async def connect(self, *, wait: float = 0) -> Self:
        """Opens the database, checks the contract, creates what is missing, and binds the models to it.

        Does nothing when it is open.

        Args:
            wait: Seconds to try again while the server cannot be reached, for one that is starting beside the app.

        Raises:
            ConnectionFailedError: if it cannot be reached.
            ContractMismatchError: if it was made for other models (`contract="check"`).
            InvalidConfigurationError: if the URL or an option is wrong.
        """
        async with self._changing:
            if self._engine is None:
                engine = _native.Engine(*locate(self._place), self._contract_source())
                report = await self._open_engine(engine, wait)
                if self._contract_mode == "warn" and report["differences"]:
                    warnings.warn("; ".join(report["differences"]), ContractWarning, stacklevel=2)
                self._engine = engine
                for repository in self._repositories.values():
                    repository.attach(self._native_repository(engine, repository))
                self.bind()
        return self

    async def _open_engine(self, engine: _native.Engine, wait: float) -> dict[str, Any]:
        """Connects, or leaves nothing open behind."""
        try:
            return await engine.connect(self._contract_mode, self._create_missing, wait)
        except BaseException:
            await engine.close()
            raise

    def _native_repository(self, engine: _native.Engine, repository: Repository[Any]) -> _native.Repository:
        native = engine.repository(repository.name, repository.entity.shape, repository.entity.stored_key)
        return cast("_native.Repository", Validating(native, repository.model)) if self._validate_on_read else native

    async def close(self) -> None:
        """Lets running operations end and closes every connection. Does nothing when it is closed."""
        async with self._changing:
            engine, self._engine = self._engine, None
            for repository in self._repositories.values():
                binding.unbind(repository)
                repository.detach()
            if engine is not None:
                await engine.close()

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether it is open."""
        return self._engine is not None

    @property
    def url(self) -> str:
        """Where it is, without any secret.

        Raises:
            InvalidConfigurationError: if the URL is malformed.
        """
        return str(_native.parse_url(locate(self._place)[0])["url"])

    @property
    def backend(self) -> str:
        """The kind of database: `"sqlite"`, `"postgres"`, `"mysql"` or `"mongodb"`.

        Raises:
            InvalidConfigurationError: if the URL is malformed.
        """
        return str(_native.parse_url(locate(self._place)[0])["backend"])

    @property
    def capabilities(self) -> dict[str, Any]:
        """What this kind of database can do, such as `savepoints`; docs/backends.md lists the facts.

        Raises:
            DatabaseClosedError: if the database is not connected.
        """
        return dict(self._open().capabilities)

    def bind(self) -> None:
        """Makes the models' own verbs (`Resource.find`, `resource.save`) use this database; `connect` does it too."""
        for name, repository in self._repositories.items():
            # A second table of the same model is reached by its repository only.
            if name == repository.model.get_collection_name():
                binding.bind(repository)

    def _open(self) -> _native.Engine:
        if self._engine is None:
            raise DatabaseClosedError(f"database {self.name!r} is not connected: `await db.connect()` first")
        return self._engine

    # Work.

    def transaction(
        self, isolation: str | None = None, read_only: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        """A transaction for a block: `async with db.transaction() as tx`; commits at its end, rolls back on an error.

        Args:
            isolation: `"read_committed"`, `"repeatable_read"` or `"serializable"`; the database's own unless told.
            read_only: Nothing is written in it.

        Raises:
            DatabaseClosedError: if the database is not connected.
        """
        return scope(lambda: self._open().begin(isolation, read_only))

    async def run_transaction(
        self,
        fn: Callable[[Transaction], Awaitable[T]],
        retries: int = 3,
        *,
        isolation: str | None = None,
        deadline: float = 30.0,
    ) -> T:
        """Runs `fn` in a transaction, again when it lost against another one or the database was busy.

        Args:
            fn: The work; it may run several times, so all its effects must be in the transaction.
            retries: How often it may run again; short random waits that grow lie between.
            isolation: As in `transaction`.
            deadline: Seconds after which it is not run again; one that runs is not cut short.

        Returns:
            What `fn` returns.

        Raises:
            TransactionConflictError, DatabaseBusyError: as the last run met it.
            OutcomeUnknownError: if the answer to a commit was lost; the work is then never run again.
        """
        from asyncio import sleep

        attempt, end = 0, time.monotonic() + deadline
        while True:
            try:
                async with self.transaction(isolation) as tx:
                    return await fn(tx)
            except (TransactionConflictError, DatabaseBusyError):
                pause = random.uniform(0.5, 1.0) * 0.01 * 2**attempt  # noqa: S311 - no secret
                if attempt >= retries or time.monotonic() + pause > end:
                    raise
            await sleep(pause)
            attempt += 1

    async def ensure_schema(self) -> list[str]:
        """Creates missing tables, columns and indexes; never drops anything. Returns a line for each."""
        return await self._open().ensure_schema()

    async def execute(self, native: Any, params: Any = None, *, tx: Transaction | None = None) -> Any:
        """Runs native SQL (or a MongoDB command) as it stands.

        Args:
            native: The statement; values belong into `params`, never into its text.
            params: A list, or a dict for named parameters.
            tx: The transaction to run it in.

        Returns:
            Rows as a list of dicts; `{"affected": n}` for a statement without rows.
        """
        return await self._open().execute(native, params, None if tx is None else tx._native)

    # Health.

    async def health_check(self) -> dict[str, Any]:
        """Whether the database answers, how fast, and how its pool stands; does not raise when it is closed."""
        if self._engine is None:
            return {"name": self.name, "status": "closed", "connected": False}
        return {"name": self.name, "connected": True, **await self._engine.health()}

    async def get_stats(self) -> dict[str, Any]:
        """Counters and sizes of the database and the calls made to it."""
        return await self._open().stats()

    async def introspect(self) -> Introspection:
        """Reads what is in the database into a contract, whoever made it; the models play no part.

        Returns:
            The contract, and notes of what it leaves out or reads as something else.

        Raises:
            DatabaseClosedError: if the database is not connected.
        """
        found = await self._open().introspect()
        return Introspection(contract=found["contract"], notes=list(found["notes"]))

    def pool_stats(self) -> dict[str, Any]:
        """The connections: how many there are, in use, and waited for."""
        return self._open().pool_stats()

    # FastAPI.

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncGenerator[None]:
        """`FastAPI(lifespan=db.lifespan)`: open while the app runs. `farm_db.fastapi.combine` joins several."""
        async with self:
            yield

    def health_router(self, prefix: str = "/health") -> APIRouter:
        """A router with `/health/live`, `/health/ready` and `/health/db`."""
        from .fastapi import health_router

        return health_router(self, prefix)

    def install_error_handlers(self, app: FastAPI) -> None:
        """Answers farm_db's errors with their HTTP status: not found 404, unique violation 409, invalid 422 ..."""
        from .fastapi import install_error_handlers

        install_error_handlers(app)

    def __reduce__(self) -> NoReturn:
        # Connections belong to a process, and the password to nobody who finds the pickle.
        raise TypeError("a Database cannot be pickled: make one in each process")

    def __repr__(self) -> str:
        return f"<Database {self.name!r} {'connected' if self.connected else 'closed'}, {len(self.models)} models>"


async def connect(url: str | None = None, *, wait: float = 0, **options: Any) -> Database:
    """Opens a database; the arguments are those of `Database`, and `wait` that of its `connect`."""
    place = Place(url, options)
    del url, options
    return await Database(place.url, **place.options).connect(wait=wait)
