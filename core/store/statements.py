"""Single statements as the driver takes them, each of which commits by itself.

For what is written for every delivery: SQLAlchemy's transaction around one statement costs more
time than the statement, and on SQLite three turns of the connection's thread in place of one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from core.store.database import Database

# The last: of a connection that breaks at the moment at which it is used.
_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
)


class Statements(Protocol):
    """One connection, for one statement after the other.

    Attributes:
        lost: it is not connected any more.
    """

    lost: bool

    async def fetch(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        """Execute; what it returns. Committed on return.

        Raises:
            IntegrityError: a row breaks a constraint; nothing of the statement is done.
            SQLAlchemyError: it could not be executed.
        """
        ...


@asynccontextmanager
async def statements(database: Database) -> AsyncIterator[Statements]:
    """A connection of the pool; one that is lost, or left in the middle, is not used again.

    On SQLite, hold `Database.turn` for each statement.

    Raises:
        SQLAlchemyError: there is none.
    """
    async with database.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        made = _SqliteStatements(driver) if database.is_sqlite else _PostgresqlStatements(driver)
        try:
            yield made
        except BaseException:
            made.lost = True
            raise
        finally:
            if made.lost:
                await connection.invalidate()


class _SqliteStatements:
    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.lost = False

    async def fetch(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        """See `Statements.fetch`; one turn of the connection's thread."""
        try:
            rows: Sequence[Sequence[Any]] = await self._driver.execute_fetchall(statement, values)
        except sqlite3.OperationalError as error:
            raise OperationalError(statement, None, error) from error
        except sqlite3.IntegrityError as error:
            raise IntegrityError(statement, None, error) from error
        except sqlite3.Error as error:
            raise DBAPIError(statement, None, error) from error
        return rows


class _PostgresqlStatements:
    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.lost = False

    async def fetch(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        """See `Statements.fetch`; asyncpg prepares it once for the connection."""
        try:
            rows: Sequence[Sequence[Any]] = await self._driver.fetch(statement, *values)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise IntegrityError(statement, None, error) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, *_LOST) as error:
            self.lost = isinstance(error, _LOST) or bool(self._driver.is_closed())
            kind = OperationalError if self.lost else DBAPIError
            raise kind(statement, None, error) from error
        return rows
