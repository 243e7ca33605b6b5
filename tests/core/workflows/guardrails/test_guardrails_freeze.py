"""Freeze windows: times in which nothing may run, in the team's own time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.calendars.reader import CalendarEvent
from core.errors import ConfigurationError
from core.workflows.guardrails import Freeze, GuardrailState
from core.workflows.guardrails.freeze import FreezeWindow
from tests.core.workflows.guardrails.situations import (
    ToldWorld,
    guardrail,
    judged,
    situation,
)

PARIS = ZoneInfo("Europe/Paris")


def window(starts: str, ends: str, timezone: str = "UTC") -> FreezeWindow:
    return FreezeWindow.model_validate(
        {"name": "quiet", "from": starts, "to": ends, "timezone": timezone}
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def frozen(quiet: FreezeWindow, moment: datetime) -> bool:
    return quiet.end_if_inside(moment) is not None


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-20 15:59:59", False),  # a Friday
        ("2026-11-20 16:00:00", True),
        ("2026-11-21 03:00:00", True),
        ("2026-11-22 23:59:59", True),
        ("2026-11-23 00:00:00", True),  # across the border of the week
        ("2026-11-23 07:59:59", True),
        ("2026-11-23 08:00:00", False),
        ("2026-11-25 12:00:00", False),
    ],
)
def test_a_weekly_window_goes_across_the_border_of_the_week(moment: str, inside: bool) -> None:
    weekend = window("Fri 16:00", "Mon 08:00")
    assert frozen(weekend, utc(moment)) is inside
    if inside:
        assert weekend.end_if_inside(utc(moment)) == utc("2026-11-23 08:00")


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-25 08:59", False),  # a Wednesday
        ("2026-11-25 09:00", True),
        ("2026-11-25 16:59", True),
        ("2026-11-25 17:00", False),
        ("2026-11-26 10:00", False),
    ],
)
def test_a_weekly_window_within_one_day(moment: str, inside: bool) -> None:
    assert frozen(window("Wed 09:00", "Wed 17:00"), utc(moment)) is inside


def test_a_weekly_window_that_ends_earlier_on_its_own_day_lasts_almost_a_week() -> None:
    quiet = window("Wed 17:00", "Wed 09:00")
    assert not frozen(quiet, utc("2026-11-25 12:00"))
    assert quiet.end_if_inside(utc("2026-11-25 08:00")) == utc("2026-11-25 09:00")
    assert quiet.end_if_inside(utc("2026-11-25 18:00")) == utc("2026-12-02 09:00")


def test_a_window_between_two_dates_holds_once() -> None:
    holidays = window("2026-12-19 00:00", "2027-01-04 08:00")
    assert not frozen(holidays, utc("2026-12-18 23:59"))
    assert holidays.end_if_inside(utc("2026-12-19 00:00")) == utc("2027-01-04 08:00")
    assert not frozen(holidays, utc("2027-01-04 08:00"))
    assert not frozen(holidays, utc("2027-12-24 00:00"))


def test_times_are_those_of_the_windows_time_zone() -> None:
    nine_to_five = window("Wed 09:00", "Wed 17:00", "Asia/Tokyo")
    assert frozen(nine_to_five, utc("2026-11-25 00:00"))
    assert not frozen(nine_to_five, utc("2026-11-25 08:00"))
    early_monday = window("Mon 00:00", "Mon 06:00", "Pacific/Auckland")
    assert frozen(early_monday, utc("2026-11-22 12:00")), "still Sunday in UTC"


def test_a_weekly_window_keeps_to_the_wall_clock_when_clocks_change() -> None:
    """Paris: forward on Sunday 2026-03-29 at 02:00, back on Sunday 2026-10-25 at 03:00."""
    weekend = window("Fri 16:00", "Mon 08:00", "Europe/Paris")
    assert weekend.end_if_inside(utc("2026-03-29 12:00")) == utc("2026-03-30 06:00")
    assert frozen(weekend, utc("2026-03-27 15:00"))
    assert not frozen(weekend, utc("2026-03-27 14:59"))
    assert weekend.end_if_inside(utc("2026-10-25 12:00")) == utc("2026-10-26 07:00")
    assert frozen(weekend, utc("2026-10-23 14:00"))


@pytest.mark.parametrize("day", ["Sun", "2026-10-25"])
def test_an_hour_that_comes_twice_leaves_no_hole(day: str) -> None:
    """On 2026-10-25 Paris has 02:00 to 03:00 twice: from 00:00 and again from 01:00 UTC."""
    starts = window(f"{day} 02:30", f"{day} 06:00", "Europe/Paris")
    first = utc("2026-10-25 00:30")
    moments = [first + timedelta(minutes=10 * step) for step in range(27)]
    assert not frozen(starts, first - timedelta(minutes=1))
    assert all(frozen(starts, moment) for moment in moments)
    assert not frozen(starts, utc("2026-10-25 05:00"))

    ends = window(f"{day} 00:00", f"{day} 02:30", "Europe/Paris")
    assert frozen(ends, utc("2026-10-25 01:29")), "until the later 02:30"
    assert not frozen(ends, utc("2026-10-25 01:30"))


@pytest.mark.parametrize("day", ["Sun", "2026-03-29"])
def test_a_time_that_is_skipped_is_frozen_rather_too_long(day: str) -> None:
    """On 2026-03-29 Paris goes from 02:00 to 03:00 at 01:00 UTC."""
    starts = window(f"{day} 02:30", f"{day} 06:00", "Europe/Paris")
    assert frozen(starts, utc("2026-03-29 01:00"))
    assert not frozen(starts, utc("2026-03-29 04:00"))
    ends = window(f"{day} 00:00", f"{day} 02:30", "Europe/Paris")
    assert frozen(ends, utc("2026-03-29 00:59"))
    assert not frozen(ends, utc("2026-03-29 02:00"))


days = st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
clock = st.tuples(st.integers(0, 23), st.integers(0, 59))


@given(days, clock, days, clock, st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1)))  # noqa: DTZ001
def test_a_weekly_window_agrees_with_counting_minutes_of_the_week(
    start_day: str, start: tuple[int, int], end_day: str, end: tuple[int, int], moment: datetime
) -> None:
    names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    begin = (names.index(start_day) * 24 + start[0]) * 60 + start[1]
    finish = (names.index(end_day) * 24 + end[0]) * 60 + end[1]
    length = (finish - begin) % (7 * 24 * 60) or 7 * 24 * 60
    minute = (moment.weekday() * 24 + moment.hour) * 60 + moment.minute
    quiet = window(f"{start_day} {start[0]:02}:{start[1]:02}", f"{end_day} {end[0]:02}:{end[1]:02}")
    inside = (minute - begin) % (7 * 24 * 60) < length
    ends_at = quiet.end_if_inside(moment.replace(tzinfo=UTC))
    assert (ends_at is not None) is inside
    if ends_at is not None:
        assert ends_at > moment.replace(tzinfo=UTC)
        assert not frozen(quiet, ends_at) or length == 7 * 24 * 60


ZONES = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]


def labels(zone: ZoneInfo, monday: date) -> dict[str, list[datetime]]:
    """Every moment (UTC) at which a clock in `zone` shows each minute from a week before
    `monday` to a fortnight on. Found by walking through the minutes, so that one that comes twice
    is there twice, and one that is skipped is not."""
    start = datetime.combine(monday, time(), tzinfo=UTC) - timedelta(days=9)
    shown: dict[str, list[datetime]] = {}
    for minute in range(26 * 24 * 60):
        moment = start + timedelta(minutes=minute)
        shown.setdefault(f"{moment.astimezone(zone):%Y-%m-%d %H:%M}", []).append(moment)
    return shown


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.dates(date(2025, 1, 1), date(2027, 12, 1)),
    st.tuples(st.integers(0, 6), clock),
    st.tuples(st.integers(0, 6), clock),
    st.integers(0, 7 * 24 * 60 - 1),
)
def test_a_weekly_window_agrees_with_a_clock_on_the_wall_in_every_zone(
    zone_name: str,
    day: date,
    start: tuple[int, tuple[int, int]],
    end: tuple[int, tuple[int, int]],
    minute: int,
) -> None:
    """The oracle looks at what a clock shows, minute by minute, over three weeks; it says nothing
    where a window begins or ends at a time that comes twice or never."""
    zone, names = ZoneInfo(zone_name), ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    monday = day - timedelta(days=day.weekday())
    shown = labels(zone, monday)
    quiet = window(
        f"{names[start[0]]} {start[1][0]:02}:{start[1][1]:02}",
        f"{names[end[0]]} {end[1][0]:02}:{end[1][1]:02}",
        zone_name,
    )
    begin, finish = start[0] * 1440 + start[1][0] * 60 + start[1][1], end[0] * 1440
    finish += end[1][0] * 60 + end[1][1]
    length = (finish - begin) % (7 * 1440) or 7 * 1440

    def wall(minutes: int) -> list[datetime]:
        label = datetime.combine(monday, time()) + timedelta(minutes=minutes)
        return shown.get(f"{label:%Y-%m-%d %H:%M}", [])

    windows = [(wall(begin + week), wall(begin + week + length)) for week in (-7 * 1440, 0)]
    assume(all(len(first) == len(last) == 1 for first, last in windows))
    now = datetime.combine(monday, time(), tzinfo=zone).astimezone(UTC) + timedelta(minutes=minute)
    inside = any(first[0] <= now < last[0] for first, last in windows)
    assert frozen(quiet, now) is inside


@pytest.mark.parametrize(
    ("starts", "ends", "timezone", "says"),
    [
        ("Fry 16:00", "Mon 08:00", "UTC", "'Fry' is no day; write Mon, Tue, Wed"),
        ("Fri 16:00", "2026-12-20 08:00", "UTC", "both be weekly"),
        ("2026-12-20 08:00", "Fri 16:00", "UTC", "both be weekly"),
        ("2026-12-20 08:00", "2026-12-19 08:00", "UTC", "'to' must be after 'from'"),
        ("2026-12-20 08:00", "2026-12-20 08:00", "UTC", "'to' must be after 'from'"),
        ("Fre 16:00", "Mon 08:00", "UTC", "Fre"),
        ("Fri 25:00", "Mon 08:00", "UTC", "hour"),
        ("Fri 16:00", "Mon 08:61", "UTC", "minute"),
        ("2026-02-30 08:00", "2026-03-01 08:00", "UTC", "day"),
        ("Friday 16:00", "Mon 08:00", "UTC", "match"),
        ("Fri 16:00", "Mon 08:00", "Mars/Base", "'Mars/Base' is not a time zone"),
        ("Fri 16:00", "Mon 08:00", "../../etc/passwd", "is not a time zone"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(
    starts: str, ends: str, timezone: str, says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        window(starts, ends, timezone)


def test_the_guardrail_says_which_window_and_until_when() -> None:
    freeze = Freeze(
        windows=(
            window("2026-12-19 00:00", "2027-01-04 08:00", "Europe/Paris"),
            window("Fri 16:00", "Mon 08:00", "Europe/Paris"),
        )
    )

    def evaluate(now: datetime) -> tuple[GuardrailState, str]:
        result = freeze.evaluate(situation(now=now))
        return result.state, result.evidence

    assert evaluate(datetime(2026, 11, 25, 12, tzinfo=PARIS)) == (
        GuardrailState.MET,
        "No freeze now.",
    )
    assert evaluate(datetime(2026, 11, 28, 12, tzinfo=PARIS)) == (
        GuardrailState.BLOCKED,
        "quiet until Mon 2026-11-30 08:00 CET.",
    )


def calendar_event(name: str, starts: str, ends: str) -> CalendarEvent:
    return CalendarEvent(name=name, starts=utc(starts), ends=utc(ends))


EVENTS = (
    calendar_event("Change freeze: sale", "2026-11-25 10:00", "2026-11-25 14:00"),
    calendar_event("Offsite", "2026-11-25 11:00", "2026-11-25 16:00"),
    calendar_event("change FREEZE: audit", "2026-12-01 00:00", "2026-12-02 00:00"),
)


async def test_nothing_runs_during_an_event_of_the_calendar() -> None:
    freeze = guardrail("freeze", calendar="calendars/ops.ics", timezone="Europe/Paris")
    world = ToldWorld(events=EVENTS)
    inside = await judged(freeze, world, situation())
    assert (inside.state, inside.evidence) == (
        GuardrailState.BLOCKED,
        "Offsite until Wed 2026-11-25 17:00 CET.",
    )
    assert world.asked == [("calendars/ops.ics", "Europe/Paris")]
    for moment, state in (("2026-11-25 16:00", "met"), ("2026-12-01 00:00", "blocked")):
        assert (await judged(freeze, world, situation(now=utc(moment)))).state == state


async def test_only_events_with_a_text_in_their_title_can_be_meant() -> None:
    freeze = guardrail("freeze", calendar="ops.ics", only="Change freeze")
    world = ToldWorld(events=EVENTS)
    assert (await judged(freeze, world, situation())).evidence.startswith("Change freeze: sale")
    for moment, state in (("2026-11-25 15:00", "met"), ("2026-12-01 00:00", "blocked")):
        assert (await judged(freeze, world, situation(now=utc(moment)))).state == state


async def test_a_calendar_that_cannot_be_read_lets_nothing_begin() -> None:
    freeze = guardrail("freeze", calendar="ops.ics")
    broken = ToldWorld(events=ConfigurationError("ops.ics: there is no such file."))
    result = await judged(freeze, broken, situation())
    assert (result.state, result.evidence) == (
        GuardrailState.WAITING,
        "ops.ics: there is no such file.",
    )
    assert freeze.evaluate(situation()).state is GuardrailState.WAITING, "nobody has looked"


async def test_windows_and_a_calendar_hold_together() -> None:
    noon = {"name": "noon", "from": "Wed 11:00", "to": "Wed 13:00"}
    freeze = guardrail("freeze", calendar="ops.ics", windows=[noon])
    assert (await judged(freeze, ToldWorld(), situation())).evidence.startswith("noon until")
    world = ToldWorld(events=EVENTS)
    later = await judged(freeze, world, situation(now=utc("2026-11-25 15:00")))
    assert later.evidence.startswith("Offsite until")
    assert freeze.describe() == (
        "Outside the freeze noon (Wed 11:00 to Wed 13:00 UTC), all events of ops.ics"
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "give 'windows', or a 'calendar'"),
        ({"calendar": "../secrets.ics"}, "match"),
        ({"calendar": "/etc/passwd"}, "match"),
        ({"calendar": "a/../../b.ics"}, "match"),
        ({"calendar": "ops.yaml"}, "match"),
        ({"calendar": "ops.ics", "timezone": "Mars/Base"}, "is not a time zone"),
        ({"windows": [], "only": "x"}, "give 'windows'"),
        (
            {"windows": [{"name": "x", "from": "Mon 00:00", "to": "Tue 00:00"}], "only": "x"},
            "are about a 'calendar'",
        ),
    ],
)
def test_a_freeze_that_makes_no_sense_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        guardrail("freeze", **fields)
