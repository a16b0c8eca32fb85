"""farm_db: one database layer for FastAPI apps, with Pydantic models on a Rust core.

Start with `Document`, `Field` and `Database`; the verbs are `Repository`'s.
"""

from ._native import __version__
from .current_user import get_current_user, reset_current_user, set_current_user
from .database import ContractWarning, Database, Introspection, connect
from .errors import (
    BackendError,
    CancelledError,
    ConnectionFailedError,
    ConstraintViolationError,
    ContractMismatchError,
    DatabaseBusyError,
    DatabaseClosedError,
    EmptyFilterError,
    FarmDbError,
    ForeignKeyViolationError,
    InternalError,
    InvalidConfigurationError,
    InvalidCursorError,
    InvalidQueryError,
    InvalidSchemaError,
    InvalidValueError,
    NotFoundError,
    OutcomeUnknownError,
    PoolQueueFullError,
    PoolTimeoutError,
    ResidualLimitError,
    StatementTimeoutError,
    TransactionConflictError,
    TransactionStateError,
    UniqueViolationError,
    UnknownFieldError,
    UnknownOperatorError,
    UnsupportedError,
    VersionConflictError,
)
from .expression import Column, Expression, FilterLike, SortKey, col
from .field import Field, Index, Indexed
from .manager import DatabaseManager, get_database_manager, init_database
from .mixins import (
    AuditMixin,
    BaseDocument,
    MetadataMixin,
    SearchableMixin,
    SoftDeleteMixin,
    TimestampMixin,
)
from .model import Document
from .objectid import ObjectId
from .page import Page
from .query import Query
from .relation import RelationNotLoadedError, many_to_many, many_to_one, one_to_many, one_to_one
from .repository import Repository
from .selection import ALL
from .transaction import Transaction

__all__ = [
    "ALL",
    "AuditMixin",
    "BackendError",
    "BaseDocument",
    "CancelledError",
    "Column",
    "ConnectionFailedError",
    "ConstraintViolationError",
    "ContractMismatchError",
    "ContractWarning",
    "Database",
    "DatabaseBusyError",
    "DatabaseClosedError",
    "DatabaseManager",
    "Document",
    "EmptyFilterError",
    "Expression",
    "FarmDbError",
    "Field",
    "FilterLike",
    "ForeignKeyViolationError",
    "Index",
    "Indexed",
    "InternalError",
    "Introspection",
    "InvalidConfigurationError",
    "InvalidCursorError",
    "InvalidQueryError",
    "InvalidSchemaError",
    "InvalidValueError",
    "MetadataMixin",
    "NotFoundError",
    "ObjectId",
    "OutcomeUnknownError",
    "Page",
    "PoolQueueFullError",
    "PoolTimeoutError",
    "Query",
    "RelationNotLoadedError",
    "Repository",
    "ResidualLimitError",
    "SearchableMixin",
    "SoftDeleteMixin",
    "SortKey",
    "StatementTimeoutError",
    "TimestampMixin",
    "Transaction",
    "TransactionConflictError",
    "TransactionStateError",
    "UniqueViolationError",
    "UnknownFieldError",
    "UnknownOperatorError",
    "UnsupportedError",
    "VersionConflictError",
    "__version__",
    "col",
    "connect",
    "get_current_user",
    "get_database_manager",
    "init_database",
    "many_to_many",
    "many_to_one",
    "one_to_many",
    "one_to_one",
    "reset_current_user",
    "set_current_user",
]
