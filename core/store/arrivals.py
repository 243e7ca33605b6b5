"""Group commit: what comes in while a transaction is written goes into the next one together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from core.store.database import Database
from core.store.tables import deliveries

_MOST = 100
_Key = tuple[str, str]
_Rows = dict[_Key, dict[str, Any]]


@dataclass(frozen=True)
class _Batch:
    rows: _Rows
    kept: asyncio.Task[set[_Key]]


class Arrivals:
    """Inserts deliveries. Their senders wait for it, so it goes before other writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        made = (sqlite.insert if database.is_sqlite else postgresql.insert)(deliveries)
        anew = ("headers", "body", "state", "attempts", "due_at")
        # One that has failed for good is worked on again when its sender delivers it again.
        self._insert = made.on_conflict_do_update(
            index_elements=[deliveries.c.source, deliveries.c.key],
            set_={name: made.excluded[name] for name in anew},
            where=deliveries.c.state == "failed",
        ).returning(deliveries.c.source, deliveries.c.key)
        self._open: _Batch | None = None

    async def keep(self, row: dict[str, Any]) -> bool:
        """Insert, also in place of one that has failed; False where (`source`, `key`) is there
        already. Committed on return."""
        key = (row["source"], row["key"])
        batch = self._batch()
        first = batch.rows.setdefault(key, row) is row
        try:
            new = await asyncio.shield(batch.kept)  # the others of the batch are not cancelled
        except SQLAlchemyError:
            if len(batch.rows) == 1:
                raise
            # A row that cannot be stored must not keep the others out.
            new, first = await self._keep({key: row}), True
        return first and key in new

    def _batch(self) -> _Batch:
        if self._open is None or len(self._open.rows) >= _MOST:
            rows: _Rows = {}
            self._open = _Batch(rows, asyncio.create_task(self._keep(rows)))
        return self._open

    async def _keep(self, rows: _Rows) -> set[_Key]:
        try:
            async with self._database.write(passing=True) as connection:
                self._close(rows)
                found = await connection.execute(self._insert, list(rows.values()))
                return {(source, key) for source, key in found}
        finally:
            self._close(rows)

    def _close(self, rows: _Rows) -> None:
        if self._open is not None and self._open.rows is rows:
            self._open = None
