"""Group commit: what comes in while a transaction is written goes into the next one together.

The statements go to the driver as they are: SQLAlchemy's own inserts of many rows cost more time
than all else that is done for a delivery.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import CursorResult
from sqlalchemy.exc import SQLAlchemyError

from core.store.database import Database, unreachable

_MOST = 200
_MOST_BYTES = 8 * 1024 * 1024
_Key = tuple[str, str]

# One that has failed for good is worked on again when its sender delivers it again.
_ANEW = ("subject", "headers", "body", "received_at", "due_at", "state", "attempts", "sequence")
_ON_CONFLICT = f"""
    ON CONFLICT (source, key) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in _ANEW)}
    WHERE deliveries.state = 'failed'
    RETURNING source, key
"""
# One prepared statement for groups of every size; the numbers are drawn in the group's order.
_POSTGRESQL = f"""
    INSERT INTO deliveries (source, kind, key, subject, headers, body, received_at, due_at,
        state, attempts, reason, sequence)
    SELECT source, split_part(source, ':', 1), key, subject, headers::jsonb, body, at, at,
        'received', 0, '', nextval('deliveries_order')
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[])
        WITH ORDINALITY AS arrived (source, key, subject, headers, body, at, place)
    ORDER BY place
    {_ON_CONFLICT}
"""  # noqa: S608 - made of our own names
# The same, by the JSON functions. The bodies are one value, and each row says where its own is.
_SQLITE = f"""
    INSERT INTO deliveries (source, kind, key, subject, headers, body, received_at, due_at,
        state, attempts, reason, sequence)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
        COALESCE(substr(?, value ->> 5, value ->> 6), x''), value ->> 7, value ->> 7,
        'received', 0, '', (SELECT COALESCE(MAX(sequence), 0) FROM deliveries) + 1 + arrived.key
    FROM json_each(?) AS arrived
    WHERE TRUE
    {_ON_CONFLICT}
"""  # noqa: S608


class Arrival(NamedTuple):
    """A delivery that is to be kept.

    Attributes:
        headers: a JSON object; like all texts storable.
        received_at: in UTC.
    """

    source: str
    key: str
    subject: str
    headers: str
    body: bytes
    received_at: datetime


_Waiting = tuple[Arrival, "asyncio.Future[bool]"]


class Arrivals:
    """Inserts deliveries. Their senders wait for it, so it goes before other writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = _insert_sqlite if database.is_sqlite else _insert_postgresql
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def keep(self, arrival: Arrival) -> bool:
        """Insert, also in place of one that has failed; False where (`source`, `key`) is there
        already. Committed on return.

        Raises:
            SQLAlchemyError: it could not be stored.
        """
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, outcome))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        # Whoever stops waiting takes nobody along: the group is written by a task of its own.
        return await outcome

    async def _write(self) -> None:
        """Write one group after the other until nothing waits."""
        try:
            while self._waiting:
                await self._write_group()
        finally:
            self._writer = None
            while self._waiting:  # only where this task was cancelled
                self._waiting.popleft()[1].cancel()

    async def _write_group(self) -> None:
        group: list[_Waiting] = []
        try:
            new = await self._commit(group)
        except SQLAlchemyError as error:
            if not group:  # there is no connection, for nobody
                group = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if len(group) == 1 or unreachable(error):
                _fail(group, error)
            else:
                # An arrival that cannot be stored must not keep the others out.
                for alone in group:
                    await self._write_alone(alone)
        except BaseException:
            for _, outcome in group:
                outcome.cancel()
            raise
        else:
            _settle(group, new)

    async def _commit(self, group: list[_Waiting]) -> set[_Key]:
        async with self._database.write(passing=True, single=True) as connection:
            group += self._take()
            unique = {(a.source, a.key): a for a, _ in reversed(group)}  # the first of each
            statement, values = self._insert(list(reversed(unique.values())))
            return _keys(await connection.exec_driver_sql(statement, values))

    async def _write_alone(self, waiting: _Waiting) -> None:
        try:
            arrival = waiting[0]
            async with self._database.write(passing=True, single=True) as connection:
                new = _keys(await connection.exec_driver_sql(*self._insert([arrival])))
        except SQLAlchemyError as error:
            _fail([waiting], error)
        else:
            _settle([waiting], new)

    def _take(self) -> list[_Waiting]:
        """What goes into one transaction: at least one arrival."""
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < _MOST and size < _MOST_BYTES:
            group.append(self._waiting.popleft())
            size += len(group[-1][0].body)
        return group


def _keys(found: CursorResult[Any]) -> set[_Key]:
    return set(map(tuple, found))


def _settle(group: Sequence[_Waiting], new: set[_Key]) -> None:
    for arrival, outcome in group:
        key = (arrival.source, arrival.key)
        if not outcome.done():
            outcome.set_result(key in new)
        new.discard(key)  # the same key again in the group is a duplicate


def _fail(group: Sequence[_Waiting], error: SQLAlchemyError) -> None:
    for _, outcome in group:
        if not outcome.done():
            outcome.set_exception(error)


def _insert_postgresql(arrivals: Sequence[Arrival]) -> tuple[str, tuple[object, ...]]:
    return _POSTGRESQL, (
        [a.source for a in arrivals],
        [a.key for a in arrivals],
        [a.subject for a in arrivals],
        [a.headers for a in arrivals],
        [a.body for a in arrivals],
        [a.received_at for a in arrivals],
    )


def _insert_sqlite(arrivals: Sequence[Arrival]) -> tuple[str, tuple[object, ...]]:
    rows = []
    begin = 1  # SQL counts from 1
    for a in arrivals:
        at = a.received_at.replace(tzinfo=None).isoformat(" ", "microseconds")
        kind = a.source.partition(":")[0]
        rows.append((a.source, kind, a.key, a.subject, a.headers, begin, len(a.body), at))
        begin += len(a.body)
    return _SQLITE, (b"".join(a.body for a in arrivals), json.dumps(rows))
