"""Events that came in quiet hours, kept until these end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from core.records import Event, Frozen, Instant
from core.store.database import Database
from core.store.tables import held_events
from core.storms import about, digest

_MOST = 5000
_TOLD = datetime(9999, 1, 1, tzinfo=UTC)
"""`until` of what has been told: it is remembered, since its delivery may be handled again."""
_REMEMBERED = timedelta(days=30)
_LATE = timedelta(seconds=30)
"""What came just before the end is in the digest too, on whichever replica it is handled."""


class Held(Frozen):
    """One event that was kept, for one trigger."""

    id: str
    trigger: str
    channel: str
    title: str
    resolved: bool
    at: Instant
    until: Instant


class HeldStore:
    """Keeps them, for all replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hold(
        self, trigger: str, event: Event, channel: str, now: Instant, until: Instant
    ) -> None:
        """Keep the event until then; the same event again changes nothing."""
        row = {
            "id": digest(trigger, event.id),
            "trigger": trigger,
            "channel": channel,
            "about": about(event),
            "title": event.title,
            "resolved": False,
            "at": now,
            "until": until,
        }
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(held_events).values(row))
        except IntegrityError:
            return

    async def holds(self, trigger: str, event: Event) -> bool:
        """Whether the event is kept for this trigger, or was and has been told."""
        query = select(held_events.c.id).where(held_events.c.id == digest(trigger, event.id))
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def resolve(self, event: Event) -> None:
        """What `event` is about is over."""
        query = select(held_events.c.id).where(
            held_events.c.about == about(event),
            held_events.c.resolved.is_(False),
            held_events.c.until < _TOLD,
        )
        async with self._database.read() as connection:
            ids = (await connection.execute(query)).scalars().all()
        if ids:
            async with self._database.write() as connection:
                await connection.execute(
                    update(held_events).where(held_events.c.id.in_(ids)).values(resolved=True)
                )

    async def due(self, now: Instant) -> list[Held]:
        """What is to be told now, in the order in which it came."""
        columns = [held_events.c[name] for name in Held.model_fields]
        query = (
            select(*columns)
            .where(held_events.c.until <= now - _LATE)
            .order_by(held_events.c.at, held_events.c.id)
            .limit(_MOST)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [Held.model_validate(dict(row._mapping)) for row in rows]

    async def told(self, held: list[Held]) -> None:
        """These have been told."""
        ids = [one.id for one in held]
        async with self._database.write() as connection:
            for start in range(0, len(ids), 500):
                part = held_events.c.id.in_(ids[start : start + 500])
                await connection.execute(update(held_events).where(part).values(until=_TOLD))

    async def forget(self, now: Instant) -> None:
        """Remove what was told, a month after it came."""
        old = (held_events.c.until == _TOLD) & (held_events.c.at < now - _REMEMBERED)
        async with self._database.write() as connection:
            await connection.execute(delete(held_events).where(old))
