"""The inbox on our tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Update, or_, select, update

from core.inbox import Delivery
from core.records import storable_text
from core.store.arrivals import Arrivals
from core.store.database import Database
from core.store.tables import deliveries

_LEASE = timedelta(minutes=10)


class SqlInbox:
    """Persists deliveries and hands them to workers.

    States: `received` -> `working` (leased until `due_at`) -> `done`, or `received` again after
    an error (not before `due_at`), or `failed` when it will not be tried again by itself.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._arrivals = Arrivals(database)

    async def accept(self, source: str, key: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Persist; False where (`source`, `key`) is there already. Committed on return."""
        now = datetime.now(UTC)
        row = {
            "source": source,
            "kind": source.split(":", 1)[0],
            "key": key,
            "headers": dict(headers),
            "body": body,
            "received_at": now,
            "state": "received",
            "attempts": 0,
            "due_at": now,
            "reason": "",
        }
        return await self._arrivals.keep(row)

    async def claim(self, limit: int, kinds: Iterable[str]) -> list[Delivery]:
        """Lease up to `limit` due deliveries of these kinds of source, oldest first."""
        now = datetime.now(UTC)
        due = (
            select(deliveries)
            .where(
                or_(deliveries.c.state == "received", deliveries.c.state == "working"),
                deliveries.c.due_at <= now,
            )
            .where(deliveries.c.kind.in_(list(kinds)))
            .order_by(deliveries.c.received_at)
            .limit(limit)
        )
        if not self._database.is_sqlite:
            due = due.with_for_update(skip_locked=True)
        async with self._database.write() as connection:
            rows = (await connection.execute(due)).all()
            for row in rows:
                await connection.execute(
                    self._of(row.source, row.key).values(state="working", due_at=now + _LEASE)
                )
        return [
            Delivery(
                source=row.source,
                key=row.key,
                headers=row.headers,
                body=row.body,
                received_at=row.received_at,
                attempts=row.attempts,
            )
            for row in rows
        ]

    async def finish(self, delivery: Delivery) -> None:
        """It was processed."""
        async with self._database.write() as connection:
            await connection.execute(self._of(delivery.source, delivery.key).values(state="done"))

    async def retry(self, delivery: Delivery, reason: str, delay: timedelta) -> None:
        """It failed and is due again after `delay`."""
        await self._fail(delivery, "received", reason, datetime.now(UTC) + delay)

    async def give_up(self, delivery: Delivery, reason: str) -> None:
        """It failed for good; it stays, with the reason, and can be replayed."""
        await self._fail(delivery, "failed", reason, datetime.now(UTC))

    async def release_all(self) -> None:
        """Make every leased delivery due now: this process was the only one and has restarted."""
        async with self._database.write() as connection:
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.state == "working")
                .values(state="received", due_at=datetime.now(UTC))
            )

    async def _fail(self, delivery: Delivery, state: str, reason: str, due_at: datetime) -> None:
        values = {
            "state": state,
            "reason": storable_text(reason)[:2000],
            "attempts": delivery.attempts + 1,
            "due_at": due_at,
        }
        async with self._database.write() as connection:
            await connection.execute(self._of(delivery.source, delivery.key).values(values))

    @staticmethod
    def _of(source: str, key: str) -> Update:
        return update(deliveries).where(deliveries.c.source == source, deliveries.c.key == key)
