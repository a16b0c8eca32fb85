"""Ready-made parts of documents: timestamps, soft delete, audit, metadata, search text; and `BaseDocument` with all
but the last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

from .current_user import get_current_user
from .errors import InvalidValueError
from .expression import FilterLike
from .field import Field
from .model import Document
from .objectid import ObjectId
from .query import SortLike
from .transaction import Transaction
from .values import utc_now


class TimestampMixin(BaseModel):
    """When a row was created and last written (aware UTC); the core sets `updated_at` on every write, bulk too."""

    created_at: datetime = Field(default_factory=utc_now, auto="created")
    updated_at: datetime = Field(default_factory=utc_now, auto="updated")


class SoftDeleteMixin(BaseModel):
    """Rows are marked instead of deleted; marked rows are invisible to every verb that is not told otherwise."""

    deleted_at: datetime | None = Field(default=None, auto="deleted")
    is_deleted: bool = Field(default=False, auto="deleted_flag")

    def soft_delete(self) -> None:
        """Marks this instance as deleted; `save()` it to make it so."""
        self.deleted_at = utc_now()
        self.is_deleted = True

    def restore(self) -> None:
        """Takes the mark away; `save()` it to make it so."""
        self.deleted_at = None
        self.is_deleted = False


class AuditMixin(BaseModel):
    """Who created and last changed a row (see `set_current_user`), and its optimistic version."""

    created_by: str | None = Field(default_factory=get_current_user)
    updated_by: str | None = Field(default_factory=get_current_user)
    version: int = Field(default=1, auto="version")

    def increment_version(self, user_id: str | None = None) -> None:
        """Counts the version up and notes who did it.

        Not needed before `save()` and the repository's verbs: those count in the database.
        """
        self.version += 1
        self.updated_by = user_id


class MetadataMixin(BaseModel):
    """A free dict and a list of tags."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    tags: list[str] = Field(default_factory=list)

    def add_tag(self, tag: str) -> None:
        """Adds a tag unless it is there."""
        if tag not in self.tags:
            self.tags.append(tag)

    def remove_tag(self, tag: str) -> None:
        """Removes a tag if it is there."""
        if tag in self.tags:
            self.tags.remove(tag)

    def set_metadata(self, key: str, value: Any) -> None:
        """Sets one entry of the metadata."""
        self.metadata[key] = value

    def get_metadata(self, key: str, default: Any = None) -> Any:
        """One entry of the metadata, or `default`."""
        return self.metadata.get(key, default)


class SearchableMixin(BaseModel):
    """The words of other fields, for `search`.

    `class Settings: search = ["name", "profile.bio", "tags"]` names the fields (text, lists of text, also inside nested
    models), and the core keeps `search_vector` true on every write. Without it `search_vector` is a plain column, which
    `update_search_vector` fills.
    """

    search_vector: str | None = None

    def update_search_vector(self, fields: Iterable[str]) -> None:
        """Makes the search text from these fields; dotted paths lead into nested models and dicts.

        Only for a model without `Settings.search`: there the core makes it.
        """
        words = [word for path in fields for word in _words(_at(self, path))]
        self.search_vector = " ".join(words).lower()


def _at(value: Any, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    for leg in path.split("."):
        value = value.get(leg) if isinstance(value, Mapping) else getattr(value, leg, None)
    return value


def _words(value: Any) -> list[str]:
    if not value:
        return []
    return [str(item) for item in value] if isinstance(value, (list, tuple, set, frozenset)) else [str(value)]


class _ObjectIdKey(BaseModel):
    """The key of `BaseDocument`; a class of its own so that it comes before the fields of the mixins."""

    id: ObjectId = Field(default_factory=ObjectId, primary_key=True)


class BaseDocument(Document, TimestampMixin, SoftDeleteMixin, AuditMixin, MetadataMixin, _ObjectIdKey, abstract=True):
    """A document with an object id, timestamps, soft delete, audit fields, a version, metadata and tags."""

    class Settings:
        """What all documents share; a class's own Settings add to it."""

        use_enum_values = True
        validate_on_save = True
        indexes = ("created_at", "updated_at", "is_deleted", "tags")

    async def save(self, *, tx: Transaction | None = None) -> Self:
        """Writes this document over the version it was read with, notes who did it, and takes over what was stored.

        Raises:
            VersionConflictError: if someone else has changed the row since.
        """
        user = get_current_user()
        if user is not None:
            self.updated_by = user
        return await super().save(tx=tx)

    @classmethod
    async def find_active(
        cls,
        *filters: FilterLike,
        sort: SortLike | None = None,
        limit: int | None = None,
        skip: int | None = None,
        tx: Transaction | None = None,
    ) -> list[Self]:
        """The rows that satisfy every filter and are not deleted."""
        return await cls.find(*filters, sort=sort, limit=limit, skip=skip, tx=tx)

    @classmethod
    async def find_by_id_active(cls, doc_id: Any, *, tx: Transaction | None = None) -> Self | None:
        """The row with this key unless it is deleted; None also where `doc_id` is no key at all."""
        try:
            return await cls.find_one({"id": doc_id}, tx=tx)
        except InvalidValueError:
            return None

    @classmethod
    async def count_active(cls, *filters: FilterLike, tx: Transaction | None = None) -> int:
        """How many rows satisfy every filter and are not deleted."""
        return await cls.count(*filters, tx=tx)

    def to_dict(self, exclude_none: bool = True, exclude_unset: bool = False) -> dict[str, Any]:
        """The document as a dict, with object ids as text."""
        data = self.model_dump(exclude_none=exclude_none, exclude_unset=exclude_unset)
        return {name: str(value) if isinstance(value, ObjectId) else value for name, value in data.items()}
