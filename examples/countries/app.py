"""Countries of the world over HTTP: `uvicorn app:app`, or `make serve`."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Query
from model import Country, CountryChanges

from farm_db import Database, Page, Repository
from farm_db.fastapi import JSONBytesResponse

db = Database(os.environ.get("DATABASE_URL", "sqlite:///countries.db"), models=[Country])

app = FastAPI(title="Countries", lifespan=db.lifespan)
app.include_router(db.health_router())
db.install_error_handlers(app)

Countries = Annotated[Repository[Country], Depends(db.repository(Country))]
Filter = Annotated[dict[str, Any], Body(examples=[{"region": "Europe", "landlocked": True, "area": {"$gte": 1000}}])]


@app.get("/countries")
async def browse(
    countries: Countries,
    region: str | None = None,
    speaks: Annotated[str | None, Query(description="a language code, such as `deu`")] = None,
    landlocked: bool | None = None,
    sort: str = "name.common",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
) -> Page[Country]:
    filters = []
    if region is not None:
        filters.append(Country.region == region)
    if speaks is not None:
        filters.append(Country.languages[speaks].exists())
    if landlocked is not None:
        filters.append(Country.landlocked == landlocked)
    return await countries.page(*filters, sort=sort, limit=limit, after=after)


@app.post("/countries/search")
async def search(countries: Countries, where: Filter, sort: str = "cca3", limit: int = 20) -> list[Country]:
    return await countries.find(where, sort=sort, limit=limit)


@app.get("/countries/all")
async def everything(countries: Countries) -> JSONBytesResponse:
    """Straight from the database to the wire: no Python object is made of any country."""
    return JSONBytesResponse(await countries.find().sort("cca3").json())


@app.get("/countries/{code}")
async def read(countries: Countries, code: str) -> Country:
    return await countries.get(code.upper())


@app.get("/countries/{code}/neighbours")
async def neighbours(countries: Countries, code: str) -> list[Country]:
    country = await countries.get(code.upper())
    return await countries.get_many(country.borders)


@app.post("/countries", status_code=201)
async def create(countries: Countries, country: Country) -> Country:
    return await countries.create(country)


@app.patch("/countries/{code}")
async def change(countries: Countries, code: str, changes: CountryChanges) -> Country:
    return await countries.update(code.upper(), changes)


@app.delete("/countries/{code}", status_code=204)
async def delete(countries: Countries, code: str) -> None:
    await countries.delete(code.upper())
