"""What becomes of moments at which nothing ran: the policy, its grace and its limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler.cron import Calendar
from scheduler.misfires import due
from tests.scheduler.schedules import schedule

NOW = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def fires(
    cron: str,
    now: datetime = NOW,
    *,
    since: datetime = LONG_AGO,
    looked: datetime | None = None,
    **fields: Any,
) -> list[str]:
    one = schedule("often", cron, **fields)
    found = due(Calendar(one), one, since, looked, now)
    return [moment.strftime("%H:%M") for moment in found]


@pytest.mark.parametrize(
    ("policy", "limit", "expected"),
    [
        ("skip", 10, []),
        ("once", 10, ["08:00"]),
        ("all", 10, ["07:10", "07:20", "07:30", "07:40", "07:50", "08:00"]),
        ("all", 2, ["07:50", "08:00"]),
    ],
)
def test_after_an_hour_away(policy: str, limit: int, expected: list[str]) -> None:
    missed = fires("*/10 * * * *", misfire=policy, misfire_grace="1h", catch_up_limit=limit)
    assert missed == expected


@pytest.mark.parametrize("policy", ["skip", "once", "all"])
def test_what_is_late_by_less_than_a_minute_is_on_time(policy: str) -> None:
    now = NOW.replace(minute=0, second=59)
    assert fires("0 8 * * *", now, misfire=policy, misfire_grace="1s") == ["08:00"]


@pytest.mark.parametrize("policy", ["skip", "once"])
def test_a_moment_on_time_is_not_made_up_for_with_an_older_one(policy: str) -> None:
    now = NOW.replace(minute=0, second=5)
    assert fires("*/10 * * * *", now, misfire=policy, misfire_grace="1h") == ["08:00"]


@pytest.mark.parametrize(
    ("grace", "expected"),
    [("5m", ["08:00"]), ("6m", ["08:00"]), ("4m", []), ("1s", [])],
)
def test_what_was_missed_by_more_than_the_grace_is_over(grace: str, expected: list[str]) -> None:
    assert fires("0 8 * * *", misfire_grace=grace) == expected
    assert fires("0 8 * * *", misfire="all", misfire_grace=grace) == expected


def test_moments_before_the_schedule_counted_do_not_come() -> None:
    since = NOW.replace(minute=0, second=1)
    everything = {"misfire": "all", "misfire_grace": "1d"}
    assert fires("*/2 * * * *", since=since, **everything) == ["08:02", "08:04"]


def test_what_was_seen_to_does_not_come_again() -> None:
    looked = NOW.replace(minute=2)
    everything = {"misfire": "all", "misfire_grace": "1d"}
    assert fires("*/2 * * * *", looked=looked, **everything) == ["08:04"]
    assert fires("*/2 * * * *", looked=NOW, **everything) == []


def test_jitter_counts_from_the_delayed_moment() -> None:
    one = schedule("often", "0 8 * * *", jitter="1h", misfire_grace="1m")
    calendar = Calendar(one)
    planned = NOW.replace(minute=0)
    delayed = calendar.due_at(planned)
    assert delayed > planned + timedelta(minutes=1)

    def at(now: datetime) -> list[datetime]:
        return due(calendar, one, LONG_AGO, None, now)

    assert at(delayed - timedelta(seconds=1)) == []
    assert at(delayed) == [planned]
    assert at(delayed + timedelta(minutes=1)) == [planned]
    assert at(delayed + timedelta(minutes=2)) == []
