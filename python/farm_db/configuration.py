"""Where a database is, when the code does not say: the environment, then `[tool.farm-db]` in pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InvalidConfigurationError

DEFAULT_URL = "sqlite:///farm.db"

#: The variables that name a database part by part; the core reads them, with all that belong to them.
_PARTS = (
    "DATABASE_TYPE",
    "MONGO_URI",
    "POSTGRES_HOST",
    "POSTGRES_DATABASE",
    "POSTGRES_DB",
    "MYSQL_HOST",
    "MYSQL_DATABASE",
    "MYSQL_DB",
    "SQLITE_PATH",
)
#: The URL that tells the core to read the environment.
FROM_ENVIRONMENT = ""


def locate(
    url: str | None, options: Mapping[str, Any], environment: Mapping[str, str] | None = None, start: Path | None = None
) -> tuple[str, dict[str, Any]]:
    """URL and options of a database.

    Args:
        url: What the code says; wins where it is given.
        options: What the code says; wins one by one.
        environment: `DATABASE_URL`, or the split variables (`DATABASE_TYPE` with `MONGO_URI`, `POSTGRES_HOST` ...).
        start: The directory from which pyproject.toml is looked for upwards.

    Raises:
        InvalidConfigurationError: if the settings found are malformed.
    """
    environment = os.environ if environment is None else environment
    settings = _settings(start or Path.cwd())
    named = any(environment.get(name) for name in ("DATABASE_URL", *_PARTS))
    found = url or (FROM_ENVIRONMENT if named else settings.get("url") or DEFAULT_URL)
    if not isinstance(found, str):
        raise InvalidConfigurationError("the url in [tool.farm-db] must be text")
    return found, {**_options(settings), **options}


def _options(settings: Mapping[str, Any]) -> dict[str, Any]:
    options = settings.get("options", {})
    if not isinstance(options, dict):
        raise InvalidConfigurationError("the options in [tool.farm-db] must be a table")
    return options


def _settings(start: Path) -> dict[str, Any]:
    """The nearest `[tool.farm-db]`, from `start` upwards."""
    import tomllib  # here, because most programs name their database in code

    for directory in (start, *start.parents):
        path = directory / "pyproject.toml"
        if path.is_file():
            try:
                settings = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("farm-db")
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise InvalidConfigurationError(f"{path} cannot be read", {"path": str(path)}) from error
            if isinstance(settings, dict):
                return settings
    return {}
