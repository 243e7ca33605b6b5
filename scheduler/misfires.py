"""Which planned moments fire now: those on time, and by the misfire policy those missed."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.automation import AISchedule, Misfire
from scheduler.cron import Calendar

ON_TIME = timedelta(minutes=1)
"""What is late by less than this (a process that has just started, a busy database) is on time."""

_TICK = timedelta(microseconds=1)


def due(
    calendar: Calendar,
    schedule: AISchedule,
    since: datetime,
    looked: datetime | None,
    now: datetime,
) -> list[datetime]:
    """The planned moments that must fire, oldest first.

    Args:
        since: earlier moments do not count: the schedule was not there, or paused.
        looked: up to when this has been seen to; None where nothing is known, as at a start.
    """
    grace = max(schedule.misfire_grace, ON_TIME)
    earliest = now - grace - _TICK  # what is late by just the grace still counts
    planned = calendar.planned(since, max(looked or earliest, earliest), now)
    missed = [moment for moment in planned if now - calendar.due_at(moment) > ON_TIME]
    on_time = [moment for moment in planned if moment not in missed]
    return _made_up_for(schedule, missed, bool(on_time)) + on_time


def _made_up_for(schedule: AISchedule, missed: list[datetime], goes_on: bool) -> list[datetime]:
    match schedule.misfire:
        case Misfire.SKIP:
            return []
        case Misfire.ONCE:
            return [] if goes_on else missed[-1:]
        case Misfire.ALL:
            return missed[-schedule.catch_up_limit :]
