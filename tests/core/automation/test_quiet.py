"""When a trigger is quiet: each day, each week, once; across midnight and changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.automation import AITrigger
from core.quiet import Quiet
from tests.core.automation.events import event

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = {"from": "22:00", "to": "07:00"}
HOLIDAYS = {"from": "2026-12-24 12:00", "to": "2026-12-27 08:00"}
WEEKEND = {"from": "Fri 18:00", "to": "Mon 07:00"}


def until(text: str, *windows: dict[str, str]) -> str | None:
    quiet = Quiet.model_validate({"windows": windows, "timezone": "Europe/Berlin"})
    end = quiet.until(datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC))
    return None if end is None else f"{end.astimezone(BERLIN):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("now", "windows", "end"),
    [
        ("2026-11-25 21:59", [NIGHT], None),
        ("2026-11-25 22:00", [NIGHT], "2026-11-26 07:00"),  # Wednesday
        ("2026-11-26 06:59", [NIGHT], "2026-11-26 07:00"),
        ("2026-11-26 07:00", [NIGHT], None),
        ("2026-11-29 23:00", [NIGHT], "2026-11-30 07:00"),  # from Sunday into Monday
        ("2026-11-25 12:30", [{"from": "12:00", "to": "13:00"}], "2026-11-25 13:00"),
        ("2026-11-28 12:00", [WEEKEND], "2026-11-30 07:00"),
        ("2026-11-27 17:00", [WEEKEND], None),
        # On a Thursday night one window ends where the next has not begun.
        ("2026-11-26 23:00", [NIGHT, WEEKEND], "2026-11-27 07:00"),
        # Windows that touch or overlap are one.
        ("2026-11-25 20:00", [{"from": "18:00", "to": "22:00"}, NIGHT], "2026-11-26 07:00"),
        ("2026-12-24 13:00", [HOLIDAYS], "2026-12-27 08:00"),
        # The night in which clocks go back is an hour longer, the other an hour shorter.
        ("2026-10-24 23:00", [NIGHT], "2026-10-25 07:00"),
        ("2026-03-28 23:00", [NIGHT], "2026-03-29 07:00"),
    ],
)
def test_quiet_hours_end(now: str, windows: list[dict[str, str]], end: str | None) -> None:
    assert until(now, *windows) == end


@pytest.mark.parametrize(
    "window",
    [
        {"from": "22:00", "to": "22:00"},
        {"from": "22:00", "to": "Mon 07:00"},
        {"from": "25:00", "to": "07:00"},
        {"from": "Xyz 10:00", "to": "Mon 07:00"},
        {"from": "10", "to": "12"},
        {"from": "2026-12-27 08:00", "to": "2026-12-24 12:00"},
    ],
)
def test_a_window_that_makes_no_sense_is_refused(window: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="windows"):
        Quiet.model_validate({"windows": [window]})


def test_windows_that_fill_every_hour_end_nowhere_near_and_take_no_time() -> None:
    always = [{"from": "00:00", "to": "12:00"}, {"from": "12:00", "to": "00:00"}]
    assert until("2026-11-25 10:00", *always) is not None


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"severity": "warning"}, True),
        ({"severity": "critical"}, False),
        ({}, True),  # it does not say how bad it is
    ],
)
def test_what_the_exception_names_is_told_at_once(fields: dict[str, Any], kept: bool) -> None:
    trigger = AITrigger.model_validate(
        {
            "id": "t",
            "integration": "alertmanager",
            "event": "alert.firing",
            "channel": "#ops",
            "quiet": {"windows": [NIGHT], "unless": "event.severity == 'critical'"},
        }
    )
    alert = event("e1", kind="alert.firing", **fields)
    night = datetime(2026, 11, 25, 23, tzinfo=UTC)
    assert (trigger.quiet_until(alert, night) is not None) is kept
    assert trigger.quiet_until(alert, datetime(2026, 11, 25, 12, tzinfo=UTC)) is None
