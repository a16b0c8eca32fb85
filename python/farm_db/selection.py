"""What the writing verbs take: data, and which rows are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel

from .expression import FilterLike


class All(Enum):
    """The type of `ALL`."""

    ALL = "all"

    def __repr__(self) -> str:
        return "farm_db.ALL"


#: Stands for "every row" where an empty filter is refused: `update_many(ALL, ...)`.
ALL: Final = All.ALL

#: What `create` and its like take: an instance, another Pydantic schema, or a dict.
Data: TypeAlias = BaseModel | Mapping[str, Any]
#: One filter, several of them, or `ALL`.
Selection: TypeAlias = FilterLike | Sequence[FilterLike] | Literal[All.ALL]
#: A filter for each name of an update's positional paths: `[{"v.place": "Rome"}]` for `visits.$[v].rating`.
ArrayFilters: TypeAlias = Sequence[Mapping[str, Any]]
