"""SQLAlchemy and SQLModel in the documented asynchronous way: a session an operation, a typed model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import AliasChoices, Field
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Double,
    String,
    Text,
    TypeDecorator,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlmodel import Column, SQLModel
from sqlmodel import Field as SqlField
from sqlmodel.ext.asyncio.session import AsyncSession as SqlModelSession

from ..contract import Adapter, Target
from ..data import RESOURCE_FIELDS
from ..models import Resource


class NaiveUtc(TypeDecorator[datetime]):
    """Aware in Python, naive UTC in SQLite and MySQL, which keep no zone."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(DATETIME(fsp=6) if dialect.name == "mysql" else DateTime())

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return value and value.replace(tzinfo=UTC)


# PostgreSQL has types of its own for three of the columns.
MOMENT = NaiveUtc().with_variant(DateTime(timezone=True), "postgresql")
TEXTS = JSON().with_variant(ARRAY(Text), "postgresql")
MAP = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    pass


class ResourceRow(Base):
    __tablename__ = "resources"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    dependencies: Mapped[list[str]] = mapped_column(TEXTS)
    tags: Mapped[list[str]] = mapped_column(TEXTS)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", MAP)
    rating: Mapped[float] = mapped_column(Double)
    active: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)


class UserRow(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(MOMENT)


class ResourceTable(SQLModel, table=True):
    __tablename__ = "resources"
    id: str = SqlField(sa_column=Column(String(36), primary_key=True))
    name: str
    description: str
    dependencies: list[str] = SqlField(sa_column=Column(TEXTS))
    tags: list[str] = SqlField(sa_column=Column(TEXTS))
    metadata_: dict[str, Any] = SqlField(sa_column=Column("metadata", MAP))
    rating: float = SqlField(sa_column=Column(Double))
    active: bool
    created_at: datetime = SqlField(sa_column=Column(MOMENT))
    updated_at: datetime = SqlField(sa_column=Column(MOMENT))


class UserTable(SQLModel, table=True):
    __tablename__ = "users"
    id: int = SqlField(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    email: str
    name: str
    active: bool
    created_at: datetime = SqlField(sa_column=Column(MOMENT))


class ResourceOut(Resource):
    """`metadata` is taken in a declarative class, so the attribute has another name there."""

    metadata: dict[str, Any] = Field(validation_alias=AliasChoices("metadata_", "metadata"))


class SqlAlchemy(Adapter):
    name = "sqlalchemy"
    #: How its URL begins: dialect and driver.
    scheme: ClassVar[str]
    response_model = ResourceOut
    resources: Any = ResourceRow
    users: Any = UserRow
    session_class: Any = None

    async def open(self, target: Target, pool: int) -> None:
        self.engine = self.make_engine(f"{self.scheme}://{target.url.partition('://')[2]}", pool)
        kind = {"class_": self.session_class} if self.session_class else {}
        self.session = async_sessionmaker(self.engine, expire_on_commit=False, **kind)

    def make_engine(self, url: str, pool: int) -> Any:
        return create_async_engine(url, pool_size=pool, max_overflow=0)

    async def close(self) -> None:
        await self.engine.dispose()

    @staticmethod
    def _row(row: dict[str, Any]) -> dict[str, Any]:
        return {"metadata_" if name == "metadata" else name: value for name, value in row.items()}

    def plain(self, row: Any) -> dict[str, Any]:
        if isinstance(row, self.resources):
            return {name: getattr(row, "metadata_" if name == "metadata" else name) for name in RESOURCE_FIELDS}
        return super().plain(row)

    async def get(self, id: str) -> Any:
        async with self.session() as session:
            return await session.get(self.resources, id)

    async def find(self, limit: int, active: bool | None = None, min_rating: float | None = None) -> list[Any]:
        query = select(self.resources)
        if active is not None:
            query = query.where(self.resources.active == active, self.resources.rating >= min_rating)
        async with self.session() as session:
            return list((await session.scalars(query.order_by(self.resources.created_at.desc()).limit(limit))).all())

    async def stream_users(self) -> Any:
        query = select(self.users).order_by(self.users.id)
        async with self.session() as session:
            async for user in await session.stream_scalars(query, execution_options={"yield_per": 1000}):
                yield user

    async def insert(self, row: dict[str, Any]) -> None:
        async with self.session() as session:
            session.add(self.resources(**self._row(row)))
            await session.commit()

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        async with self.session() as session:
            await session.execute(insert(self.resources), [self._row(row) for row in rows])
            await session.commit()

    async def update(self, id: str, changes: dict[str, Any]) -> None:
        statement = update(self.resources).where(self.resources.id == id).values(**changes)
        async with self.session() as session:
            await session.execute(statement.execution_options(synchronize_session=False))
            await session.commit()

    async def transaction(self, id: str, changes: dict[str, Any]) -> Any:
        statement = update(self.resources).where(self.resources.id == id).values(**changes)
        async with self.session() as session, session.begin():
            row = await session.get(self.resources, id)
            await session.execute(statement.execution_options(synchronize_session=False))
        return row

    async def insert_user(self, row: dict[str, Any]) -> None:
        async with self.session() as session:
            session.add(self.users(**row))
            await session.commit()


class SqlModel(SqlAlchemy):
    name = "sqlmodel"
    resources = ResourceTable
    users = UserTable
    session_class = SqlModelSession

    async def create_many(self, rows: list[dict[str, Any]]) -> None:
        async with self.session() as session:
            session.add_all([self.resources(**self._row(row)) for row in rows])
            await session.commit()
