"""The Rust core as Python sees it. Private: use `farm_db` itself. A test holds this stub against the module."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, final

#: How one value of a row becomes a Python object.
#: None: by the contract's type (`int float Decimal str bytes bool UUID ObjectId datetime date time`, plain lists and dicts).
#: a Shape: a nested model. ("list" | "set" | "frozenset" | "tuple" | "map", reader): a container of such values.
#: ("call", function): the plain value, then the function (an Enum's lookup, a TypeAdapter's `validate_python`).
Reader: TypeAlias = (
    None | Shape | tuple[Literal["list", "set", "frozenset", "tuple", "map"], Reader] | tuple[Literal["call"], Callable[[Any], Any]]
)
#: How one Python value becomes a core value. None: by its own type (Enum members by their value, models by their shape).
Writer: TypeAlias = None | Callable[[Any], Any]

__version__: str

def error_table() -> list[tuple[str, str, bool, int, str]]:
    """Every kind of error: name, code, retryable, HTTP status, meaning."""

def normalise_contract(contract: str) -> tuple[str, str]:
    """The canonical JSON of a contract and its sha-256; raises InvalidSchemaError."""

def parse_url(url: str) -> dict[str, Any]:
    """`{"backend": ..., "url": redacted, "database": ...}` of a URL, or, where it is empty, of the environment; raises
    InvalidConfigurationError."""

@final
class Shape:
    """How rows of an entity (or a nested model) become instances of a class, and back."""

    def __new__(
        cls,
        model: type,
        fields: Sequence[tuple[str, str, Reader, Writer]],
        *,
        post_init: bool = False,
        extra: bool = False,
        json_keys: Mapping[str, str | None] | None = None,
    ) -> Shape:
        """fields: (stored name, attribute, reader, writer). post_init: call `model_post_init(None)` on every instance.
        extra: undeclared keys go to `__pydantic_extra__`. json_keys: keys of JSON bodies by attribute, where they are not
        the attribute; None leaves the field out."""

@final
class Engine:
    """One database: its configuration, contract, pool and state."""

    def __new__(cls, url: str, options: Mapping[str, Any], contract: str) -> Engine:
        """An empty url stands for what the environment names."""

    contract_json: str
    contract_hash: str
    backend: str
    url: str
    capabilities: dict[str, Any]
    connected: bool
    def register(self, contract: str) -> None:
        """Adds the entities of a contract, also after `connect`; `ensure_schema` then creates their tables."""
    def connect(self, contract: str, create_missing: bool, wait: float) -> Awaitable[dict[str, Any]]:
        """contract: "check" | "warn" | "off"; wait: seconds, for a server that is starting. Returns {"differences": [str, ...], "created": [str, ...]}."""
    def close(self) -> Awaitable[None]: ...
    def ensure_schema(self) -> Awaitable[list[str]]:
        """What was created, one line each."""
    def health(self) -> Awaitable[dict[str, Any]]: ...
    def liveness(self) -> Awaitable[dict[str, Any]]: ...
    def stats(self) -> Awaitable[dict[str, Any]]: ...
    def pool_stats(self) -> dict[str, Any]: ...
    def introspect(self) -> Awaitable[dict[str, Any]]:
        """{"contract": canonical JSON, "notes": [str, ...]}."""
    def execute(self, statement: Any, parameters: Any, tx: Transaction | None) -> Awaitable[Any]:
        """Rows as a list of dicts; `{"affected": n}` for statements without rows."""
    def begin(self, isolation: str | None, read_only: bool) -> Awaitable[Transaction]: ...
    def repository(self, entity: str, shape: Shape, stored_key: Callable[[Any], Any]) -> Repository:
        """`stored_key` takes a key of `Repository.get` that is of none of the types in `farm_db.values.PLAIN`."""

@final
class Transaction:
    """A transaction or, when made by `begin`, a savepoint inside one."""

    active: bool
    def commit(self) -> Awaitable[None]: ...
    def rollback(self) -> Awaitable[None]: ...
    def begin(self) -> Awaitable[Transaction]: ...

@final
class Repository:
    """The verbs of one entity; `query` and `arguments` are those of ARCHITECTURE.md, "Verbs", with stored field names."""

    def get(self, id: Any, tx: Transaction | None) -> Any:
        """The instance where it can be read at once, else what to await for it."""
    def create_many(self, records: Iterable[Any], tx: Transaction | None) -> Creation:
        """Instances of the shape's model, or dicts of their validated attributes, to be checked and inserted in one atomic unit; see `Creation`."""
    def call(self, verb: str, arguments: Mapping[str, Any], tx: Transaction | None) -> Awaitable[Any]:
        """Any verb. Rows come as instances, a page as (instances, next cursor or None). Under "record"/"records" an
        instance of the shape's model is taken by its shape; a dict by stored names."""
    def json(self, query: Mapping[str, Any], tx: Transaction | None) -> Awaitable[bytes]:
        """The rows of `find` as Pydantic's `model_dump_json` prints them, in a JSON array (keys: attributes or aliases)."""
    def dicts(self, query: Mapping[str, Any], tx: Transaction | None) -> Awaitable[list[dict[str, Any]]]:
        """The rows of `find` as dicts of attribute name to Python value (nested models as dicts)."""
    def stream(self, query: Mapping[str, Any], batch: int, tx: Transaction | None) -> Stream: ...

@final
class Creation:
    """Rows on their way into the database. `take` until it is true, await what `insert` gives, then `rows`; in the end
    `close`. After an error of `take` or `insert`, await what `undo` gives."""

    def take(self) -> bool:
        """Takes records for a slice of the loop's time; whether there are no more. Many are inserted meanwhile."""
    def room(self) -> Awaitable[None] | None:
        """What to wait for before the next slice; None for a turn of the loop."""
    def insert(self) -> Awaitable[list[Any] | None]:
        """The rows as instances, where making them runs code that may need what the database makes; else None."""
    def rows(self) -> list[Any] | None:
        """The rows as instances; None where a slice of the loop's time did not do."""
    def undo(self) -> Awaitable[Any] | None:
        """What ends when nothing is left of the rows that were inserted; None where there are none."""
    def close(self) -> None:
        """Gives up what is still under way."""

@final
class Stream:
    """Rows in batches; holds one connection until it ends or is closed."""

    def next(self) -> Awaitable[list[Any] | None]:
        """The next batch of instances; None at the end."""
    def close(self) -> None: ...
