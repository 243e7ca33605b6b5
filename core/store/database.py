"""The database: one engine, write transactions that are serialised on SQLite, migrations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import ConfigurationError

_MIGRATIONS = Path(__file__).parent / "migrations"
_READ = "countersign_read"


class Database:
    """Connections to one database.

    Args:
        url: `sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://…`.

    Raises:
        ConfigurationError: the URL is neither.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise ConfigurationError(
                "COUNTERSIGN_DATABASE_URL is not a database URL; "
                "write postgresql+asyncpg://USER:PASSWORD@HOST/NAME."
            ) from error
        if self.url.drivername not in {"sqlite+aiosqlite", "postgresql+asyncpg"}:
            raise ConfigurationError(
                f"COUNTERSIGN_DATABASE_URL starts with {self.url.drivername}; it must start with "
                "sqlite+aiosqlite or postgresql+asyncpg."
            )
        self.is_sqlite = self.url.drivername.startswith("sqlite")
        # SQLite has one writer at a time: queueing here is fair, its busy handler polls. Only the
        # first of those who wait in line stands at the writer's lock, so it is passed quickly.
        self._line = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._writer = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._engine = self._make_engine()

    @property
    def sync_url(self) -> str:
        """The same database for libraries that are not asyncio (psycopg, sqlite3)."""
        driver = "sqlite" if self.is_sqlite else "postgresql+psycopg"
        return self.url.set(drivername=driver).render_as_string(hide_password=False)

    async def open(self) -> None:
        """Connect and migrate to the newest schema.

        Raises:
            ConfigurationError: the database cannot be reached.
        """
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        try:
            async with self.write() as connection:
                await connection.run_sync(_migrate)
        except (OSError, SQLAlchemyError) as error:
            where = self.url.render_as_string(hide_password=True)
            raise ConfigurationError(
                f"The database {where} cannot be opened ({type(error).__name__}: {error}). "
                "Check COUNTERSIGN_DATABASE_URL and that the server runs."
            ) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def write(self, *, passing: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits on leaving, or rolls back on an exception.

        Args:
            passing: on SQLite, go before all but one of those who wait to write. For short
                writes that somebody outside waits for.
        """
        line = nullcontext() if passing else self._line
        async with line, self._writer, self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; on SQLite it never waits for writers."""
        async with self._engine.connect() as connection:
            yield await connection.execution_options(**{_READ: True})

    def _make_engine(self) -> AsyncEngine:
        if not self.is_sqlite:
            return create_async_engine(self.url, pool_pre_ping=True, pool_size=10)
        # All are kept: each new connection is a new thread, which the event loop waits for.
        engine = create_async_engine(self.url, pool_size=15, max_overflow=0)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READ, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for our migrations, on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
