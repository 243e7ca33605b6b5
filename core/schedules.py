"""Schedules in the database: those that people added, and what was paused of the configuration's.

A replica notices a change of another by the sum of the rows' versions, which only grows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import JsonValue, ValidationError
from sqlalchemy import Row, Update, and_, delete, func, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.automation import AISchedule
from core.errors import InvalidRequestError, NotFoundError
from core.records import Frozen, Instant
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.tables import schedule_drafts, schedules

_KEPT = timedelta(days=7)
_DRAFT_KEPT = timedelta(days=1)
_log = logging.getLogger(__name__)


class ScheduleEntry(Frozen):
    """A schedule as it stands.

    Attributes:
        since: moments before this do not count; it was not there then, or paused.
        added_by: who added it in Slack; None where the configuration has it.
        changed_by: who paused or resumed it last.
    """

    schedule: AISchedule
    since: Instant
    paused: bool
    added_by: str | None = None
    changed_by: str | None = None


class ScheduleDraft(Frozen):
    """A schedule that somebody has been shown and has not confirmed."""

    schedule: AISchedule
    drafted_by: str


class ScheduleStore:
    """Keeps them; every change is in the audit log."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def revision(self) -> int:
        """A number that is another one after each change."""
        async with self._database.read() as connection:
            total = await connection.scalar(select(func.sum(schedules.c.version)))
        return int(total or 0)

    async def entries(self, files: Mapping[str, AISchedule]) -> dict[str, ScheduleEntry]:
        """All schedules by id; `files` are the configuration's, which `note` has seen."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(schedules))).all()
        found = {}
        for row in rows:
            schedule = files.get(row.id) or _stored(row)
            if schedule is not None:
                found[row.id] = _entry(row, schedule, file=row.id in files)
        return found

    async def note(self, files: Iterable[AISchedule], now: datetime) -> None:
        """See the configuration's schedules; one that is new or has other times counts from now."""
        rows = {schedule.id: _file_row(schedule, now) for schedule in files}
        known = select(schedules.c.id, schedules.c.timing).where(
            schedules.c.definition.is_(null()), ~schedules.c.removed
        )
        insert = self._insert(schedules)
        given = {
            column.name: insert.excluded[column.name]
            for column in schedules.c
            if column.name not in {"id", "definition", "version"}
        }
        noting = insert.on_conflict_do_update(
            index_elements=[schedules.c.id],
            set_={**given, "definition": null(), "version": schedules.c.version + 1},
            where=or_(
                schedules.c.timing != insert.excluded.timing,
                schedules.c.definition.is_not(null()),
                schedules.c.removed,
            ),
        )
        async with self._database.write() as connection:
            for id_, timing in await connection.execute(known):
                if id_ in rows and rows[id_]["timing"] == timing:
                    del rows[id_]
            if rows:
                await connection.execute(noting, list(rows.values()))

    async def draft(self, draft_id: str, schedule: AISchedule, user: str, now: datetime) -> None:
        """Keep what somebody is about to add; the first one with an id stays."""
        insert = self._insert(schedule_drafts).values(
            id=draft_id, definition=_plain(schedule), drafted_by=user, at=now
        )
        old = delete(schedule_drafts).where(schedule_drafts.c.at < now - _DRAFT_KEPT)
        async with self._database.write() as connection:
            await connection.execute(old)
            await connection.execute(insert.on_conflict_do_nothing())

    async def drafted(self, draft_id: str) -> ScheduleDraft:
        """What was drafted under this id.

        Raises:
            NotFoundError: nothing, or too long ago.
        """
        query = select(schedule_drafts).where(schedule_drafts.c.id == draft_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("This preview is too old; add the schedule again.")
        schedule = AISchedule.model_validate(row.definition)
        return ScheduleDraft(schedule=schedule, drafted_by=row.drafted_by)

    async def add(
        self, schedule: AISchedule, user: str, over_at: datetime | None, now: datetime
    ) -> None:
        """Let it count from now on. What was over for a week goes.

        Args:
            over_at: the last moment at which it fires, where there is one.

        Raises:
            InvalidRequestError: there is one of this id.
        """
        row = {
            "id": schedule.id,
            "definition": _plain(schedule),
            "timing": "",
            "since": now,
            "over_at": over_at,
            "paused": schedule.paused,
            "removed": False,
            "added_by": user,
            "changed_by": user,
            "changed_at": now,
        }
        over = and_(schedules.c.over_at < now - _KEPT, ~schedules.c.removed)
        async with self._database.write() as connection:
            await connection.execute(_changed(now).values(**_GONE).where(over))
            insert = self._insert(schedules).values(**row, version=1)
            added = await connection.scalar(
                insert.on_conflict_do_update(
                    index_elements=[schedules.c.id],
                    set_={**row, "version": schedules.c.version + 1},
                    where=or_(schedules.c.removed, schedules.c.definition.is_(null())),
                ).returning(schedules.c.id)
            )
            if added is None:
                raise InvalidRequestError(
                    f"There is a schedule '{schedule.id}' already; choose another name."
                )
            details = {"schedule": _plain(schedule)}
            await self._audit.append(connection, user, "schedule.added", schedule.id, details)

    async def pause(self, schedule_id: str, user: str, now: datetime) -> None:
        """Let it fire no more."""
        await self._change(schedule_id, user, now, "schedule.paused", {"paused": True})

    async def resume(self, schedule_id: str, user: str, now: datetime) -> None:
        """Let it fire again, from now on."""
        values = {"paused": False, "since": now}
        await self._change(schedule_id, user, now, "schedule.resumed", values)

    async def remove(self, schedule_id: str, user: str, now: datetime) -> None:
        """Take away one that somebody added."""
        await self._change(schedule_id, user, now, "schedule.removed", _GONE)

    async def refused(self, user: str, schedule_id: str, what: str, why: str) -> None:
        """Note in the audit log that somebody wanted more than they may."""
        details: dict[str, JsonValue] = {"what": what, "why": why}
        await self._audit.record(user, "schedule.refused", schedule_id, details)

    async def _change(
        self, schedule_id: str, user: str, now: datetime, what: str, values: dict[str, Any]
    ) -> None:
        changing = _changed(now).where(schedules.c.id == schedule_id, ~schedules.c.removed)
        async with self._database.write() as connection:
            changed = await connection.execute(changing.values(**values, changed_by=user))
            if changed.rowcount:
                await self._audit.append(connection, user, what, schedule_id, {})


_GONE = {"removed": True}


def _file_row(schedule: AISchedule, now: datetime) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "timing": f"{schedule.timing} {schedule.timezone} {schedule.paused}",
        "since": now,
        "over_at": None,
        "paused": None,
        "removed": False,
        "added_by": None,
        "changed_by": None,
        "changed_at": now,
        "version": 1,
    }


def _changed(now: datetime) -> Update:
    return update(schedules).values(version=schedules.c.version + 1, changed_at=now)


def _plain(schedule: AISchedule) -> Any:
    return schedule.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _stored(row: Row[Any]) -> AISchedule | None:
    if row.removed or row.definition is None:
        return None
    try:
        return AISchedule.model_validate(row.definition)
    except ValidationError as error:
        _log.error("the schedule %s in the database cannot be read: %s", row.id, error)
        return None


def _entry(row: Row[Any], schedule: AISchedule, *, file: bool) -> ScheduleEntry:
    return ScheduleEntry(
        schedule=schedule,
        since=row.since,
        paused=schedule.paused if row.paused is None else row.paused,
        added_by=None if file else row.added_by,
        changed_by=row.changed_by,
    )
