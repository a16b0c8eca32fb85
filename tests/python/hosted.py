"""An app as its users write it, for the tests that run it under real servers. Its database comes from DATABASE_URL.

With HOSTED_BEFORE_FORK it opens the database when it is imported, uses it and leaves it open, so that a server that
loads it before it forks hands an open database to its workers.
"""

# No `from __future__ import annotations` here: FastAPI reads the annotations.
import asyncio
import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from farm_db import Database, Document, Field, Repository

#: Changed in the file by the test of reloading.
RELEASE = 1


class Visit(Document, table="visits"):
    id: int | None = Field(default=None, primary_key=True, generated="auto_increment")
    process: int
    note: str = ""


database = Database(models=[Visit], max_size=3, acquire_timeout=30)
app = FastAPI(lifespan=database.lifespan)
app.include_router(database.health_router())
database.install_error_handlers(app)
Visits = Annotated[Repository[Visit], Depends(database.repository(Visit))]
_arrived = 0


async def before_fork() -> None:
    await database.connect()
    visits = database.repository(Visit)
    await asyncio.gather(*(visits.create({"process": os.getpid(), "note": "before the fork"}) for _ in range(6)))
    assert await visits.count() >= 6


if os.environ.get("HOSTED_BEFORE_FORK"):
    asyncio.run(before_fork())


@app.get("/release")
async def release() -> dict[str, Any]:
    return {"release": RELEASE, "process": os.getpid(), "parent": os.getppid(), "arrived": _arrived}


@app.post("/visits")
async def visit(visits: Visits, note: str) -> Visit:
    """Writes by itself and in a transaction, and reads both back."""
    own = {"process": os.getpid(), "note": note}
    made = await visits.create(own)
    async with database.transaction() as tx:
        again = await visits.get(made.id, tx=tx)
        assert again == made
        await visits.update(made.id, {"note": f"{note}!"}, tx=tx)
    found, count = await visits.get(made.id), await visits.count({"note": f"{note}!"})
    assert (found.process, found.note, count) == (os.getpid(), f"{note}!", 1), found
    return found


@app.post("/slow")
async def slow(visits: Visits, note: str, seconds: float) -> Visit:
    """Holds a transaction open for a while."""
    global _arrived
    _arrived += 1
    async with database.transaction() as tx:
        made = await visits.create({"process": os.getpid(), "note": note}, tx=tx)
        await asyncio.sleep(seconds)
        return await visits.update(made.id, {"note": f"{note}!"}, tx=tx)
