"""iCalendar files become events; what cannot be used is refused, whoever wrote it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calendars import reader
from core.calendars.expansion import occurrences
from core.calendars.reader import Calendars, read_calendar
from core.errors import ConfigurationError
from tests.core.calendars.icalendar_files import calendar, event, written

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def read(folder: Path, text: str | bytes, timezone: str = "UTC") -> list[tuple[str, str, str]]:
    """Name, start and end in UTC of what is in November 2026."""
    found = read_calendar(written(folder, text), timezone, SINCE, UNTIL)
    return [(e.name, f"{e.starts:%d %H:%M}", f"{e.ends:%d %H:%M}") for e in found]


def test_an_event_has_a_name_a_start_and_an_end(tmp_path: Path) -> None:
    text = calendar(
        event("SUMMARY:Release\\, the\\n big one", "DTSTART:20261120T180000Z", "DURATION:PT90M"),
        event("SUMMARY:First", "DTSTART:20261102T000000Z", "DTEND:20261103T000000Z"),
        event("DTSTART:20261225T000000Z", "DTEND:20261226T000000Z"),
    )
    assert read(tmp_path, text) == [
        ("First", "02 00:00", "03 00:00"),
        ("Release, the big one", "20 18:00", "20 19:30"),
    ]


def test_days_and_times_without_a_zone_are_those_of_the_given_one(tmp_path: Path) -> None:
    text = calendar(
        event("SUMMARY:days", "DTSTART;VALUE=DATE:20261110", "DTEND;VALUE=DATE:20261112"),
        event("SUMMARY:day", "DTSTART;VALUE=DATE:20261120"),
        event("SUMMARY:time", "DTSTART:20261125T090000", "DTEND:20261125T170000"),
    )
    assert read(tmp_path, text, "Europe/Paris") == [
        ("days", "09 23:00", "11 23:00"),
        ("day", "19 23:00", "20 23:00"),
        ("time", "25 08:00", "25 16:00"),
    ]


def test_times_with_a_zone_keep_it(tmp_path: Path) -> None:
    tokyo = "TZID=Asia/Tokyo"
    text = calendar(
        event("SUMMARY:x", f"DTSTART;{tokyo}:20261110T090000", f"DTEND;{tokyo}:20261110T170000"),
    )
    assert read(tmp_path, text, "Europe/Paris") == [("x", "10 00:00", "10 08:00")]


def test_a_recurring_event_comes_each_time_but_for_its_exceptions(tmp_path: Path) -> None:
    paris = "TZID=Europe/Paris"
    weekly = [
        "SUMMARY:weekly",
        f"DTSTART;{paris}:20261006T100000",
        f"DTEND;{paris}:20261006T120000",
        "RRULE:FREQ=WEEKLY;UNTIL=20261125T000000Z",
        f"EXDATE;{paris}:20261110T100000",
    ]
    assert read(tmp_path, calendar(event(*weekly))) == [
        ("weekly", "03 09:00", "03 11:00"),
        ("weekly", "17 09:00", "17 11:00"),
        ("weekly", "24 09:00", "24 11:00"),
    ]


def test_what_is_cancelled_does_not_come_and_what_is_moved_comes_then(tmp_path: Path) -> None:
    series = ["DTSTART:20261101T100000Z", "DTEND:20261101T110000Z", "RRULE:FREQ=WEEKLY;COUNT=4"]
    text = calendar(event("SUMMARY:series", *series)).replace(
        "END:VCALENDAR\r\n",
        "BEGIN:VEVENT\r\nUID:SAME\r\nRECURRENCE-ID:20261108T100000Z\r\nSUMMARY:series\r\n"
        "STATUS:CANCELLED\r\nDTSTART:20261108T100000Z\r\nDTEND:20261108T110000Z\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nUID:SAME\r\nRECURRENCE-ID:20261115T100000Z\r\nSUMMARY:moved\r\n"
        "DTSTART:20261116T100000Z\r\nDTEND:20261116T180000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    )
    uid = text.split("UID:")[1].split("\r\n")[0]
    assert read(tmp_path, text.replace("UID:SAME", f"UID:{uid}")) == [
        ("series", "01 10:00", "01 11:00"),
        ("moved", "16 10:00", "16 18:00"),
        ("series", "22 10:00", "22 11:00"),
    ]


def test_an_end_that_comes_twice_is_the_later_one(tmp_path: Path) -> None:
    """On 2026-10-25 Paris has 02:00 to 03:00 twice: from 00:00 and again from 01:00 UTC."""
    text = calendar(event("SUMMARY:x", "DTSTART:20261025T023000", "DTEND:20261025T024500"))
    path = written(tmp_path, text)
    day = datetime(2026, 10, 25, tzinfo=UTC)
    (found,) = read_calendar(path, "Europe/Paris", day, day + timedelta(days=1))
    assert (found.starts, found.ends) == (
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 45, tzinfo=UTC),
    )


DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@settings(max_examples=60, deadline=None)
@given(
    first=st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    hour=st.integers(4, 23),
    hours=st.integers(1, 30),
    interval=st.integers(1, 3),
    days=st.none() | st.sets(st.sampled_from(range(7)), min_size=1),
    times=st.integers(1, 60),
    zone=st.sampled_from(["UTC", "Europe/Paris", "America/New_York"]),
)
def test_recurrence_agrees_with_walking_through_the_days(
    first: date, hour: int, hours: int, interval: int, days: set[int] | None, times: int, zone: str
) -> None:
    """The oracle knows weeks and days, and no recurrence rules."""
    own = first.weekday()
    chosen = {own} if days is None else days | {own}
    by = "" if days is None else ";BYDAY=" + ",".join(DAYS[day] for day in sorted(chosen))
    text = calendar(
        event(
            f"DTSTART;TZID={zone}:{first:%Y%m%d}T{hour:02}0000",
            f"DURATION:PT{hours}H",
            f"RRULE:FREQ=WEEKLY;INTERVAL={interval};COUNT={times}{by}",
        )
    )
    since = datetime(2026, 6, 1, tzinfo=UTC)
    until = datetime(2026, 9, 1, tzinfo=UTC)
    monday = first - timedelta(days=own)
    expected, come, day = [], 0, first
    while come < times:
        if day.weekday() in chosen and (day - monday).days // 7 % interval == 0:
            come += 1
            local = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone))
            start = local.astimezone(UTC)
            if start < until and start + timedelta(hours=hours) > since:
                expected.append(start)
        day += timedelta(days=1)
    found = occurrences(text.encode(), ZoneInfo("UTC"), since, until)
    assert sorted(datetime.fromisoformat(start) for _, start, _ in found) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "Invalid content line"),
        ("", "no components"),
        (b"\xff\xfe\x00\x01", "could not be parsed"),
        (event("SUMMARY:alone", "DTSTART:20261101T100000Z"), "has no VCALENDAR"),
        (calendar(event("SUMMARY:never")), "'never' has no DTSTART"),
        (calendar(event("SUMMARY:x", "DTSTART:2026")), "'x': DTSTART"),
        (
            calendar(event("SUMMARY:x", "DTSTART:20261101T100000Z", "RRULE:FREQ=SOMETIMES")),
            "'x': RRULE",
        ),
        (
            calendar(event("SUMMARY:x", "DTSTART;TZID=Mars/Base:20261101T100000")),
            "'x' is in 'Mars/Base', which is no known time zone",
        ),
        (
            calendar(
                event(
                    "SUMMARY:x",
                    "DTSTART:20261101T100000Z",
                    "RRULE:FREQ=DAILY",
                    "EXDATE;TZID=Mars/Base:20261102T100000",
                )
            ),
            "'x' is in 'Mars/Base'",
        ),
        (
            calendar(
                event("DTSTART:20261101T100000Z", "DURATION:PT1S", "RRULE:FREQ=MINUTELY"),
            ),
            "more than 20000 events",
        ),
        ("x" * 1024 * 1024 + "x", "larger than 1048576 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        read(tmp_path, text)
    assert "freeze.ics" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_file_that_is_not_there_or_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        read_calendar(tmp_path / "none.ics", "UTC", SINCE, UNTIL)
    with pytest.raises(ConfigurationError, match="is no file"):
        read_calendar(tmp_path, "UTC", SINCE, UNTIL)


def test_a_rule_that_takes_for_ever_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 30th of February, looked for on every day until the year 9999, a hundred times."""
    never = ["DTSTART:20200101T100000Z", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"]
    monkeypatch.setattr(reader, "_LONGEST_S", 2.0)
    with pytest.raises(ConfigurationError, match="take longer than 2 s; simplify them"):
        read(tmp_path, calendar(*(event(*never) for _ in range(100))))


async def test_a_file_is_read_again_when_it_has_changed_and_when_time_has_passed(
    tmp_path: Path,
) -> None:
    now = [datetime(2026, 11, 1, tzinfo=UTC)]
    calendars = Calendars(tmp_path, lambda: now[0])
    monthly = "RRULE:FREQ=MONTHLY"
    written(tmp_path, calendar(event("SUMMARY:a", "DTSTART:20261105T100000Z", monthly)), "in/a.ics")
    first = await calendars.around_now("in/a.ics", "UTC")
    assert [e.starts.month for e in first] == [11, 12]
    assert await calendars.around_now("in/a.ics", "UTC") is first, "not read again"
    now[0] += timedelta(days=31)
    later = await calendars.around_now("in/a.ics", "UTC")
    assert [(e.starts.year, e.starts.month) for e in later] == [(2026, 12), (2027, 1)]
    written(tmp_path, calendar(event("SUMMARY:b", "DTSTART:20261205T100000Z")), "in/a.ics")
    assert [e.name for e in await calendars.around_now("in/a.ics", "UTC")] == ["b"]
    (tmp_path / "in" / "a.ics").unlink()
    with pytest.raises(ConfigurationError, match=r"a\.ics"):
        await calendars.around_now("in/a.ics", "UTC")
