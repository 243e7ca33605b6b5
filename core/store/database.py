"""The database: one engine, and write transactions that are serialised on SQLite."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from core.errors import ConfigurationError
from core.store.schema import may_migrate, migrate

_READ = "countersign_read"
_USED = "countersign_used"
_IDLE_S = 2.0
# A process that is suspended, or whose machine has gone, must not hold its locks for long.
_SESSION = {"idle_in_transaction_session_timeout": "10000"}


class Database:
    """Connections to one database.

    Args:
        url: `sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://…`.
        setting: what the URL was given as, for messages.

    Attributes:
        may_migrate: whether our role owns the tables; known once it is open.

    Raises:
        ConfigurationError: the URL is neither.
    """

    def __init__(self, url: str, setting: str = "COUNTERSIGN_DATABASE_URL") -> None:
        self._setting = setting
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise ConfigurationError(
                f"{setting} is not a database URL; "
                "write postgresql+asyncpg://USER:PASSWORD@HOST/NAME."
            ) from error
        if self.url.drivername not in {"sqlite+aiosqlite", "postgresql+asyncpg"}:
            raise ConfigurationError(
                f"{setting} starts with {self.url.drivername}; it must start with "
                "sqlite+aiosqlite or postgresql+asyncpg."
            )
        self.may_migrate = True
        self.is_sqlite = self.url.drivername.startswith("sqlite")
        # SQLite has one writer at a time: queueing here is fair, its busy handler polls. Only the
        # first of those who wait in line stands at the writer's lock, so it is passed quickly.
        self._line = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._writer = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._unfinished: set[asyncio.Task[None]] = set()
        self._engine = self._single = self._make_engine()
        if not self.is_sqlite:
            self._single = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def sync_url(self) -> str:
        """The same database for libraries that are not asyncio (psycopg, sqlite3)."""
        if self.is_sqlite:
            url = self.url.set(drivername="sqlite")
        else:
            options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
            url = self.url.set(drivername="postgresql+psycopg")
            url = url.update_query_dict({"options": options})
        return url.render_as_string(hide_password=False)

    async def open(self) -> None:
        """Connect and migrate to the newest schema, where our role may.

        Raises:
            ConfigurationError: the database cannot be reached, or has another schema and our role
                may not change it.
        """
        try:
            if self.is_sqlite and self.url.database:
                await asyncio.to_thread(_with_write_ahead_log, Path(self.url.database))
            async with self.write() as connection:
                await connection.run_sync(migrate)
                self.may_migrate = await connection.run_sync(may_migrate)
        except (OSError, sqlite3.Error, SQLAlchemyError) as error:
            where = self.url.render_as_string(hide_password=True)
            # What the driver said, without the statement and the links that SQLAlchemy adds.
            cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
            raise ConfigurationError(
                f"The database {where} cannot be opened ({cause}). "
                f"Check {self._setting} and that the server runs."
            ) from error

    async def close(self) -> None:
        """Close every connection."""
        if self._unfinished:
            await asyncio.wait(self._unfinished)
        await self._engine.dispose()

    def close_after(self, task: asyncio.Task[None]) -> None:
        """Let `close` wait for the end of `task`, which uses a connection."""
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)

    @asynccontextmanager
    async def write(
        self, *, passing: bool = False, single: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits on leaving, or rolls back on an exception.

        Args:
            passing: on SQLite, go before all but one of those who wait to write. For short
                writes that somebody outside waits for.
            single: only one statement is executed, which on PostgreSQL commits by itself: no
                round trips to begin and end.
        """
        engine = self._single if single else self._engine
        async with self.turn(passing=passing), AsyncExitStack() as stack:
            yield await self._entered(stack, engine.begin())

    @asynccontextmanager
    async def turn(self, *, passing: bool = False) -> AsyncIterator[None]:
        """Nobody else in this process writes meanwhile, on SQLite."""
        line = nullcontext() if passing else self._line
        async with line, self._writer:
            yield

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which no transaction is begun."""
        async with AsyncExitStack() as stack:
            yield await self._entered(stack, self._single.connect())

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; on SQLite it never waits for writers.

        Args:
            snapshot: all that is read is of one moment, which on SQLite it always is.
        """
        options: dict[str, Any] = {_READ: True}
        if not self.is_sqlite:
            # Without a snapshot, each statement is a transaction: no round trips to begin and end.
            options["isolation_level"] = "REPEATABLE READ" if snapshot else "AUTOCOMMIT"
        async with AsyncExitStack() as stack:
            connection = await self._entered(stack, self._engine.connect())
            yield await connection.execution_options(**options)

    @staticmethod
    async def _entered(
        stack: AsyncExitStack, opening: AbstractAsyncContextManager[AsyncConnection]
    ) -> AsyncConnection:
        try:
            return await stack.enter_async_context(opening)
        except OSError as error:  # asyncpg's own, where nobody answers
            raise OperationalError("connect", None, error) from error

    def _make_engine(self) -> AsyncEngine:
        if not self.is_sqlite:
            session = {"server_settings": _SESSION}
            # A server takes 100 connections as it comes: three replicas must leave room.
            engine = create_async_engine(
                self.url, pool_size=10, max_overflow=0, connect_args=session
            )
            event.listen(engine.sync_engine, "checkin", _note_use)
            event.listen(engine.sync_engine, "checkout", _ping_after_idling(engine))
            return engine
        # All are kept: each new connection is a new thread, which the event loop waits for.
        engine = create_async_engine(self.url, pool_size=15, max_overflow=0)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine


def unreachable(error: SQLAlchemyError) -> bool:
    """Whether a statement failed because the database could not be talked to, and not because of
    what it said: the same may succeed later."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)


def _note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info[_USED] = time.monotonic()


def _ping_after_idling(engine: AsyncEngine) -> Callable[[Any, ConnectionPoolEntry, Any], None]:
    """Tries a connection that has idled before it is used: the server may have ended it. A ping
    before every use would be a round trip for each transaction."""

    def ping(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - record.info.get(_USED, 0) < _IDLE_S:
            return
        try:
            engine.sync_engine.dialect.do_ping(connection)
        except engine.sync_engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError("the server has ended the connection") from error

    return ping


def _with_write_ahead_log(file: Path) -> None:
    """Make the file where there is none, and switch it to write-ahead logging, for good.

    One process at a time: two that switch a new file at once wait for each other until one fails.
    The lock is the folder's, for SQLite has its own on the file.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        connection = sqlite3.connect(file, timeout=10)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
    finally:
        os.close(folder)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    # In pages, 40 MB: in a storm the log is full every 400 deliveries at the usual 1000 pages, and
    # whoever fills it waits until it is copied.
    cursor.execute("PRAGMA wal_autocheckpoint=10000")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READ, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
