"""A thousand schedules, and when each must fire: found without any of our code.

Cron lines are read by croniter, changes of clocks by dateutil. Where a clock is changed, RFC 5545
says what a wall-clock time means: one that comes twice is the first, one that is skipped is as
much later. A line for every hour instead follows the time that passes: it fires at each minute
at which a clock on the wall shows one of its times.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from croniter import croniter
from dateutil import tz

EUROPE = ["Europe/Paris", "Europe/London", "Europe/Athens", "Atlantic/Azores", "UTC", "Asia/Tokyo"]
AMERICA = ["America/New_York", "America/Chicago", "America/St_Johns", "America/Phoenix", "UTC"]
PACIFIC = ["Australia/Sydney", "Australia/Lord_Howe", "Pacific/Auckland", "Asia/Kolkata"]
CHANGES = [
    pytest.param("2026-10-24T22:30:30", EUROPE, id="europe-back"),
    pytest.param("2026-03-28T22:30:30", EUROPE, id="europe-forward"),
    pytest.param("2026-11-01T03:30:30", AMERICA, id="america-back"),
    pytest.param("2026-10-03T13:30:30", PACIFIC, id="pacific-forward"),
]
"""Shortly before clocks are changed, in UTC, and zones of which some change them then."""
HOURS = 4
"""That long after it they have all been changed."""
MOST_JITTER = timedelta(minutes=10)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Sample:
    """A schedule's fields, and whether its line is one for every hour."""

    fields: dict[str, Any]
    hourly: bool

    @property
    def id(self) -> str:
        return str(self.fields["id"])


def samples(count: int, zones: list[str], start: datetime, seed: int) -> list[Sample]:
    """Schedules of all kinds, most of them about the hours after `start`."""
    draw = random.Random(seed)
    return [_sample(number, draw, zones, start) for number in range(count)]


def expected(sample: Sample, start: datetime, end: datetime) -> set[datetime]:
    """The moments from `start` to `end` at which it must fire."""
    zone = tz.gettz(sample.fields["timezone"])
    assert zone is not None
    local = start.astimezone(zone).replace(tzinfo=None)
    walls = set(_walls(sample.fields, local - _DAY, local + (end - start) + _DAY))
    if sample.hourly:
        minute = start.replace(second=0, microsecond=0)
        minutes = (minute + timedelta(minutes=n) for n in range((end - minute) // _MINUTE + 1))
        found = {m for m in minutes if m.astimezone(zone).replace(tzinfo=None) in walls}
    else:
        found = {tz.resolve_imaginary(wall.replace(tzinfo=zone)).astimezone(UTC) for wall in walls}
    return {moment for moment in found if start <= moment <= end}


_MINUTE = timedelta(minutes=1)


def _walls(fields: dict[str, Any], start: datetime, end: datetime) -> Iterator[datetime]:
    if "at" in fields:
        yield datetime.fromisoformat(fields["at"])
        return
    lines = croniter(fields["cron"], start - _MINUTE)
    while (wall := lines.get_next(datetime)) <= end:
        yield wall


def _sample(number: int, draw: random.Random, zones: list[str], start: datetime) -> Sample:
    zone = draw.choice(zones)
    local = start.astimezone(tz.gettz(zone)).replace(tzinfo=None)
    minute = draw.choice([0, 0, 15, 30, draw.randrange(60)])
    about = local + timedelta(hours=draw.randrange(HOURS))
    hour = about.hour
    lines = {
        "daily": f"{minute} {hour} * * *",
        "weekly": f"{minute} {hour} * * {draw.choice(['sun', '0', '7', 'mon-fri', 'sat,sun'])}",
        "monthly": f"{minute} {hour} {about.day} * *",
        "range": f"{minute} {min(hour, 20)}-{min(hour, 20) + 3} * * *",
        "list": f"0,{draw.randrange(1, 60)} {hour},{(hour + 1) % 24} * * *",
        "second hour": f"{minute} */2 * * *",
        "hourly": f"{minute} * * * *",
        "often": f"*/{draw.choice([20, 30])} * * * *",
        "every minute": "* * * * *",
    }
    shares = [260, 90, 60, 120, 120, 120, 120, 28, 2]
    kind = draw.choices([*lines, "once"], [*shares, 80])[0]
    fields: dict[str, Any] = {
        "id": f"s{number}",
        "name": f"{kind} {number}",
        "timezone": zone,
        "channel": "#general",
        "assistant": "planner",
        "prompt": "What happened?",
        "misfire": draw.choice(["skip", "once", "all"]),
    }
    if kind == "once":
        fields["at"] = about.replace(minute=minute, second=0, microsecond=0).isoformat()
    else:
        fields["cron"] = lines[kind]
    if draw.random() < 0.2:
        fields["jitter"] = f"{draw.randrange(1, MOST_JITTER.seconds)}s"
    if draw.random() < 0.02:
        fields["paused"] = True
    return Sample(fields, hourly=kind in {"hourly", "often", "every minute"})
