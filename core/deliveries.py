"""What came in, for people: what waits, what has failed and why, and having it processed again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import InvalidRequestError, NotFoundError
from core.records import Frozen, Instant
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.tables import deliveries
from core.store.tables.inbox import ARRIVAL_ORDER

_WEBHOOKS = "webhook"
_PURGED_AT_ONCE = 500
_SECRET = re.compile(
    r"token|secret|password|passwd|authorization|api[-_]?key|private[-_]?key|credential|cookie"
    r"|signature",
    re.IGNORECASE,
)


class KeptDelivery(Frozen):
    """One delivery, as it stands in the inbox.

    Attributes:
        source: `webhook:<integration id>`.
        state: `received`, `working`, `done` or `failed`.
        attempts: how often it was processed without success.
        reason: of the last failure.
        size: of the body, in bytes; 0 where it was removed after its time.
    """

    source: str
    key: str
    subject: str
    state: str
    attempts: int
    reason: str
    received_at: Instant
    size: int

    @property
    def integration(self) -> str:
        """The id of the integration that it is for."""
        return self.source.partition(":")[2]


class Contents(Frozen):
    """What was delivered, without what looks like a secret."""

    headers: dict[str, str]
    body: str


class Standing(Frozen):
    """How the deliveries of one source stand.

    Attributes:
        waiting: those that are to be processed, or are being.
        oldest: since when the first of those waits.
    """

    source: str
    waiting: int
    failed: int
    done: int
    oldest: Instant | None

    @property
    def integration(self) -> str:
        """The id of the integration that they are for."""
        return self.source.partition(":")[2]


class DeliveryBook:
    """Looks up the deliveries of webhooks, and lets those that have failed be processed again.

    Args:
        audit: has an entry for each that somebody lets be processed again.
    """

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    async def failed(self, integration: str | None = None, limit: int = 50) -> list[KeptDelivery]:
        """Those that will not be tried again by themselves, the newest first; then those that have
        failed so far and will be (`received`)."""
        query = (
            select(*_COLUMNS)
            .where(_has_failed(), deliveries.c.kind == _WEBHOOKS)
            .order_by(deliveries.c.state, deliveries.c.sequence.desc())
            .limit(limit)
        )
        if integration is not None:
            query = query.where(deliveries.c.source == f"{_WEBHOOKS}:{integration}")
        async with self._database.read() as connection:
            return [_kept(row) for row in await connection.execute(query)]

    async def standings(self) -> list[Standing]:
        """How the deliveries of each source stand."""
        query = (
            select(
                deliveries.c.source,
                deliveries.c.state,
                func.count().label("number"),
                func.min(deliveries.c.received_at).label("oldest"),
            )
            .where(deliveries.c.kind == _WEBHOOKS)
            .group_by(deliveries.c.source, deliveries.c.state)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            _standing(source, [row for row in rows if row.source == source])
            for source in sorted({row.source for row in rows})
        ]

    async def find(self, key: str, integration: str | None = None) -> KeptDelivery:
        """The one of that key.

        Raises:
            NotFoundError: there is none.
            InvalidRequestError: several integrations have one of that key.
        """
        async with self._database.read() as connection:
            return await _find(connection, key, integration)

    async def contents(self, delivery: KeptDelivery) -> Contents:
        """Its headers and its body, without what looks like a secret by its name."""
        query = select(deliveries.c.headers, deliveries.c.body).where(_is(delivery))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one()
        headers = {
            name: "(hidden)" if _SECRET.search(name) else value
            for name, value in row.headers.items()
        }
        return Contents(headers=headers, body=_shown(row.body))

    async def replay(self, key: str, by: str, integration: str | None = None) -> KeptDelivery:
        """Let one that has failed be processed again, after those of its subject that wait; one
        that will be tried again anyhow, now and in its place.

        Args:
            by: who wants that, for the audit log.

        Raises:
            NotFoundError: there is none of that key.
            InvalidRequestError: it has not failed, or several have that key.
        """
        async with self._database.write() as connection:
            found = await _find(connection, key, integration)
            values = {"state": "received", "attempts": 0, "due_at": datetime.now(UTC)}
            if found.state == "failed":
                values["sequence"] = await self._next(connection)
            changed = await connection.execute(
                update(deliveries)
                .where(_is(found), deliveries.c.state == found.state, _has_failed())
                .values(**values)
            )
            if changed.rowcount == 0:
                raise InvalidRequestError(
                    f"The delivery {found.key} is {found.state}: only one that has failed can be "
                    "processed again."
                )
            await self._audit.append(
                connection,
                by,
                "webhook.replayed",
                f"{found.source} {found.key}",
                {"reason": found.reason, "attempts": found.attempts},
            )
        return found

    async def purge(self, before: datetime) -> int:
        """Remove the bodies and headers of what was processed and came before then; how many.

        The keys stay: what is delivered again is known again. What has failed stays whole.
        """
        old = (
            select(deliveries.c.source, deliveries.c.key)
            .where(
                deliveries.c.state == "done",
                deliveries.c.received_at < before,
                func.length(deliveries.c.body) > 0,
            )
            .limit(_PURGED_AT_ONCE)
        )
        removed = 0
        while True:
            async with self._database.write() as connection:
                rows = (await connection.execute(old)).all()
                for row in rows:
                    await connection.execute(
                        update(deliveries)
                        .where(deliveries.c.source == row.source, deliveries.c.key == row.key)
                        .values(body=b"", headers={})
                    )
            removed += len(rows)
            if len(rows) < _PURGED_AT_ONCE:
                return removed

    async def _next(self, connection: AsyncConnection) -> int:
        query = select(func.coalesce(func.max(deliveries.c.sequence), 0) + 1)
        if not self._database.is_sqlite:
            query = select(ARRIVAL_ORDER.next_value())
        return int((await connection.execute(query)).scalar_one())


_COLUMNS = (
    *(deliveries.c[name] for name in ("source", "key", "subject", "state", "attempts", "reason")),
    deliveries.c.received_at,
    func.length(deliveries.c.body).label("size"),
)


async def _find(connection: AsyncConnection, key: str, integration: str | None) -> KeptDelivery:
    query = select(*_COLUMNS).where(deliveries.c.key == key, deliveries.c.kind == _WEBHOOKS)
    if integration is not None:
        query = query.where(deliveries.c.source == f"{_WEBHOOKS}:{integration}")
    found = [_kept(row) for row in await connection.execute(query.limit(10))]
    if not found:
        raise NotFoundError(f"There is no delivery with the key '{key[:100]}'.")
    if len(found) > 1:
        names = ", ".join(sorted(one.integration for one in found))
        raise InvalidRequestError(f"Several have a delivery {key[:100]}: say which of {names}.")
    return found[0]


def _has_failed() -> ColumnElement[bool]:
    """For good, or so far."""
    tried_again = (deliveries.c.state == "received") & (deliveries.c.attempts > 0)
    return (deliveries.c.state == "failed") | tried_again


def _is(delivery: KeptDelivery) -> ColumnElement[bool]:
    return (deliveries.c.source == delivery.source) & (deliveries.c.key == delivery.key)


def _kept(row: Row[tuple[object, ...]]) -> KeptDelivery:
    return KeptDelivery.model_validate(dict(row._mapping))


def _standing(source: str, rows: Sequence[Row[tuple[str, str, int, datetime]]]) -> Standing:
    counts = {row.state: row.number for row in rows}
    waits = [row.oldest for row in rows if row.state in {"received", "working"}]
    return Standing(
        source=source,
        waiting=counts.get("received", 0) + counts.get("working", 0),
        failed=counts.get("failed", 0),
        done=counts.get("done", 0),
        oldest=min(waits, default=None),
    )


def _shown(body: bytes) -> str:
    """A body as text; JSON is indented, and what looks like a secret hidden."""
    try:
        value: JsonValue = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
    return json.dumps(_hidden(value), indent=2, ensure_ascii=False)


def _hidden(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {
            name: "(hidden)" if isinstance(item, str) and _SECRET.search(name) else _hidden(item)
            for name, item in value.items()
        }
    return [_hidden(item) for item in value] if isinstance(value, list) else value
