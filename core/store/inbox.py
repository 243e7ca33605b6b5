"""The inbox on our tables."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from core.inbox import Delivery
from core.records import storable_text
from core.replicas import living
from core.store.arrival import Arrival
from core.store.arrivals import Arrivals
from core.store.database import Database
from core.store.tables import deliveries

_LONGEST = 300
_log = logging.getLogger(__name__)


class SqlInbox:
    """Persists deliveries and hands them to workers.

    States: `received` -> `working` (in the hands of `holder`) -> `done`, or `received` again after
    an error (not before `due_at`) or when its holder has died, or `failed` when it will not be
    tried again by itself.

    Args:
        holder: id of this replica.
    """

    def __init__(self, database: Database, holder: str = "local") -> None:
        self._database = database
        self._holder = holder
        self._arrivals = Arrivals(database)

    async def accept(
        self, source: str, key: str, body: bytes, headers: Mapping[str, str], subject: str = ""
    ) -> bool:
        """Persist; False where (`source`, `key`) is there already and has not failed for good.
        Committed on return.

        Raises:
            SQLAlchemyError: it could not be stored.
        """
        arrival = Arrival(
            source=source,
            key=_fitting(key),
            subject=_fitting(subject),
            headers=_as_json(headers),
            body=body,
            received_at=datetime.now(UTC),
        )
        return await self._arrivals.keep(arrival)

    async def waiting(self) -> Mapping[str, int]:
        """How many deliveries of each source are not processed yet, in whichever replica."""
        unfinished = (
            select(deliveries.c.source, func.count().label("number"))
            .where(deliveries.c.state.in_(["received", "working"]))
            .group_by(deliveries.c.source)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(unfinished)
            return {row.source: row.number for row in rows}

    async def claim(self, limit: int, kinds: Iterable[str]) -> list[Delivery]:
        """Take up to `limit` due deliveries of these kinds of source, oldest first; of one subject
        none while an earlier one waits, or any is in hand, with whichever replica."""
        async with self._database.write() as connection:
            # Kind by kind, so that an index gives them in their order, however many wait.
            found = [
                row for kind in kinds for row in await connection.execute(_due(kind).limit(limit))
            ]
            rows = sorted(found, key=lambda row: row.sequence)[:limit]
            if rows:
                taken = tuple_(deliveries.c.source, deliveries.c.key).in_(
                    [(row.source, row.key) for row in rows]
                )
                await connection.execute(
                    update(deliveries).where(taken).values(state="working", holder=self._holder)
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
        await self._put_down(delivery, state="done")

    async def retry(self, delivery: Delivery, reason: str, delay: timedelta) -> None:
        """It failed and is due again after `delay`."""
        await self._fail(delivery, "received", reason, datetime.now(UTC) + delay)

    async def give_up(self, delivery: Delivery, reason: str) -> None:
        """It failed for good; it stays, with the reason, until its sender delivers it again."""
        await self._fail(delivery, "failed", reason, datetime.now(UTC))

    async def release_dead(self) -> None:
        """Make due now what is in the hands of those who are not alive any more."""
        async with self._database.write() as connection:
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.holder.is_not(None), deliveries.c.holder.not_in(living()))
                .values(state="received", holder=None, due_at=datetime.now(UTC))
            )

    async def _fail(self, delivery: Delivery, state: str, reason: str, due_at: datetime) -> None:
        reason = storable_text(reason)[:2000]
        attempts = delivery.attempts + 1
        await self._put_down(delivery, state=state, reason=reason, attempts=attempts, due_at=due_at)

    async def _put_down(self, delivery: Delivery, **values: object) -> None:
        """Change what this replica has in hand; what another has taken over stays as it is."""
        async with self._database.write() as connection:
            changed = await connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.source == delivery.source,
                    deliveries.c.key == delivery.key,
                    deliveries.c.holder == self._holder,
                )
                .values(holder=None, **values)
            )
        if changed.rowcount == 0:
            _log.warning("%s %s was taken over by another", delivery.source, delivery.key)


def _due(kind: str) -> Select[Any]:
    """Deliveries of a kind that may be processed now, oldest first."""
    return (
        select(deliveries)
        .where(
            deliveries.c.kind == kind,
            deliveries.c.state == "received",
            deliveries.c.due_at <= datetime.now(UTC),
            _is_its_turn(kind),
        )
        .order_by(deliveries.c.sequence)
        .with_for_update(skip_locked=True)  # nothing to SQLite, which has one writer
    )


def _is_its_turn(kind: str) -> ColumnElement[bool]:
    """It is the first of its subject that waits, and none of its subject is in hand."""
    other = deliveries.alias("other")
    # Found for all subjects at once: a look for each row is slow where many of one wait.
    first = (
        select(func.min(other.c.sequence))
        .where(other.c.kind == kind, other.c.state == "received", other.c.subject != "")
        .group_by(other.c.source, other.c.subject)
    )
    held = deliveries.alias("held")
    in_hand = exists().where(
        # Written out, so that both databases see that their partial index serves.
        literal_column("held.subject <> ''"),
        held.c.source == deliveries.c.source,
        held.c.subject == deliveries.c.subject,
        held.c.state == "working",
    )
    return or_(deliveries.c.subject == "", and_(deliveries.c.sequence.in_(first), ~in_hand))


def _as_json(headers: Mapping[str, str]) -> str:
    try:
        text = to_json(dict(headers)).decode()
    except PydanticSerializationError:  # what is not UTF-8 came as lone surrogates
        text = ""
    if not text or "\\u0000" in text:  # perhaps what PostgreSQL cannot hold
        storable = {name: storable_text(value) for name, value in headers.items()}
        text = to_json(storable).decode()
    return text


def _fitting(text: str) -> str:
    """`text` as the database can hold it, still telling it from others."""
    text = storable_text(text)
    return text if len(text) <= _LONGEST else hashlib.sha256(text.encode()).hexdigest()
