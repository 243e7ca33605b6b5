"""Somebody who has got past the database's own protection of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.store.database import Database


@asynccontextmanager
async def unguarded(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction without triggers, as whoever owns the file or the server can have one."""
    async with database.write() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            yield connection
            return
        query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = list(await connection.execute(query))
        for trigger in triggers:
            await connection.execute(text(f"DROP TRIGGER {trigger.name}"))
        yield connection
        for trigger in triggers:
            await connection.execute(text(trigger.sql))
