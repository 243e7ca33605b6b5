"""A program: an iCalendar file on standard input becomes its occurrences on standard output.

A recurrence rule can keep a processor busy for years, so rules are expanded in a process of its
own, which can be ended. It is run by its path and imports nothing of ours.

    python expansion.py TIMEZONE SINCE UNTIL < FILE

Times are ISO 8601. Exit code 0: standard output is a JSON list of `[name, start, end]`; else
standard error says what is wrong in one line.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

_MOST_EVENTS = 5000
_MOST_OCCURRENCES = 20_000
_MOST_MEMORY = 1 << 30
_LONGEST_NAME = 120


class _WrongError(Exception):
    """The file cannot be used; the message says why."""


def occurrences(
    data: bytes, timezone: ZoneInfo, since: datetime, until: datetime
) -> Iterator[tuple[str, str, str]]:
    """Name, start and end (UTC) of what happens between `since` and `until`.

    Args:
        timezone: of times and days that have none of their own.
    """
    calendar = icalendar.Calendar.from_ical(data)
    if not isinstance(calendar, icalendar.Calendar):
        raise _WrongError("it has no VCALENDAR")
    _check(calendar)
    found = recurring_ical_events.of(calendar).between(since, until)
    if len(found) > _MOST_OCCURRENCES:
        raise _WrongError(f"more than {_MOST_OCCURRENCES} events come in these weeks")
    for event in found:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        start = _moment(event["DTSTART"].dt, timezone, later=False)
        end = _moment(event["DTEND"].dt, timezone, later=True)
        name = " ".join(str(event.get("SUMMARY", "an event without a name")).split())
        yield name[:_LONGEST_NAME], start.isoformat(), end.isoformat()


def _check(calendar: icalendar.Calendar) -> None:
    """Refuse what the libraries would leave out or guess."""
    events = [part for part in calendar.walk() if part.name == "VEVENT"]
    if len(events) > _MOST_EVENTS:
        raise _WrongError(f"it has more than {_MOST_EVENTS} events")
    for event in events:
        name = str(event.get("SUMMARY", event.get("UID", "without a name")))[:_LONGEST_NAME]
        for field, problem in event.errors:
            raise _WrongError(f"the event '{name}': {field}: {problem}")
        if "DTSTART" not in event:
            raise _WrongError(f"the event '{name}' has no DTSTART")
        for zone in _unknown_zones(event):
            raise _WrongError(f"the event '{name}' is in '{zone}', which is no known time zone")


def _unknown_zones(event: icalendar.Component) -> Iterator[str]:
    """Time zones that the file names, and that the library has read over."""
    for field in ("DTSTART", "DTEND", "RECURRENCE-ID", "RDATE", "EXDATE"):
        values = event.get(field, [])
        for value in values if isinstance(values, list) else [values]:
            dates = getattr(value, "dts", [value])
            naive = any(isinstance(d.dt, datetime) and d.dt.tzinfo is None for d in dates)
            if naive and "TZID" in value.params:
                yield value.params["TZID"]


def _moment(value: date | datetime, timezone: ZoneInfo, *, later: bool) -> datetime:
    """A time of a calendar in UTC; one that comes twice is taken so that the event is longer."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone)
    both = [value.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
    return max(both) if later else min(both)


def _main(arguments: list[str]) -> int:
    with suppress(ValueError, OSError):  # not every system knows this limit
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    timezone, since, until = arguments
    try:
        found: list[Any] = list(
            occurrences(
                sys.stdin.buffer.read(),
                ZoneInfo(timezone),
                datetime.fromisoformat(since),
                datetime.fromisoformat(until),
            )
        )
    except (_WrongError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError) as error:
        sys.stderr.write(" ".join(str(error).split())[:500] or type(error).__name__)
        return 1
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
