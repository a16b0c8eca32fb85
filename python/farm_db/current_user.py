"""Who is acting, for the audit fields `created_by` and `updated_by`."""

from __future__ import annotations

from contextvars import ContextVar, Token

_current_user_id: ContextVar[str | None] = ContextVar("farm_db_current_user_id", default=None)


def set_current_user(user_id: str | None) -> Token[str | None]:
    """Says who is acting from here on in this task (a context variable: other tasks and requests are not touched).

    In FastAPI call it in an `async` dependency or middleware; a plain `def` dependency runs in a thread of its own.

    Returns:
        A token for `reset_current_user`.
    """
    return _current_user_id.set(user_id)


def reset_current_user(token: Token[str | None]) -> None:
    """Goes back to who acted before the `set_current_user` that gave this token."""
    _current_user_id.reset(token)


def get_current_user() -> str | None:
    """Who is acting; None where nobody was named."""
    return _current_user_id.get()
