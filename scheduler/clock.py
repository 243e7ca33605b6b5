"""The clock: cron lines to firings, on APScheduler 3 (https://apscheduler.readthedocs.io/en/3.x/).

A firing is persisted in the inbox under a key made of the schedule and the planned moment, so
that it happens once, whoever else fires it and whatever dies in between.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from core.automation import AISchedule
from core.errors import NotFoundError
from core.firings import FiringService
from core.inbox import Delivery, Inbox
from scheduler.cron import cron_trigger, firing_moment, last_before, moments

SOURCE = "schedule"
_log = logging.getLogger(__name__)


class Clock:
    """Fires schedules into the inbox.

    Args:
        schedules: by id.
        inbox: where firings are persisted.

    Raises:
        ConfigurationError: a cron line cannot be read.
    """

    def __init__(self, schedules: Mapping[str, AISchedule], inbox: Inbox) -> None:
        self._schedules = schedules
        self._inbox = inbox
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._triggers = {id_: cron_trigger(schedule) for id_, schedule in schedules.items()}

    def start(self) -> None:
        """Begin firing, on the running event loop."""
        for schedule_id, schedule in self._schedules.items():
            self._scheduler.add_job(
                self._fire,
                self._triggers[schedule_id],
                args=[schedule_id],
                id=schedule_id,
                name=schedule.name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=int(schedule.misfire_grace.total_seconds()),
            )
        self._scheduler.start()

    def close(self) -> None:
        """Stop firing."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def catch_up(self, now: datetime) -> None:
        """Fire what was due while nothing ran, if it was missed by less than its grace.

        What did fire then is in the inbox already, and stays one firing.
        """
        for schedule_id, schedule in self._schedules.items():
            if missed := last_before(self._triggers[schedule_id], now, schedule.misfire_grace):
                await self._accept(schedule_id, missed)

    def next_firings(self, schedule_id: str, now: datetime, count: int = 5) -> list[datetime]:
        """The next planned moments, in the schedule's time zone.

        Raises:
            NotFoundError: there is no such schedule.
        """
        if schedule_id not in self._triggers:
            known = ", ".join(self._triggers) or "none"
            raise NotFoundError(f"There is no schedule '{schedule_id}'. There are: {known}.")
        zone = ZoneInfo(self._schedules[schedule_id].timezone)
        planned = islice(moments(self._triggers[schedule_id], now), count)
        return [moment.astimezone(zone) for moment in planned]

    def upcoming(self) -> dict[str, datetime | None]:
        """For each schedule's id the moment of its next firing."""
        now = datetime.now(UTC)
        return {id_: next(iter(self.next_firings(id_, now, 1)), None) for id_ in self._schedules}

    async def _fire(self, schedule_id: str) -> None:
        now = datetime.now(UTC)
        grace = self._schedules[schedule_id].misfire_grace
        planned = last_before(self._triggers[schedule_id], now, grace + timedelta(seconds=1))
        await self._accept(schedule_id, planned or now)

    async def _accept(self, schedule_id: str, planned: datetime) -> None:
        moment = firing_moment(self._schedules[schedule_id], planned)
        body = json.dumps({"schedule": schedule_id, "at": moment}).encode()
        if await self._inbox.accept(SOURCE, f"{schedule_id}:{moment}", body, {}):
            _log.info("schedule %s fired for %s", schedule_id, moment)


class FiringHandler:
    """Handles persisted firings: the inbox worker calls it."""

    def __init__(self, schedules: Mapping[str, AISchedule], firings: FiringService) -> None:
        self._schedules = schedules
        self._firings = firings

    async def __call__(self, delivery: Delivery) -> None:
        """Act on one firing.

        Raises:
            NotFoundError: the schedule was removed in between; the firing is kept.
        """
        body = json.loads(delivery.body)
        schedule = self._schedules.get(body["schedule"])
        if schedule is None:
            raise NotFoundError(f"The schedule '{body['schedule']}' was removed.")
        await self._firings.fire(schedule, datetime.fromisoformat(body["at"]))
