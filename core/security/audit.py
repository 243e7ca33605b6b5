"""The audit log: append-only and hash-chained, so that an edit, a gap or a swap shows.

Each entry's hash is SHA-256 over the RFC 8785 canonical JSON of the entry with the hash of the
one before it. The head holds the newest entry's number and hash, so that a removed tail shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import JsonValue
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.canonical import canonical
from core.records import Frozen, storable, storable_text
from core.store.database import Database
from core.store.tables import audit, audit_head

GENESIS = "0" * 64
_HEAD = select(audit_head.c.sequence, audit_head.c.hash)
_LOCKED_HEAD = text("SELECT sequence, hash FROM audit_lock_head()")  # migration 0002


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


class Head(NamedTuple):
    """The newest entry's number and hash; 0 and `GENESIS` for an empty log."""

    sequence: int
    hash: str


class Entry(NamedTuple):
    """What is to be written down: who did what to what."""

    actor: str
    action: str
    subject: str
    details: dict[str, JsonValue]


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
        """Write the next entry; see `append_all`."""
        await self.append_all(connection, [Entry(actor, action, subject, details)])

    async def append_all(self, connection: AsyncConnection, entries: Sequence[Entry]) -> None:
        """Write the next entries. The transaction must have been opened by `Database.write`.

        The log's end is locked from here until the transaction ends, for every replica: append
        late in it.
        """
        if not entries:
            return
        sqlite = self._database.is_sqlite  # whose transaction has the whole database already
        query = _HEAD if sqlite else _LOCKED_HEAD
        head = (await connection.execute(query)).one()
        previous, rows = head.hash, []
        for sequence, new in enumerate(entries, head.sequence + 1):
            entry: dict[str, JsonValue] = {
                "sequence": sequence,
                "at": datetime.now(UTC).isoformat(),
                "actor": storable_text(new.actor)[:120],
                "action": new.action,
                "subject": storable_text(new.subject)[:300],
                "details": json.dumps(storable(new.details), sort_keys=True, ensure_ascii=False),
                "previous": previous,
            }
            previous = _hash(entry)
            rows.append({**entry, "hash": previous})
        await connection.execute(insert(audit), rows)

    async def record(
        self, actor: str, action: str, subject: str, details: dict[str, JsonValue]
    ) -> None:
        """Write an entry in a transaction of its own, for refusals that change nothing else."""
        async with self._database.write() as connection:
            await self.append(connection, actor, action, subject, details)

    async def entries(self, after: int = 0) -> AsyncGenerator[AuditEntry, None]:
        """The entries with a number above `after`, oldest first."""
        # A cursor of PostgreSQL lives in a transaction, which only a snapshot has.
        async with self._database.read(snapshot=True) as connection:
            async for entry in _entries(connection, after):
                yield entry

    async def head(self) -> Head:
        """The newest entry's number and hash, to be kept elsewhere."""
        async with self._database.read() as connection:
            row = (await connection.execute(_HEAD)).one_or_none()
        return Head(*row) if row else Head(0, GENESIS)

    async def verify(self, known: str | None = None) -> tuple[int, str | None]:
        """Walk the chain to its head.

        Args:
            known: a hash that some entry must have, such as one that was noted earlier.

        Returns:
            The number of entries that are whole, and what is wrong after them or None.
        """
        chain = Chain(known)
        async with self._database.read(snapshot=True) as connection:
            head = (await connection.execute(_HEAD)).one_or_none()
            async for entry in _entries(connection):
                if problem := chain.take(entry):
                    return chain.end.sequence, problem
        if head is None:
            return chain.end.sequence, "the head is missing"
        return chain.end.sequence, chain.misplaced(Head(*head)) or chain.unknown()


class Chain:
    """Checks entries one after the other, wherever they come from.

    Args:
        known: a hash that must turn up.

    Attributes:
        end: the last entry that is whole.
    """

    def __init__(self, known: str | None = None) -> None:
        self.end = Head(0, GENESIS)
        self._awaited = known

    def take(self, entry: AuditEntry) -> str | None:
        """Check the next entry; what is wrong with it, or None."""
        expected = self.end.sequence + 1
        if entry.sequence != expected:
            return f"entry {expected} is missing (found {entry.sequence})"
        if entry.previous != self.end.hash or entry.hash != entry.computed_hash():
            return f"entry {expected} was altered or moved"
        self.end = Head(entry.sequence, entry.hash)
        if entry.hash == self._awaited:
            self._awaited = None
        return None

    def misplaced(self, head: Head) -> str | None:
        """What is wrong with where the chain has ended, or None."""
        if head == self.end:
            return None
        if head.sequence > self.end.sequence:
            missing = f"entries {self.end.sequence + 1} to {head.sequence} are missing"
            return f"{missing} at the end (the head is at entry {head.sequence})"
        return f"the head (entry {head.sequence}) is not the last entry"

    def unknown(self) -> str | None:
        """Whether the known hash has not turned up, in words, or None."""
        if self._awaited is None:
            return None
        return f"no entry has the hash {self._awaited}: entries were removed or written anew"


async def _entries(connection: AsyncConnection, after: int = 0) -> AsyncIterator[AuditEntry]:
    query = select(audit).where(audit.c.sequence > after).order_by(audit.c.sequence)
    async for row in await connection.stream(query):
        yield AuditEntry.model_validate(dict(row._mapping))


def _hash(entry: dict[str, JsonValue]) -> str:
    return hashlib.sha256(canonical(entry)).hexdigest()
