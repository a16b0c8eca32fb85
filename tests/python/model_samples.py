"""Models that several tests of the package look at."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    field_validator,
)

from farm_db import (
    Document,
    Field,
)
from farm_db.entity import entity_of


class Profile(BaseModel):
    city: str | None = None
    age: int = Field(default=0, ge=0)


def fields_of(model: type[Document]) -> dict[str, dict[str, Any]]:
    return {field.pop("name"): field for field in entity_of(model).definition("x")["fields"]}


class Account(Document):
    id: int = Field(default=None, primary_key=True)
    email: str = Field(alias="mail")
    age: int = Field(default=0, ge=0)

    @field_validator("email")
    @classmethod
    def lower(cls, value: str) -> str:
        return value.lower()
