"""Incidents: one open thread for each subject, however many alerts come."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import insert, select, text, update

from core.records import Event, Frozen, Instant
from core.store.database import Database
from core.store.tables import incidents


class Incident(Frozen):
    """Something that is wrong, from the first alert to the last.

    Attributes:
        id: of the event that opened it.
        subject: what it is about, e.g. an alert group.
        thread: where it is talked about, once it has been announced.
        events: how many alerts came for it.
    """

    id: str
    subject: str
    title: str
    state: str
    channel: str
    thread: str | None
    events: int
    opened_at: Instant
    closed_at: Instant | None


class IncidentStore:
    """Keeps incidents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, event: Event, channel: str) -> Incident:
        """The open incident of the event's subject, made if there is none; counts the event."""
        async with self._database.write() as connection:
            if not self._database.is_sqlite:  # there, writers queue anyway
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtext(:subject))"),
                    {"subject": event.subject},
                )
            row = (
                await connection.execute(
                    select(incidents).where(
                        (incidents.c.id == event.id)
                        | ((incidents.c.subject == event.subject) & (incidents.c.state == "open"))
                    )
                )
            ).first()
            if row is None:
                await connection.execute(
                    insert(incidents).values(
                        id=event.id,
                        subject=event.subject,
                        title=event.title,
                        state="open",
                        channel=channel,
                        thread=None,
                        events=1,
                        opened_at=datetime.now(UTC),
                        closed_at=None,
                    )
                )
            elif row.id != event.id:
                await connection.execute(
                    update(incidents)
                    .where(incidents.c.id == row.id)
                    .values(events=incidents.c.events + 1)
                )
        return await self.get(event.id if row is None else row.id)

    async def get(self, incident_id: str) -> Incident:
        """The incident with this id, which must exist."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(incidents).where(incidents.c.id == incident_id))
            ).one()
        return Incident.model_validate(dict(row._mapping))

    async def all_open(self) -> list[Incident]:
        """Open incidents, oldest first."""
        query = select(incidents).where(incidents.c.state == "open").order_by(incidents.c.opened_at)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [Incident.model_validate(dict(row._mapping)) for row in rows]

    async def announced(self, incident_id: str, channel: str, thread: str) -> None:
        """Remember where it is talked about."""
        async with self._database.write() as connection:
            await connection.execute(
                update(incidents)
                .where(incidents.c.id == incident_id)
                .values(channel=channel, thread=thread)
            )

    async def open_about(self, subject: str) -> Incident | None:
        """The subject's open incident; None where there is none."""
        query = select(incidents).where(incidents.c.subject == subject, incidents.c.state == "open")
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else Incident.model_validate(dict(row._mapping))

    async def close(self, incident_id: str) -> None:
        """It is over; closing it again changes nothing."""
        async with self._database.write() as connection:
            await connection.execute(
                update(incidents)
                .where(incidents.c.id == incident_id, incidents.c.state == "open")
                .values(state="closed", closed_at=datetime.now(UTC))
            )
