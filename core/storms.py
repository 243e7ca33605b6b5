"""Storms: events of one trigger and group that are told in one thread, each counted once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import timedelta
from typing import NamedTuple

from pydantic import JsonValue
from sqlalchemy import Select, delete, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.records import Event, Frozen, Instant
from core.store.database import Database
from core.store.tables import storm_events, storms

_REMEMBERED = timedelta(days=30)
_UNTOLD = timedelta(days=1)
"""How long after its end one stays open that was not told: its events may be tried again for half
a day, while Slack is away."""


def digest(*parts: str) -> str:
    """64 hexadecimal digits for these texts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def about(event: Event) -> str:
    """What an event and the one that says it is over have in common."""
    return digest(event.source, event.subject)


class Storm(Frozen):
    """Events that came within a window of each other.

    Attributes:
        state: `open`, or `closed` when no more can be counted in.
        message: where it is told, with `thread`; None before it is.
        announcement: of the event that it began with, as it was told.
        events: how many were counted; `resolved` of them are over.
        shown: what `events` + `resolved` were when the message was last drawn.
        listed: how many of the events the thread lists.
        ends_at: when it is over, if nothing more comes.
    """

    id: str
    trigger: str
    group_key: str
    state: str
    channel: str
    message: str | None
    thread: str | None
    announcement: JsonValue
    events: int
    resolved: int
    shown: int
    listed: int
    opened_at: Instant
    ends_at: Instant
    busy_until: Instant | None


class Counted(NamedTuple):
    """An event in its storm; the first has position 1."""

    storm: Storm
    position: int


class StormEvent(Frozen):
    """One event of a storm."""

    position: int
    title: str
    resolved: bool


