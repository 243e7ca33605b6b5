"""Five-field cron lines as people mean them, for APScheduler's CronTrigger.

Two traps of `CronTrigger.from_crontab` are mended here: it counts weekdays from Monday = 0, where
crontab(5) has Sunday = 0 and 7; and it wants both day fields to hold, where crontab(5) takes
either. Lines of the second kind are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from core.automation import AISchedule
from core.errors import ConfigurationError

_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMERIC = re.compile(r"^(?:(\*)|([0-7])(?:-([0-7]))?)(?:/([1-7]))?$")


def cron_trigger(schedule: AISchedule) -> CronTrigger:
    """The trigger for the schedule's cron line in its time zone.

    Raises:
        ConfigurationError: the line cannot be read.
    """
    minute, hour, day, month, weekday = schedule.cron.split(" ")
    where = f"schedules/{schedule.id}.yaml: cron: '{schedule.cron}'"
    if day != "*" and weekday != "*":
        raise ConfigurationError(f"{where}: give a day of the month or a weekday, not both.")
    try:
        return CronTrigger(
            minute=minute,
            hour=hour,
            day=day,
            month=month,
            day_of_week=weekday_names(weekday),
            timezone=ZoneInfo(schedule.timezone),
        )
    except ValueError as error:
        raise ConfigurationError(
            f"{where} is not a cron line ({error}); write minute hour day month weekday, "
            "for example '0 8 * * mon-fri'."
        ) from error


def weekday_names(field: str) -> str:
    """A weekday field with crontab's numbers (0 and 7 are Sunday) as names; names stay."""
    return ",".join(_part(part) for part in field.lower().split(","))


def _part(part: str) -> str:
    match = _NUMERIC.match(part)
    if match is None or part == "*":
        return part
    star, first, last, step = match.groups()
    low = 0 if star else int(first)
    high = 6 if star or (step and last is None) else int(last or first)
    if high < low:
        raise ValueError(f"the weekday range {part} runs backwards")
    return ",".join(_NAMES[number % 7] for number in range(low, high + 1, int(step or 1)))


def moments(trigger: CronTrigger, after: datetime) -> Iterator[datetime]:
    """The planned moments from `after` on, in UTC.

    UTC, because two moments of one time zone compare by wall clock, and so stand still or run
    backwards where clocks go back.
    """
    while (planned := trigger.get_next_fire_time(None, after)) is not None:
        moment: datetime = planned.astimezone(UTC)
        yield moment
        after = moment + timedelta(microseconds=1)


def last_before(trigger: CronTrigger, now: datetime, within: timedelta) -> datetime | None:
    """The last planned moment in the stretch of `within` before `now`, or None."""
    last = None
    for moment in moments(trigger, now - within):
        if moment > now:
            break
        last = moment
    return last


def firing_moment(schedule: AISchedule, planned: datetime) -> str:
    """The planned moment as text that is the same for what must be one firing.

    As cron(8) does it: a line with a fixed hour fires once for its wall-clock time, also when
    clocks go back and that time comes twice (`fold` is left out); one with a wildcard or a step
    in the hour follows the time that passes.
    """
    local = planned.astimezone(ZoneInfo(schedule.timezone))
    hour = schedule.cron.split(" ")[1]
    if "*" in hour or "/" in hour:
        return local.astimezone(UTC).isoformat()
    first = local.replace(fold=0)
    return first.astimezone(UTC).isoformat()
