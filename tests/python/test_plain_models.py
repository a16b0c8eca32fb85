"""What `create_many` makes of dicts for models that only validate their fields is what the model makes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from farm_db import Document, Field, InvalidValueError
from farm_db.entity import entity_of
from farm_db.records import records_of


def double(value: Any, info: ValidationInfo) -> Any:
    return f"{value}{info.field_name}{sorted(info.data)}"


class Inner(BaseModel):
    text: str = "x"


class Plain(Document, table="plain"):
    id: int = Field(primary_key=True)
    name: str = Field(default="name", validation_alias=AliasChoices("called", "named"), max_length=20)
    tags: list[str] = Field(default_factory=list)
    made_of: str = Field(default_factory=lambda data: f"{sorted(data)}")
    doubled: Annotated[str, BeforeValidator(lambda value: value), AfterValidator(double)] = "d"
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    inner: Inner | None = None
    free: Any = None

    @field_validator("tags")
    @classmethod
    def _short(cls, value: list[str]) -> list[str]:
        if len(value) > 2:
            raise ValueError("too many")
        return value


class Stripping(Plain, table="stripping"):
    model_config = ConfigDict(str_strip_whitespace=True, extra="forbid")


class Strict(Plain, table="strict"):
    model_config = ConfigDict(strict=True)


class Private(Plain, table="private"):
    _seen: int = PrivateAttr(default=1)


class Before(Plain, table="before"):
    @model_validator(mode="before")
    @classmethod
    def _changes(cls, data: Any) -> Any:
        data["free"] = "changed"
        return data


class After(Plain, table="after"):
    @model_validator(mode="after")
    def _changes(self) -> After:
        self.free = "changed"
        return self


class Made(Plain, table="made"):
    def __init__(self, **data: Any) -> None:
        super().__init__(**{**data, "free": "made"})


class Looks(Plain, table="looks"):
    def model_post_init(self, context: Any, /) -> None:
        self.free = "looked"


RECORDS: list[dict[str, Any]] = [
    {"id": 1},
    {"id": "1", "called": " a ", "tags": ["b"], "inner": {"text": "y"}, "free": {"a": [1]}},
    {"free": 1, "named": "n", "id": 2, "at": "2026-01-01T12:00:00Z", "inner": Inner()},
    {"id": 3, "name": "by name", "doubled": 1},
    {"id": 4, "unknown": 1},
    {"name": "x" * 21, "tags": ["a", "b", "c"], "inner": 1},
    {"id": None, "at": "never"},
    {},
]


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("model", [Plain, Stripping, Strict, Private, Before, After, Made, Looks])
def test_a_record_is_what_the_model_makes_of_the_dict(model: type[Plain], record: dict[str, Any]) -> None:
    entity = entity_of(model)
    assert (entity.attributes_validator is not None) == (model in (Plain, Stripping))
    given = record.copy()
    try:
        expected = model.model_validate(record.copy(), by_alias=True, by_name=True)
    except ValidationError as error:
        with pytest.raises(InvalidValueError) as raised:
            list(records_of(entity, [record]))
        findings, text = error.errors(include_url=False, include_context=False, include_input=False), str(error)
        assert raised.value.context["errors"] == findings
        assert str(raised.value.__cause__) == text
    else:
        [made] = records_of(entity, [record])
        attributes = made if isinstance(made, dict) else vars(made)
        assert list(attributes.items()) == list(vars(expected).items())
        assert repr(attributes) == repr(vars(expected))
    assert record == given
