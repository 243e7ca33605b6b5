"""Copying SQLite's write-ahead log back into the database, beside those who write.

By itself SQLite lets whoever has filled the log copy it, and all others wait meanwhile.
https://www.sqlite.org/wal.html#ckpt
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from core.store.database import Database
from core.store.statements import statements

_AFTER_BYTES = 16 * 1024 * 1024
# Waits for nobody, and nobody waits for it; what is written meanwhile is left.
_COPY = "PRAGMA wal_checkpoint(PASSIVE)"
_FEW_PAGES = 500
_MOST_PASSES = 5

_log = logging.getLogger(__name__)


class Checkpoints:
    """Begins one when enough has been written; none on PostgreSQL, which has no need of it.

    What others write is not counted: SQLite copies that by itself, much later
    (`wal_autocheckpoint`).

    Args:
        after_bytes: how much is enough.
    """

    def __init__(self, database: Database, after_bytes: int = _AFTER_BYTES) -> None:
        self._database = database
        self._after_bytes = after_bytes
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    def wrote(self, size: int) -> None:
        """So many more bytes are in the log."""
        if not self._database.is_sqlite:
            return
        self._bytes += size
        if self._bytes >= self._after_bytes and self._task is None:
            self._bytes = 0
            self._task = asyncio.create_task(self._copy())
            self._database.close_after(self._task)

    async def _copy(self) -> None:
        try:
            await checkpoint(self._database)
        except SQLAlchemyError as error:
            # Nothing is lost: it stands in the log, and the next checkpoint copies it.
            _log.warning("SQLite's log could not be copied back: %s", error)
        finally:
            self._task = None


async def checkpoint(database: Database) -> None:
    """Copy all of SQLite's log, so that the next writer begins it anew. Who writes meanwhile waits
    for the last, short pass only.

    Raises:
        SQLAlchemyError: it could not be copied.
    """
    async with statements(database) as connection:
        copied = 0
        for _ in range(_MOST_PASSES):
            [(_, pages, _)] = await connection.fetch(_COPY, ())
            if pages - copied <= _FEW_PAGES:
                break
            copied = pages
        async with database.turn():
            await connection.fetch(_COPY, ())
