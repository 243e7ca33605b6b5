"""Cron lines mean what crontab(5) says, in the schedule's time zone, daylight saving included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest

from core.automation import AISchedule
from core.errors import InvalidRequestError
from scheduler.cron import Calendar, weekday_names
from tests.scheduler.oracle import CHANGES, HOURS, expected, samples
from tests.scheduler.schedules import schedule

PARIS = "Europe/Paris"


def moments(cron: str, zone: str, start: str, hours: float = 30) -> list[str]:
    """The planned moments in UTC of some hours from local `start` on."""
    calendar = Calendar(schedule("digest", cron, timezone=zone))
    begin = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    end = begin.astimezone(UTC) + timedelta(hours=hours)
    found = takewhile(lambda moment: moment < end, calendar.moments(begin))
    return [moment.strftime("%m-%d %H:%M") for moment in found]


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon,tue,wed,thu,fri"),
        ("5-7", "fri,sat,sun"),
        ("*/2", "sun,tue,thu,sat"),
        ("1,3", "mon,wed"),
        ("mon-fri", "mon-fri"),
        ("*", "*"),
    ],
)
def test_weekday_numbers_are_crontabs(field: str, names: str) -> None:
    assert weekday_names(field) == names


def test_a_weekday_line_fires_on_that_day() -> None:
    sunday_noon = Calendar(schedule("digest", "0 12 * * 0"))
    first = next(sunday_noon.moments(datetime(2026, 11, 24, tzinfo=UTC)))
    assert first == datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("61 * * * *", "is not a cron line"),
        ("* * * * 8", "is not a cron line"),
        ("0 12 * * 5-1", "runs backwards"),
        ("a b * * *", "is not a cron line"),
        ("0 12 1 * 1", "a day of the month or a weekday, not both"),
        ("0 0 30 2 *", "names a day that never comes"),
        ("0 0 31 2,4,6 *", "names a day that never comes"),
    ],
)
def test_a_wrong_line_is_refused_with_what_is_wrong(cron: str, why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why):
        Calendar(schedule("digest", cron))


def test_a_rare_day_is_found() -> None:
    leap = Calendar(schedule("digest", "0 0 29 2 *"))
    found = islice(leap.moments(datetime(2026, 11, 24, tzinfo=UTC)), 2)
    assert [moment.year for moment in found] == [2028, 2032]


@pytest.mark.parametrize(
    ("cron", "found"),
    [
        ("30 2 * * *", ["10-25 00:30", "10-26 01:30"]),
        ("30 */2 * * *", ["10-24 22:30", "10-25 00:30", "10-25 03:30", "10-25 05:30"]),
        ("0,30 2 * * *", ["10-25 00:00", "10-25 00:30", "10-26 01:00", "10-26 01:30"]),
    ],
)
def test_when_clocks_go_back_a_time_that_comes_twice_is_the_first(
    cron: str, found: list[str]
) -> None:
    """On 2026-10-25 Paris has the hour from 02:00 twice."""
    assert moments(cron, PARIS, "2026-10-25")[: len(found)] == found


@pytest.mark.parametrize(
    ("cron", "found"),
    [
        ("30 2 * * *", ["03-29 01:30", "03-30 00:30"]),
        ("30 3 * * *", ["03-29 01:30", "03-30 01:30"]),
        ("15 1-3 * * *", ["03-29 00:15", "03-29 01:15", "03-29 23:15"]),
        ("45 2,3 * * *", ["03-29 01:45", "03-30 00:45", "03-30 01:45"]),
    ],
)
def test_when_clocks_go_forward_a_skipped_time_comes_as_much_later(
    cron: str, found: list[str]
) -> None:
    """On 2026-03-29 Paris has no hour from 02:00; what two times name comes once."""
    assert moments(cron, PARIS, "2026-03-29")[: len(found)] == found


@pytest.mark.parametrize("cron", ["0 * * * *", "0 */1 * * *", "0 0-23 * * *"])
@pytest.mark.parametrize(("day", "hours"), [("2026-10-25", 25), ("2026-03-29", 23)])
def test_a_line_for_every_hour_follows_the_time_that_passes(
    cron: str, day: str, hours: int
) -> None:
    found = moments(cron, PARIS, day, hours)
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(PARIS)).astimezone(UTC)
    expected = [start + timedelta(hours=hour) for hour in range(hours)]
    assert found == [moment.strftime("%m-%d %H:%M") for moment in expected]


def test_clocks_that_are_changed_by_half_an_hour() -> None:
    """Lord Howe goes back from 02:00 to 01:30 on 2026-04-05, and from 02:00 to 02:30 on 10-04."""
    island = "Australia/Lord_Howe"
    assert moments("45 1 * * *", island, "2026-04-05", 10) == ["04-04 14:45"]
    assert moments("45 * * * *", island, "2026-04-05", 4) == [
        "04-04 13:45",
        "04-04 14:45",
        "04-04 15:15",  # 01:45 for the second time
        "04-04 16:15",
    ]
    assert moments("15 2 * * *", island, "2026-10-04", 10) == ["10-03 15:45"]


@pytest.mark.parametrize(("begin", "zones"), CHANGES)
@pytest.mark.parametrize("seed", range(3))
def test_lines_of_every_kind_mean_what_other_libraries_make_of_them(
    begin: str, zones: list[str], seed: int
) -> None:
    start = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    end = start + timedelta(hours=2 * HOURS)
    for sample in samples(200, zones, start, seed):
        one = AISchedule.model_validate(sample.fields)
        found = list(takewhile(lambda moment: moment <= end, Calendar(one).moments(start)))
        assert found == sorted(expected(sample, start, end)), sample


def test_a_single_moment_is_what_the_clock_of_its_zone_shows() -> None:
    once = Calendar(schedule("once", None, at="2026-12-01 22:00", timezone=PARIS))
    moment = datetime(2026, 12, 1, 21, tzinfo=UTC)
    assert list(once.moments(moment - timedelta(days=300))) == [moment]
    assert list(once.moments(moment)) == [moment]
    assert list(once.moments(moment + timedelta(seconds=1))) == []
    assert once.next_due(moment, moment) is None


def test_jitter_is_drawn_for_each_moment_and_is_the_same_everywhere() -> None:
    start = datetime(2026, 11, 24, tzinfo=UTC)
    late = timedelta(minutes=5)
    one, same, other = (
        Calendar(schedule(name, "0 * * * *", jitter="5m")) for name in ("one", "one", "other")
    )
    hours = [start + timedelta(hours=hour) for hour in range(200)]
    delays = [one.due_at(hour) - hour for hour in hours]
    assert delays == [same.due_at(hour) - hour for hour in hours]
    assert delays != [other.due_at(hour) - hour for hour in hours]
    assert all(timedelta(0) <= delay <= late for delay in delays)
    assert min(delays) < late / 10
    assert max(delays) > late * 0.9


def test_jitter_that_is_longer_than_the_interval_loses_no_moment() -> None:
    often = Calendar(schedule("often", "*/5 * * * *", jitter="30m"))
    start = datetime(2026, 11, 24, tzinfo=UTC)
    end = start + timedelta(hours=6)
    fired: list[datetime] = []
    now = start - timedelta(seconds=1)
    while (due := often.next_due(start, now)) is not None and due <= end:
        fired += often.planned(start, now, due)
        now = due
    every = [start + timedelta(minutes=5 * number) for number in range(73)]
    assert sorted(fired) == [moment for moment in every if often.due_at(moment) <= end]
    assert len(fired) == len(set(fired)) > 60
    assert fired != sorted(fired)
