"""Where a database is, when the code does not say: the environment, then `[tool.farm-db]` in pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
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


class Place:
    """Where a database is and how to connect to it, with passwords: the URL and the options as they were given.

    Code that has secrets at hand holds them in one of these and in no variable, because tools that report errors write
    the variables of every frame of a traceback into logs; this shows nothing of what it holds.
    """

    __slots__ = ("options", "url")

    def __init__(self, url: Any, options: Any) -> None:
        self.url = url
        self.options = options

    def list_replicas(self) -> None:
        """Makes the option `replicas` a list of URLs; nothing of it stands in a variable here either.

        Raises:
            InvalidConfigurationError: if it is neither a URL nor several.
        """
        if isinstance(self.options["replicas"], str):
            self.options["replicas"] = [self.options["replicas"]]
        elif not isinstance(self.options["replicas"], Iterable):
            raise _no_url(type(self.options["replicas"]))
        self.options["replicas"] = list(self.options["replicas"])
        for kind in map(type, self.options["replicas"]):
            if not issubclass(kind, str):
                raise _no_url(kind)


def _no_url(kind: type) -> InvalidConfigurationError:
    return InvalidConfigurationError(f"replicas are URLs, not {kind.__name__}", {"option": "replicas"})


def locate(
    given: Place, environment: Mapping[str, str] | None = None, start: Path | None = None
) -> tuple[str, dict[str, Any]]:
    """URL and options of a database.

    Args:
        given: What the code says; its URL wins where there is one, its options win one by one.
        environment: `DATABASE_URL`, or the split variables (`DATABASE_TYPE` with `MONGO_URI`, `POSTGRES_HOST` ...).
        start: The directory from which pyproject.toml is looked for upwards.

    Raises:
        InvalidConfigurationError: if the settings found are malformed.
    """
    written = _settings(start or Path.cwd())
    if not isinstance(written.options, dict):
        raise InvalidConfigurationError("the options in [tool.farm-db] must be a table")
    named = _is_named(os.environ if environment is None else environment)
    found = Place(
        given.url or (FROM_ENVIRONMENT if named else written.url or DEFAULT_URL),
        {**written.options, **given.options},
    )
    if not isinstance(found.url, str):
        raise InvalidConfigurationError("the url must be text, in code as in [tool.farm-db]")
    return found.url, found.options


def _is_named(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in ("DATABASE_URL", *_PARTS))


def _settings(start: Path) -> Place:
    """The nearest `[tool.farm-db]`, from `start` upwards."""
    import tomllib  # here, because most programs name their database in code

    for directory in (start, *start.parents):
        path = directory / "pyproject.toml"
        if path.is_file():
            reason = None
            try:
                settings = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("farm-db")
            except (OSError, ValueError) as error:
                # Its words alone, for the error and the frames of the parser hold the text of the file.
                reason = str(error)
            if reason is not None:
                raise InvalidConfigurationError(f"{path} cannot be read: {reason}", {"path": str(path)})
            if isinstance(settings, dict):
                return Place(settings.get("url"), settings.get("options", {}))
    return Place(None, {})
