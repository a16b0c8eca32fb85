"""Lists and maps as JSON: SQLite."""

from typing import Any

from tortoise import fields
from tortoise.models import Model


class ResourceRow(Model):
    id = fields.CharField(36, primary_key=True)
    name = fields.TextField()
    description = fields.TextField()
    dependencies: Any = fields.JSONField()
    tags: Any = fields.JSONField()
    metadata: Any = fields.JSONField()
    rating = fields.FloatField()
    active = fields.BooleanField()
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        table = "resources"


class UserRow(Model):
    id = fields.BigIntField(primary_key=True, generated=False)
    email = fields.TextField()
    name = fields.TextField()
    active = fields.BooleanField()
    created_at = fields.DatetimeField()

    class Meta:
        table = "users"
