"""Which repository a model's own verbs (`Resource.find`, `resource.save`) go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from .errors import DatabaseClosedError

if TYPE_CHECKING:
    from .model import Document
    from .repository import Repository

M = TypeVar("M", bound="Document")

_repositories: WeakKeyDictionary[type[Document], Repository[Document]] = WeakKeyDictionary()


def bind(repository: Repository[M]) -> None:
    """Makes `repository` the one that its model's own verbs use; the last one wins."""
    _repositories[repository.model] = repository  # type: ignore[assignment]


def unbind(repository: Repository[M]) -> None:
    """Takes the binding back, unless another repository has taken it over."""
    if _repositories.get(repository.model) is repository:
        del _repositories[repository.model]


def repository_of(model: type[M]) -> Repository[M]:
    """The repository that a model is bound to.

    Raises:
        DatabaseClosedError: if there is none.
    """
    repository = _repositories.get(model)
    if repository is None:
        message = (
            f"{model.__name__} is bound to no database: connect a Database(models=[{model.__name__}]) first, "
            "or use db.repository(...)"
        )
        raise DatabaseClosedError(message, {"model": model.__name__})
    return repository  # type: ignore[return-value]
