"""When a schedule is due: five-field cron lines as people mean them, and single moments.

APScheduler's CronTrigger finds the wall-clock times; two traps of `CronTrigger.from_crontab` are
mended here: it counts weekdays from Monday = 0, where crontab(5) has Sunday = 0 and 7; and it
wants both day fields to hold, where crontab(5) takes either. Lines of the second kind are
refused. Where clocks are changed, a wall-clock time is read as RFC 5545 (section 3.3.5) does:
one that comes twice means the first, and one that is skipped means as much later as the clock
jumped. Only a line that fires in every hour follows the time that passes, as cron(8) has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from core.automation import AISchedule
from core.errors import InvalidRequestError

_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMERIC = re.compile(r"^(?:(\*)|([0-7])(?:-([0-7]))?)(?:/([1-7]))?$")
_SHIFT = timedelta(hours=3)  # no clock is changed by more
_END = datetime(2200, 1, 1, tzinfo=UTC)  # a search that finds nothing ends here
_MINUTE = timedelta(minutes=1)


class Calendar:
    """The planned moments of one schedule.

    Raises:
        InvalidRequestError: its cron line cannot be read, or never fires.
    """

    def __init__(self, schedule: AISchedule) -> None:
        self._id = schedule.id
        self._zone = ZoneInfo(schedule.timezone)
        self._at = schedule.at
        self._jitter_ms = int(schedule.jitter / timedelta(milliseconds=1))
        self._trigger = None if schedule.cron is None else cron_trigger(schedule.cron)
        self._hourly = self._trigger is not None and _every_hour(self._trigger)

    def moments(self, after: datetime) -> Iterator[datetime]:
        """The planned moments from `after` on, in UTC, each later than the one before it."""
        local = after.astimezone(self._zone).replace(tzinfo=None)
        least, most = self._offsets(local)
        held: set[datetime] = set()
        for wall in self._walls(local - (most - least)):
            held.update(moment for moment in self._moments_of(wall) if moment >= after)
            _, most = self._offsets(wall)
            certain = (wall - most).replace(tzinfo=UTC)  # later walls are later than this
            ready = sorted(moment for moment in held if moment <= certain)
            yield from ready
            held.difference_update(ready)
        yield from sorted(held)

    def due_at(self, moment: datetime) -> datetime:
        """When a planned moment fires: itself, or later by its jitter."""
        if not self._jitter_ms:
            return moment
        drawn = sha256(f"{self._id}|{moment.isoformat()}".encode()).digest()
        share = int.from_bytes(drawn[:8]) % (self._jitter_ms + 1)
        return moment + timedelta(milliseconds=share)

    def planned(self, begin: datetime, after: datetime, until: datetime) -> list[datetime]:
        """The moments from `begin` on that fire after `after`, but not after `until`."""
        first = max(begin, after - timedelta(milliseconds=self._jitter_ms))
        found = []
        for moment in self.moments(first):
            if moment > until:
                break
            if after < self.due_at(moment) <= until:
                found.append(moment)
        return found

    def next_due(self, begin: datetime, after: datetime) -> datetime | None:
        """When the next moment from `begin` on fires, after `after`; None where none will."""
        best = None
        for moment in self.moments(max(begin, after - timedelta(milliseconds=self._jitter_ms))):
            if best is not None and moment >= best:
                break
            due = self.due_at(moment)
            if due > after and (best is None or due < best):
                best = due
        return best

    def _walls(self, start: datetime) -> Iterator[datetime]:
        """What clocks show when it is time, from `start` on; both without a time zone."""
        if self._trigger is None:
            if self._at is not None and self._at >= start:
                yield self._at
            return
        after = start.replace(tzinfo=UTC)  # whose days all have 24 hours
        while (wall := self._trigger.get_next_fire_time(None, after)) is not None:
            yield wall.replace(tzinfo=None)
            after = wall + _MINUTE

    def _moments_of(self, wall: datetime) -> list[datetime]:
        first = wall.replace(tzinfo=self._zone).astimezone(UTC)
        if not self._hourly:
            return [first]
        if first.astimezone(self._zone).replace(tzinfo=None) != wall:
            return []  # clocks skip it
        return [first, wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)]

    def _offsets(self, wall: datetime) -> tuple[timedelta, timedelta]:
        """The least and the most by which clocks are ahead of UTC about then."""
        offsets = [
            (wall + shift).replace(tzinfo=self._zone).utcoffset() or timedelta(0)
            for shift in (-_SHIFT, _SHIFT)
        ]
        return min(offsets), max(offsets)


def cron_trigger(line: str) -> CronTrigger:
    """The trigger for a cron line's wall-clock times, which it gives as if they were UTC.

    Raises:
        InvalidRequestError: the line cannot be read, or never fires.
    """
    minute, hour, day, month, weekday = line.split(" ")
    if day != "*" and weekday != "*":
        raise InvalidRequestError(
            f"cron: '{line}': give a day of the month or a weekday, not both."
        )
    try:
        trigger = CronTrigger(
            minute=minute,
            hour=hour,
            day=day,
            month=month,
            day_of_week=weekday_names(weekday),
            timezone=UTC,
            end_date=_END,
        )
    except ValueError as error:
        raise InvalidRequestError(
            f"cron: '{line}' is not a cron line ({error}); write minute hour day month weekday, "
            "for example '0 8 * * mon-fri'."
        ) from error
    if trigger.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise InvalidRequestError(f"cron: '{line}' names a day that never comes.")
    return trigger


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


def _every_hour(trigger: CronTrigger) -> bool:
    """Whether the hour field leaves no hour out, however it is written."""
    field = next(field for field in trigger.fields if field.name == "hour")
    day = [datetime(2000, 1, 1, hour, tzinfo=UTC) for hour in range(24)]
    return all(field.get_next_value(moment) == moment.hour for moment in day)
