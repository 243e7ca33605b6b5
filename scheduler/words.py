"""Schedules in plain words, for people who add them and people who look at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from cron_descriptor import ExpressionDescriptor, FormatError

from core.automation import AISchedule, Misfire
from core.workflows.definition import spoken


def timing(schedule: AISchedule) -> str:
    """When: `At 06:00, only on Monday (Europe/Paris)`."""
    if schedule.cron is None:
        at = f"{schedule.at:%A} {schedule.at:%d %B %Y} at {schedule.at:%H:%M}"
        return f"Once, on {at} ({schedule.timezone})"
    try:
        words = ExpressionDescriptor(
            schedule.cron,
            use_24hour_time_format=True,
            day_of_week_start_index_zero=True,
            locale_code="en_US",
        ).get_description()
        if _daily(schedule.cron):
            words += ", every day"
    except FormatError:  # APScheduler knows a little more
        words = f"At the times of the cron line {schedule.cron}"
    return f"{words} ({schedule.timezone})"


def _daily(line: str) -> bool:
    """Whether nothing but the hour is said: then the day goes without saying, but not to all."""
    _, hour, *days = line.split(" ")
    return days == ["*"] * 3 and hour.isdecimal()


def manner(schedule: AISchedule) -> Iterator[str]:
    """How: what becomes of missed moments, and jitter where there is any."""
    if schedule.jitter:
        yield f"Each time later by up to {spoken(schedule.jitter)}, so that not all start at once."
    grace = spoken(schedule.misfire_grace)
    match schedule.misfire:
        case Misfire.SKIP:
            yield "What is missed while Countersign is down is not made up for."
        case Misfire.ONCE:
            yield (
                "Of what is missed while Countersign is down the last is made up for, "
                f"if it is no more than {grace} late."
            )
        case Misfire.ALL:
            yield (
                f"What is missed while Countersign is down is made up for, up to "
                f"{schedule.catch_up_limit} times, if it is no more than {grace} late."
            )


def shown(moment: datetime, now: datetime) -> str:
    """A moment in its own time zone: `Mon 30 Nov 2026 06:00 CET, in 4 days`."""
    return f"{moment:%a %d %b %Y %H:%M %Z}, {_from_now(moment - now)}"


def change_of_clocks(moments: Sequence[datetime]) -> str:
    """A sentence where clocks are changed between these moments of one zone; else nothing."""
    if len({moment.utcoffset() for moment in moments}) < 2:
        return ""
    return (
        "The clocks are changed in between: a time that comes twice counts once, one that is "
        "skipped comes as much later."
    )


def _from_now(ahead: timedelta) -> str:
    minutes = max(round(ahead / timedelta(minutes=1)), 0)
    for count, unit in ((minutes // 1440, "day"), (minutes // 60, "hour"), (minutes, "minute")):
        if count:
            return f"in {count} {unit}{'s' if count > 1 else ''}"
    return "now"