class StormStore:
    """Keeps storms, for all replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(
        self,
        trigger: str,
        group_key: str,
        event: Event,
        channel: str,
        window: timedelta,
        now: Instant,
    ) -> Counted:
        """Count the event in its group's storm, which begins with it where none is open. The same
        event again finds where it was counted.

        Args:
            channel: where a storm that begins is to be told.
        """
        event_id = digest(trigger, event.id)
        async with self._database.write() as connection:
            if not self._database.is_sqlite:  # there, writers queue anyway
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtext(:group))"),
                    {"group": f"storm:{trigger}:{group_key}"},
                )
            earlier = (
                await connection.execute(
                    select(storm_events.c.storm, storm_events.c.position).where(
                        storm_events.c.id == event_id
                    )
                )
            ).one_or_none()
            if earlier is not None:
                return Counted(await _get(connection, earlier.storm), earlier.position)
            storm_id = await self._joined(connection, trigger, group_key, window, now)
            if storm_id is None:
                storm_id = digest(trigger, group_key, event.id)
                await connection.execute(
                    insert(storms).values(
                        id=storm_id,
                        trigger=trigger,
                        group_key=group_key,
                        state="open",
                        channel=channel,
                        events=1,
                        resolved=0,
                        shown=0,
                        listed=0,
                        opened_at=now,
                        ends_at=now + window,
                    )
                )
            storm = await _get(connection, storm_id)
            await connection.execute(
                insert(storm_events).values(
                    id=event_id,
                    storm=storm_id,
                    position=storm.events,
                    about=about(event),
                    title=event.title,
                    service=str(event.attributes.get("service") or "")[:200],
                    resolved=False,
                )
            )
        return Counted(storm, storm.events)

    @staticmethod
    async def _joined(
        connection: AsyncConnection, trigger: str, group_key: str, window: timedelta, now: Instant
    ) -> str | None:
        """The open storm, which now has one event more."""
        query = select(storms.c.id).where(
            storms.c.trigger == trigger,
            storms.c.group_key == group_key,
            storms.c.state == "open",
            storms.c.ends_at > now,
        )
        storm_id: str | None = (await connection.execute(query)).scalars().first()
        if storm_id is not None:
            await connection.execute(
                update(storms)
                .where(storms.c.id == storm_id)
                .values(events=storms.c.events + 1, ends_at=now + window)
            )
        return storm_id

    async def resolve(self, event: Event) -> None:
        """What `event` is about is over; again changes nothing."""
        open_ones = select(storms.c.id).where(storms.c.state == "open")
        over = (
            (storm_events.c.about == about(event))
            & storm_events.c.resolved.is_(False)
            & storm_events.c.storm.in_(open_ones)
        )
        async with self._database.read() as connection:
            if (await connection.execute(select(storm_events.c.id).where(over))).first() is None:
                return  # as for most events: no need to wait in the line of writers
        async with self._database.write() as connection:
            resolved = await connection.execute(
                update(storm_events)
                .where(over)
                .values(resolved=True)
                .returning(storm_events.c.storm)
            )
            for storm_id, count in Counter(resolved.scalars()).items():
                await connection.execute(
                    update(storms)
                    .where(storms.c.id == storm_id)
                    .values(resolved=storms.c.resolved + count)
                )

    async def announced(
        self, storm_id: str, channel: str, message: str, thread: str, announcement: JsonValue
    ) -> None:
        """It is told there."""
        async with self._database.write() as connection:
            await connection.execute(
                update(storms)
                .where(storms.c.id == storm_id, storms.c.message.is_(None))
                .values(channel=channel, message=message, thread=thread, announcement=announcement)
            )

    async def claim(self, now: Instant, lease: timedelta) -> list[Storm]:
        """Storms whose message does not say what is so, or which are over; each is this caller's
        until it is drawn, or the lease ends."""
        behind = storms.c.message.is_not(None) & (
            storms.c.shown < storms.c.events + storms.c.resolved
        )
        over = (storms.c.ends_at <= now) & (
            storms.c.message.is_not(None) | (storms.c.ends_at <= now - _UNTOLD)
        )
        due = (
            (storms.c.state == "open")
            & or_(behind, over)
            & or_(storms.c.busy_until.is_(None), storms.c.busy_until <= now)
        )
        async with self._database.read() as connection:
            if (await connection.execute(select(storms.c.id).where(due).limit(1))).first() is None:
                return []
        async with self._database.write() as connection:
            rows = await connection.execute(
                update(storms).where(due).values(busy_until=now + lease).returning(storms)
            )
            return [Storm.model_validate(dict(row._mapping)) for row in rows.all()]

    async def drawn(self, storm: Storm, listed: int, *, closed: bool) -> bool:
        """The message says what `storm` is, and the thread lists so many.

        Returns:
            Whether that holds: with `closed`, False where another event came in time.
        """
        values: dict[str, int | str | None] = {
            "shown": storm.events + storm.resolved,
            "listed": listed,
        }
        values["busy_until"] = None
        same = storms.c.id == storm.id
        if closed:
            same &= storms.c.ends_at == storm.ends_at
            values["state"] = "closed"
        async with self._database.write() as connection:
            done = await connection.execute(update(storms).where(same).values(values))
        return done.rowcount == 1

    async def latest(self, storm_id: str, most: int) -> list[StormEvent]:
        """The latest events, the newest last."""
        query = _listed(storm_id).order_by(storm_events.c.position.desc()).limit(most)
        return (await self._events(query))[::-1]

    async def page(self, storm_id: str, after: int, most: int) -> list[StormEvent]:
        """Events after a position, in order."""
        query = _listed(storm_id).where(storm_events.c.position > after)
        return await self._events(query.order_by(storm_events.c.position).limit(most))

    async def services(self, storm_id: str) -> int:
        """How many services its events name."""
        query = select(func.count(storm_events.c.service.distinct())).where(
            storm_events.c.storm == storm_id, storm_events.c.service != ""
        )
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def forget(self, now: Instant) -> None:
        """Remove what has been over for a month."""
        old = (storms.c.state == "closed") & (storms.c.ends_at < now - _REMEMBERED)
        async with self._database.write() as connection:
            gone = select(storms.c.id).where(old)
            await connection.execute(delete(storm_events).where(storm_events.c.storm.in_(gone)))
            await connection.execute(delete(storms).where(old))

    async def _events(self, query: Select[int, str, bool]) -> list[StormEvent]:
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [StormEvent.model_validate(dict(row._mapping)) for row in rows]


async def _get(connection: AsyncConnection, storm_id: str) -> Storm:
    row = (await connection.execute(select(storms).where(storms.c.id == storm_id))).one()
    return Storm.model_validate(dict(row._mapping))


def _listed(storm_id: str) -> Select[int, str, bool]:
    columns = (storm_events.c.position, storm_events.c.title, storm_events.c.resolved)
    return select(*columns).where(storm_events.c.storm == storm_id)
