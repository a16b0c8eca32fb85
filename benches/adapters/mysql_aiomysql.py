"""aiomysql: the same calls as asyncmy's, in plain Python."""

from __future__ import annotations

import aiomysql  # type: ignore[import-untyped]

from .mysql_asyncmy import Asyncmy


class Aiomysql(Asyncmy):
    name = "aiomysql"
    note = "driver in plain Python, rows to Pydantic models; create_many = executemany (one statement of many rows)"
    library = aiomysql
    stream_cursor = aiomysql.SSCursor


ADAPTERS = [Aiomysql]
