"""Cron lines mean what crontab(5) says, in the schedule's time zone, daylight saving included."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest

from core.automation import AISchedule
from core.errors import ConfigurationError
from scheduler.cron import cron_trigger, firing_moment, last_before, moments, weekday_names


def schedule(cron: str, timezone: str = "UTC") -> AISchedule:
    return AISchedule(
        id="digest",
        name="Digest",
        cron=cron,
        timezone=timezone,
        channel="#general",
        assistant="planner",
        prompt="What happened?",
    )


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
    sunday_noon = cron_trigger(schedule("0 12 * * 0"))
    moment = sunday_noon.get_next_fire_time(None, datetime(2026, 11, 24, tzinfo=UTC))
    assert moment == datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "cron", ["61 * * * *", "* * * * 8", "0 12 * * 5-1", "a b c d e", "0 12 1 * 1"]
)
def test_a_wrong_line_names_the_file_and_the_mend(cron: str) -> None:
    with pytest.raises(ConfigurationError, match=r"schedules/digest\.yaml: cron"):
        cron_trigger(schedule(cron))


def firings(cron: str, start: datetime, days: int) -> list[str]:
    """The distinct firings of a stretch of days in Paris."""
    paris = schedule(cron, "Europe/Paris")
    end = start.astimezone(UTC) + timedelta(hours=days * 25)
    planned = takewhile(lambda moment: moment < end, moments(cron_trigger(paris), start))
    return list(dict.fromkeys(firing_moment(paris, moment) for moment in planned))


def test_when_clocks_go_back_a_fixed_hour_fires_once_and_a_wildcard_follows_time() -> None:
    """On 2026-10-25 Paris has the hour from 02:00 twice."""
    start = datetime(2026, 10, 25, tzinfo=ZoneInfo("Europe/Paris"))
    assert firings("30 2 * * *", start, 1) == ["2026-10-25T00:30:00+00:00"]
    assert len(firings("0 * * * *", start, 1)) == 25


def test_when_clocks_go_forward_a_skipped_time_still_fires_once() -> None:
    """On 2026-03-29 Paris has no hour from 02:00."""
    start = datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Paris"))
    assert len(firings("30 2 * * *", start, 1)) == 1
    assert len(firings("0 * * * *", start, 1)) == 25, "wall-clock gaps do not stop the hours"


def test_the_last_planned_moment_is_found_within_the_grace_only() -> None:
    trigger = cron_trigger(schedule("0 8 * * *"))
    now = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)
    assert last_before(trigger, now, timedelta(minutes=10)) == now.replace(minute=0)
    assert last_before(trigger, now, timedelta(minutes=4)) is None
