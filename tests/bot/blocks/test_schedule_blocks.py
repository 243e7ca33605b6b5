"""Schedules in Slack: whatever their texts hold, nobody is called and nothing is a link."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.blocks.schedules import schedule_details, schedule_list, schedule_preview
from core.automation import AISchedule
from core.schedules import ScheduleEntry
from scheduler.cron import Calendar
from tests.bot.blocks.inspection import assert_inert, shown
from tests.bot.blocks.samples import HOSTILE

NOW = datetime(2026, 10, 22, 12, tzinfo=UTC)


def schedule(**fields: Any) -> AISchedule:
    given = {
        "id": "nightly",
        "name": "Nightly",
        "cron": "30 2 * * *",
        "timezone": "Europe/Paris",
        "channel": "#deploys",
        "workflow": "prune-worktree",
        "with": {"repository": "shop"},
    }
    return AISchedule.model_validate(given | fields)


def entry(one: AISchedule, **fields: Any) -> ScheduleEntry:
    return ScheduleEntry(**{"schedule": one, "since": NOW, "paused": False} | fields)


def moments(one: AISchedule) -> list[datetime]:
    zone = ZoneInfo(one.timezone)
    return [moment.astimezone(zone) for moment in islice(Calendar(one).moments(NOW), 5)]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": HOSTILE[:120], "with": {"repository": HOSTILE}},
        {
            "name": HOSTILE[:120],
            "workflow": None,
            "with": {},
            "assistant": "planner",
            "prompt": HOSTILE,
        },
    ],
)
def test_hostile_texts_are_shown_and_never_live(fields: dict[str, Any]) -> None:
    one = schedule(**fields)
    coming = moments(one)
    for content in (
        schedule_list([(entry(one), coming[0])] * 60, NOW, "/ops"),
        schedule_details(entry(one, added_by="U0ALICE", paused=True), coming, NOW),
        schedule_preview(one, coming, NOW, "draft"),
    ):
        assert_inert(content.blocks, content.text)


def test_the_preview_says_when_clocks_are_changed_between_the_times() -> None:
    preview = schedule_preview(schedule(), moments(schedule()), NOW, "draft")
    assert "Sun 25 Oct 2026 02:30 CEST, in 2 days" in preview.text
    assert "Mon 26 Oct 2026 02:30 CET, in 3 days" in preview.text
    assert "a time that comes twice counts once" in preview.text
    quiet = schedule(timezone="UTC")
    assert "twice" not in schedule_preview(quiet, moments(quiet), NOW, "draft").text


def test_details_say_whether_it_is_paused_or_over_and_where_it_comes_from() -> None:
    one = schedule()
    paused = shown(schedule_details(entry(one, paused=True, changed_by="U0BOB"), [], NOW).blocks)
    assert "Paused" in paused
    assert "It stands in the configuration." in paused
    assert "Resume" in paused
    assert "Remove" not in paused
    over = shown(schedule_details(entry(one, added_by="U0ALICE"), [], NOW).blocks)
    assert "Over" in over
    assert "Remove" in over


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "At 02:30, every day (Europe/Paris)"),
        ({"cron": "*/15 * * * *"}, "Every 15 minutes (Europe/Paris)"),
        ({"cron": "0 8 * * 1-5"}, "At 08:00, Monday through Friday (Europe/Paris)"),
        ({"cron": "0 12 * * 7"}, "At 12:00, only on Sunday (Europe/Paris)"),
        ({"cron": "0 8 1 jan,jul *"}, "only in January and July (Europe/Paris)"),
        ({"cron": None, "at": "2026-12-01 22:00"}, "Once, on Tuesday 01 December 2026 at 22:00"),
    ],
)
def test_times_are_said_in_plain_words(fields: dict[str, Any], words: str) -> None:
    one = schedule(**fields)
    assert words in schedule_preview(one, moments(one), NOW, "draft").text


def test_an_empty_list_says_how_to_add_one() -> None:
    assert "`/ops help schedules` shows how to add one" in schedule_list([], NOW, "/ops").text
