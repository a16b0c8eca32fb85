"""Every failure as an exception: one class per kind of the core's error table.

`FarmDbError` is the base; catch it for all of them, or one class for one kind. The codes are the same in every
language and never change; messages are for people. Neither holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class FarmDbError(Exception):
    """The base of every error that farm_db raises.

    Attributes:
        code: The stable code of the kind, the same in every language (`"not_found"`).
        message: One lower-case line that says what failed and on what.
        context: The facts behind it, such as `entity`, `field`, `path`.
        retryable: Whether the same call may succeed when it is made again.
        http_status: The HTTP status that the FastAPI error handlers answer with.
        meaning: One line that explains the kind.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500
    meaning: ClassVar[str] = "a failure in farm-db"

    def __init__(self, message: str = "", context: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.context: dict[str, Any] = dict(context or {})

    def __str__(self) -> str:
        path = self.context.get("path")
        return f"{self.message} (at {path})" if path else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.context)


class NotFoundError(FarmDbError):
    """No row has this key."""

    code = "not_found"
    retryable = False
    http_status = 404
    meaning = "no row has this key"


class UniqueViolationError(FarmDbError):
    """A row with the same unique value exists."""

    code = "unique_violation"
    retryable = False
    http_status = 409
    meaning = "a row with the same unique value exists"


class ForeignKeyViolationError(FarmDbError):
    """A referenced row is missing or still referenced."""

    code = "foreign_key_violation"
    retryable = False
    http_status = 409
    meaning = "a referenced row is missing or still referenced"


class ConstraintViolationError(FarmDbError):
    """The database refused the row by another constraint."""

    code = "constraint_violation"
    retryable = False
    http_status = 422
    meaning = "the database refused the row by another constraint"


class VersionConflictError(FarmDbError):
    """The row was changed by someone else since it was read."""

    code = "version_conflict"
    retryable = False
    http_status = 409
    meaning = "the row was changed by someone else since it was read"


class InvalidValueError(FarmDbError):
    """A value does not fit the contract or the database."""

    code = "invalid_value"
    retryable = False
    http_status = 422
    meaning = "a value does not fit the contract or the database"


class UnknownFieldError(FarmDbError):
    """The entity has no such field."""

    code = "unknown_field"
    retryable = False
    http_status = 422
    meaning = "the entity has no such field"


class UnknownOperatorError(FarmDbError):
    """The query language has no such operator."""

    code = "unknown_operator"
    retryable = False
    http_status = 422
    meaning = "the query language has no such operator"


class InvalidQueryError(FarmDbError):
    """A filter, update, sort or page is malformed."""

    code = "invalid_query"
    retryable = False
    http_status = 422
    meaning = "a filter, update, sort or page is malformed"


class EmptyFilterError(FarmDbError):
    """An empty filter would touch every row and was not asked to."""

    code = "empty_filter"
    retryable = False
    http_status = 422
    meaning = "an empty filter would touch every row and was not asked to"


class InvalidCursorError(FarmDbError):
    """A page cursor is malformed or belongs to another query."""

    code = "invalid_cursor"
    retryable = False
    http_status = 422
    meaning = "a page cursor is malformed or belongs to another query"


class UnsupportedError(FarmDbError):
    """This backend cannot do it with the same meaning and refuses."""

    code = "unsupported"
    retryable = False
    http_status = 501
    meaning = "this backend cannot do it with the same meaning and refuses"


class ResidualLimitError(FarmDbError):
    """Too many rows would have to be filtered outside the database."""

    code = "residual_limit"
    retryable = False
    http_status = 422
    meaning = "too many rows would have to be filtered outside the database"


class InvalidSchemaError(FarmDbError):
    """A model or contract is defined wrongly."""

    code = "invalid_schema"
    retryable = False
    http_status = 500
    meaning = "a model or contract is defined wrongly"


class ContractMismatchError(FarmDbError):
    """The database was made for a different contract."""

    code = "contract_mismatch"
    retryable = False
    http_status = 500
    meaning = "the database was made for a different contract"


class InvalidConfigurationError(FarmDbError):
    """A URL or an option is wrong."""

    code = "invalid_configuration"
    retryable = False
    http_status = 500
    meaning = "a URL or an option is wrong"


class ConnectionFailedError(FarmDbError):
    """The database cannot be reached or opened."""

    code = "connection_failed"
    retryable = True
    http_status = 503
    meaning = "the database cannot be reached or opened"


class DatabaseClosedError(FarmDbError):
    """The database is not connected or is closed."""

    code = "database_closed"
    retryable = False
    http_status = 503
    meaning = "the database is not connected or is closed"


class PoolTimeoutError(FarmDbError):
    """No connection became free within the deadline."""

    code = "pool_timeout"
    retryable = True
    http_status = 503
    meaning = "no connection became free within the deadline"


class PoolQueueFullError(FarmDbError):
    """Too many callers already wait for a connection."""

    code = "pool_queue_full"
    retryable = True
    http_status = 503
    meaning = "too many callers already wait for a connection"


class DatabaseBusyError(FarmDbError):
    """Another process holds the lock for too long."""

    code = "database_busy"
    retryable = True
    http_status = 503
    meaning = "another process holds the lock for too long"


class StatementTimeoutError(FarmDbError):
    """A statement ran longer than its deadline."""

    code = "statement_timeout"
    retryable = True
    http_status = 504
    meaning = "a statement ran longer than its deadline"


class CancelledError(FarmDbError):
    """The operation was cancelled by its caller."""

    code = "cancelled"
    retryable = False
    http_status = 499
    meaning = "the operation was cancelled by its caller"


class TransactionStateError(FarmDbError):
    """The transaction is over, read-only or in use elsewhere."""

    code = "transaction_state"
    retryable = False
    http_status = 500
    meaning = "the transaction is over, read-only or in use elsewhere"


class TransactionConflictError(FarmDbError):
    """The transaction lost against another and may be run again."""

    code = "transaction_conflict"
    retryable = True
    http_status = 409
    meaning = "the transaction lost against another and may be run again"


class OutcomeUnknownError(FarmDbError):
    """The answer to a write or a commit is lost: whether it took effect is unknown."""

    code = "outcome_unknown"
    retryable = False
    http_status = 500
    meaning = "the answer to a write or a commit is lost: whether it took effect is unknown"


class BackendError(FarmDbError):
    """The database reported an error of its own."""

    code = "backend_error"
    retryable = False
    http_status = 500
    meaning = "the database reported an error of its own"


class InternalError(FarmDbError):
    """A defect in farm-db."""

    code = "internal_error"
    retryable = False
    http_status = 500
    meaning = "a defect in farm-db"


#: The class of every code.
ERRORS: dict[str, type[FarmDbError]] = {kind.code: kind for kind in FarmDbError.__subclasses__()}


def from_native(code: str, message: str, context: Mapping[str, Any]) -> FarmDbError:
    """The exception for a failure that the native module reports, whose message may name the path already."""
    return ERRORS.get(code, InternalError)(message.removesuffix(f" (at {context.get('path')})"), context)
