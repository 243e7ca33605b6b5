"""The audit log: append-only and hash-chained, so that an edit, a gap or a swap shows.

Each entry's hash is SHA-256 over the RFC 8785 canonical JSON of the entry with the hash of the
one before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import rfc8785
from pydantic import JsonValue
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.records import Frozen, storable, storable_text
from core.store.database import Database
from core.store.tables import audit

_GENESIS = "0" * 64
_LOCK = 0x436F756E  # advisory lock of the chain's end on PostgreSQL


class AuditEntry(Frozen):
    """Who did what to what, and when. `details` is a JSON object as text."""

    sequence: int
    at: str
    actor: str
    action: str
    subject: str
    details: str
    previous: str
    hash: str

    def computed_hash(self) -> str:
        """The hash that this entry must have."""
        return _hash(self.model_dump(exclude={"hash"}))


class AuditLog:
    """Appends inside the caller's transaction, so that an effect and its entry are one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(
        self,
        connection: AsyncConnection,
        actor: str,
        action: str,
        subject: str,
        details: dict[str, JsonValue],
    ) -> None:
        """Write the next entry. The transaction must have been opened by `Database.write`."""
        if not self._database.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        last = (
            await connection.execute(
                select(audit.c.sequence, audit.c.hash).order_by(audit.c.sequence.desc()).limit(1)
            )
        ).one_or_none()
        entry: dict[str, JsonValue] = {
            "sequence": last.sequence + 1 if last else 1,
            "at": datetime.now(UTC).isoformat(),
            "actor": storable_text(actor)[:120],
            "action": action,
            "subject": storable_text(subject)[:300],
            "details": json.dumps(storable(details), sort_keys=True, ensure_ascii=False),
            "previous": last.hash if last else _GENESIS,
        }
        await connection.execute(insert(audit).values(**entry, hash=_hash(entry)))

    async def record(
        self, actor: str, action: str, subject: str, details: dict[str, JsonValue]
    ) -> None:
        """Write an entry in a transaction of its own, for refusals that change nothing else."""
        async with self._database.write() as connection:
            await self.append(connection, actor, action, subject, details)

    async def entries(self) -> AsyncIterator[AuditEntry]:
        """All entries, oldest first."""
        async with self._database.read() as connection:
            rows = await connection.stream(select(audit).order_by(audit.c.sequence))
            async for row in rows:
                yield AuditEntry.model_validate(dict(row._mapping))

    async def verify(self) -> tuple[int, str | None]:
        """Walk the chain.

        Returns:
            The number of entries that are whole, and what is wrong with the next one or None.
        """
        count, previous = 0, _GENESIS
        async for entry in self.entries():
            if entry.sequence != count + 1:
                return count, f"entry {count + 1} is missing (found {entry.sequence})"
            if entry.previous != previous or entry.hash != entry.computed_hash():
                return count, f"entry {entry.sequence} was altered or moved"
            count, previous = count + 1, entry.hash
        return count, None


def _hash(entry: dict[str, JsonValue]) -> str:
    return hashlib.sha256(rfc8785.dumps(entry)).hexdigest()
