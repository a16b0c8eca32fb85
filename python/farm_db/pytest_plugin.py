"""The pytest plugin: `farm_db`, a factory of databases that live for one test.

```python
async def test_names(farm_db):
    async with farm_db([Resource]) as db:
        await db.repository(Resource).create({"id": "a", "name": "x"})
```

It works with every plugin for async tests, because the fixture itself is not async.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .database import Database
    from .model import Document

_Factory = Callable[..., "AbstractAsyncContextManager[Database]"]


@pytest.fixture
def farm_db(tmp_path: Path) -> _Factory:
    """`farm_db(models, url=None, **options)`: a connected database, in `tmp_path` unless there is a URL."""

    def make(
        models: Iterable[type[Document]] = (), url: str | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Database]:
        from .testing import temporary_database

        return temporary_database(models, url, directory=tmp_path, **options)

    return make
