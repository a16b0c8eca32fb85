"""`Page`: one page of a longer result."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page of rows; usable as FastAPI's `response_model=Page[Resource]`.

    Attributes:
        items: The rows.
        next_cursor: What `after=` takes to get the next page; None at the end.
        has_more: Whether there is a next page.
        limit: How many rows a page has at most.
    """

    items: list[T]
    next_cursor: str | None = None
    has_more: bool = False
    limit: int
