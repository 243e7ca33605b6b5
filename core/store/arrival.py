"""How a group of deliveries is inserted: one statement for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError

from core.store.statements import Statements

Key = tuple[str, str]
"""Source and key."""

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


async def insert_postgresql(connection: Statements, arrivals: Sequence[Arrival]) -> set[Key]:
    """Insert, also in place of those that have failed; the keys of those that are new.

    Args:
        arrivals: of which no two have the same key.

    Raises:
        SQLAlchemyError: one could not be stored, so none is.
    """
    columns = list(zip(*arrivals, strict=True))
    return {(source, key) for source, key in await connection.fetch(_POSTGRESQL, columns)}


async def insert_sqlite(connection: Statements, arrivals: Sequence[Arrival]) -> set[Key]:
    """See `insert_postgresql`."""
    values = list(chain.from_iterable(_row(n, a) for n, a in enumerate(arrivals, start=1)))
    statement = _sqlite(len(arrivals))
    try:
        # Nearly always all are new. To have each said back would take this process's lock for
        # each, and the event loop holds it.
        await connection.fetch(statement, values)
    except IntegrityError:
        returned = await connection.fetch(statement + _ON_CONFLICT, values)
        return {(source, key) for source, key in returned}
    return {(a.source, a.key) for a in arrivals}


@lru_cache
def _sqlite(number: int) -> str:
    """For so many arrivals, of `_row` each."""
    rows = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * number)
    return f"""
        INSERT INTO deliveries (source, kind, key, subject, headers, body, received_at, due_at,
            state, attempts, reason, sequence)
        SELECT column1, column2, column3, column4, column5, column6, column7, column7,
            'received', 0, '', (SELECT COALESCE(MAX(sequence), 0) FROM deliveries) + column8
        FROM (VALUES {rows})
        WHERE TRUE
    """  # noqa: S608


def _row(number: int, arrival: Arrival) -> tuple[object, ...]:
    source, key, subject, headers, body, received_at = arrival
    at = received_at.replace(tzinfo=None).isoformat(" ", "microseconds")
    return source, source.partition(":")[0], key, subject, headers, body, at, number
