"""A persisted firing reaches its schedule, as who added it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from core.automation import AISchedule
from core.errors import NotFoundError
from core.store.database import Database
from core.store.inbox import SqlInbox
from scheduler.book import ScheduleBook
from scheduler.clock import SOURCE, Clock
from scheduler.handler import FiringHandler
from tests.scheduler.schedules import by_id, schedule, store_of

NOW = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)


class Firings:
    """What the handler passes on."""

    def __init__(self) -> None:
        self.fired: list[tuple[str, datetime, str | None]] = []

    async def fire(self, schedule: AISchedule, at: datetime, requester: str | None) -> None:
        self.fired.append((schedule.id, at, requester))


async def test_a_persisted_firing_reaches_its_schedule_as_who_added_it(
    database: Database,
) -> None:
    daily, added = schedule("daily", "0 8 * * *"), schedule("added", "0 8 * * *")
    store, inbox = store_of(database), SqlInbox(database, "test")
    await store.note([daily], NOW - timedelta(days=30))
    await store.add(added, "U0ALICE", None, NOW - timedelta(days=30))
    with time_machine.travel(NOW, tick=False):
        clock = Clock(ScheduleBook(by_id(daily), store), inbox)
        await clock.start()
        clock.close()
        deliveries = await inbox.claim(10, [SOURCE])
    service = Firings()
    handler = FiringHandler(ScheduleBook(by_id(daily), store), service)  # type: ignore[arg-type]
    for delivery in deliveries:
        await handler(delivery)
    moment = NOW.replace(minute=0)
    assert sorted(service.fired) == [("added", moment, "U0ALICE"), ("daily", moment, None)]

    await store.remove("added", "U0ALICE", NOW)
    fired = next(one for one in deliveries if one.key.startswith("added:"))
    with pytest.raises(NotFoundError, match="There is no schedule 'added'"):
        await handler(fired)
    assert len(service.fired) == 2
