"""Schedules for tests, and books of them."""

from __future__ import annotations

from typing import Any

from core.automation import AISchedule
from core.schedules import ScheduleStore
from core.security.audit import AuditLog
from core.store.database import Database
from scheduler.book import ScheduleBook


def schedule(schedule_id: str, cron: str | None, **fields: Any) -> AISchedule:
    """A schedule that asks for a digest; `at` instead of a cron line where that is None."""
    return AISchedule.model_validate(
        {
            "id": schedule_id,
            "name": schedule_id.title(),
            "cron": cron,
            "channel": "#general",
            "assistant": "planner",
            "prompt": "What happened?",
            **fields,
        }
    )


def by_id(*schedules: AISchedule) -> dict[str, AISchedule]:
    return {one.id: one for one in schedules}


def store_of(database: Database) -> ScheduleStore:
    return ScheduleStore(database, AuditLog(database))


def book_of(database: Database, *schedules: AISchedule) -> ScheduleBook:
    """A book in whose configuration `schedules` are."""
    return ScheduleBook(by_id(*schedules), store_of(database))
