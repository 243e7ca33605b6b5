"""The clock: schedules to firings, on APScheduler 3 (https://apscheduler.readthedocs.io/en/3.x/).

Each replica has one and fires everything. A firing is persisted in the inbox under a key made of
the schedule and the planned moment, so that it happens once, whoever else fires it and whatever
dies in between.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy.exc import SQLAlchemyError

from core.inbox import Inbox
from scheduler.book import Planned, ScheduleBook
from scheduler.misfires import due

SOURCE = "schedule"
_FOLLOW = ":follow"  # no schedule's id has a colon
_FOLLOW_S = 2
_AT_ONCE = 10  # a schedule that fires again while the database is slow is not turned away
_log = logging.getLogger(__name__)


class Clock:
    """Fires schedules into the inbox.

    Args:
        book: the schedules, followed as they change.
        inbox: where firings are persisted.
    """

    def __init__(self, book: ScheduleBook, inbox: Inbox) -> None:
        self._book = book
        self._inbox = inbox
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._timed: dict[str, Planned] = {}
        self._timed_at: int | None = None
        self._looked: dict[str, datetime] = {}
        self._behind: set[str] = set()
        self._fresh = datetime.min.replace(tzinfo=UTC)
        self._following = asyncio.Lock()

    async def start(self) -> None:
        """Begin firing, on the running event loop, and make up for what was missed."""
        await self._book.open(datetime.now(UTC))
        self._set_timers()
        self._scheduler.add_job(
            self._follow,
            "interval",
            seconds=_FOLLOW_S,
            id=_FOLLOW,
            coalesce=True,
            misfire_grace_time=None,
        )
        self._scheduler.start()
        await self._catch_up()

    def close(self) -> None:
        """Stop firing."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def follow(self, seen: datetime | None = None) -> None:
        """Take over what has changed in the database.

        Args:
            seen: not needed where that was done after this moment.
        """
        async with self._following:
            asked = datetime.now(UTC)
            if seen is not None and self._fresh >= seen:
                return
            await self._book.refresh()
            if self._book.revision != self._timed_at:
                self._set_timers()
            self._fresh = asked

    async def _follow(self) -> None:
        try:
            await self.follow()
        except (OSError, SQLAlchemyError) as error:
            _log.warning("the schedules cannot be read now: %s", error)
            return
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Look at what has just come, and at what could not fire."""
        for schedule_id in sorted(self._behind):
            await self._look(schedule_id, datetime.now(UTC))

    def _set_timers(self) -> None:
        self._timed_at = self._book.revision
        wanted = {id_: one for id_, one in self._book.planned.items() if not one.entry.paused}
        for schedule_id in self._timed.keys() - wanted.keys():
            self._forget(schedule_id)
        for schedule_id, planned in wanted.items():
            known = self._timed.get(schedule_id)
            if known is not None and known.entry == planned.entry:
                continue
            if known is not None:
                self._forget(schedule_id)
            self._timed[schedule_id] = planned
            self._behind.add(schedule_id)
            trigger = _Trigger(planned)
            if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
                continue  # it is over
            self._scheduler.add_job(
                self._fire,
                trigger,
                args=[schedule_id],
                id=schedule_id,
                coalesce=True,
                max_instances=_AT_ONCE,
                misfire_grace_time=None,  # what counts as missed is decided when it fires
            )

    def _forget(self, schedule_id: str) -> None:
        del self._timed[schedule_id]
        self._looked.pop(schedule_id, None)
        self._behind.discard(schedule_id)
        if self._scheduler.get_job(schedule_id):
            self._scheduler.remove_job(schedule_id)

    async def _fire(self, schedule_id: str) -> None:
        now = datetime.now(UTC)
        try:
            await self.follow(now)  # paused or removed a moment ago, on whichever replica
        except (OSError, SQLAlchemyError) as error:
            _log.warning("the schedule %s cannot fire now: %s", schedule_id, error)
            self._behind.add(schedule_id)
            return
        await self._look(schedule_id, now)

    async def _look(self, schedule_id: str, now: datetime) -> None:
        """Fire what is due of a schedule."""
        planned = self._timed.get(schedule_id)
        if planned is None:
            return
        looked = self._looked.get(schedule_id)
        moments = due(planned.calendar, planned.schedule, planned.entry.since, looked, now)
        try:
            for moment in moments:
                await self._accept(schedule_id, moment)
        except (OSError, SQLAlchemyError) as error:
            _log.warning("the schedule %s cannot fire now: %s", schedule_id, error)
            self._behind.add(schedule_id)
            return
        self._behind.discard(schedule_id)
        self._looked[schedule_id] = max(now, self._looked.get(schedule_id, now))

    async def _accept(self, schedule_id: str, planned: datetime) -> None:
        moment = planned.isoformat()
        body = json.dumps({"schedule": schedule_id, "at": moment}).encode()
        if await self._inbox.accept(SOURCE, f"{schedule_id}:{moment}", body, {}):
            _log.info("schedule %s fired for %s", schedule_id, moment)


class _Trigger(BaseTrigger):  # type: ignore[misc]
    """The next time for APScheduler; what it woke for is looked up when it has fired."""

    def __init__(self, planned: Planned) -> None:
        self._calendar = planned.calendar
        self._since = planned.entry.since
        self._last: tuple[datetime, datetime | None] | None = None

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """The first after `now`, so that moments which have passed are one waking."""
        after = max(previous_fire_time or now - timedelta(microseconds=1), now)
        if self._last is None or self._last[0] != after:  # APScheduler asks twice
            self._last = after, self._calendar.next_due(self._since, after)
        return self._last[1]
