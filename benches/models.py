"""The plain Pydantic models that contenders at the level of a driver build."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    description: str
    dependencies: list[str]
    tags: list[str]
    metadata: dict[str, Any]
    rating: float
    active: bool
    created_at: datetime
    updated_at: datetime


class User(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    email: str
    name: str
    active: bool
    created_at: datetime
