"""The clock: a planned moment is one firing, whoever fires it and whatever was off meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apscheduler.triggers.interval import IntervalTrigger

from core.automation import AISchedule
from core.errors import ConfigurationError, NotFoundError
from core.inbox import Delivery
from core.store.database import Database
from core.store.inbox import SqlInbox
from scheduler.clock import SOURCE, Clock, FiringHandler
from tests.support.until import until

NOW = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)  # a Tuesday


def schedule(schedule_id: str, cron: str, **fields: Any) -> AISchedule:
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


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[SqlInbox]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'clock.db'}")
    await database.open()
    yield SqlInbox(database)
    await database.close()


async def firings(inbox: SqlInbox) -> list[Delivery]:
    return await inbox.claim(100, [SOURCE])


def every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each schedule fire every second, so that a test need not wait for a minute."""

    def trigger(_: AISchedule) -> IntervalTrigger:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        return IntervalTrigger(seconds=1, start_date=start, timezone=UTC)

    monkeypatch.setattr("scheduler.clock.cron_trigger", trigger)


class Counting:
    """Passes on to the inbox and notes what it said."""

    def __init__(self, inbox: SqlInbox) -> None:
        self._inbox = inbox
        self.accepted: list[tuple[str, bool]] = []

    async def accept(self, source: str, key: str, body: bytes, headers: Any) -> bool:
        new = await self._inbox.accept(source, key, body, headers)
        self.accepted.append((key, new))
        return new


async def test_two_clocks_that_fire_at_the_same_moments_make_one_firing_of_each(
    inbox: SqlInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_second(monkeypatch)
    schedules = by_id(schedule("often", "* * * * *"))
    counting = Counting(inbox)
    clocks = [Clock(schedules, counting) for _ in range(2)]
    for clock in clocks:
        clock.start()
    await until(lambda: len(counting.accepted) >= 4, "both have fired twice")
    for clock in clocks:
        clock.close()
    keys = {key for key, _ in counting.accepted}
    assert sorted(key for key, new in counting.accepted if new) == sorted(keys)
    assert len(keys) < len(counting.accepted)
    found = await firings(inbox)
    assert {delivery.key for delivery in found} == keys
    for delivery in found:
        body = json.loads(delivery.body)
        assert delivery.key == f"often:{body['at']}"
        assert datetime.fromisoformat(body["at"]).microsecond == 0, "the planned moment"


async def test_a_closed_clock_fires_no_more(
    inbox: SqlInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_second(monkeypatch)
    schedules = by_id(schedule("often", "* * * * *"))
    closed, running = Counting(inbox), Counting(inbox)
    first, second = Clock(schedules, closed), Clock(schedules, running)
    first.close()
    first.start()
    second.start()
    first.close()
    await until(lambda: len(running.accepted) >= 2, "the other one has fired twice")
    second.close()
    assert closed.accepted == []


@pytest.mark.parametrize(
    ("grace", "fires"),
    [("5m", True), ("6m", True), ("4m", False), ("1s", False)],
)
async def test_what_was_missed_is_made_up_for_within_its_grace_only(
    inbox: SqlInbox, grace: str, fires: bool
) -> None:
    clock = Clock(by_id(schedule("daily", "0 8 * * *", misfire_grace=grace)), inbox)
    await clock.catch_up(NOW)
    keys = [delivery.key for delivery in await firings(inbox)]
    assert keys == (["daily:2026-11-24T08:00:00+00:00"] if fires else [])


async def test_of_several_missed_moments_the_last_is_made_up_for(inbox: SqlInbox) -> None:
    often = schedule("often", "*/10 * * * *", misfire_grace="1h")
    await Clock(by_id(often), inbox).catch_up(NOW)
    (only,) = await firings(inbox)
    assert only.key == "often:2026-11-24T08:00:00+00:00"


async def test_what_has_fired_already_is_not_made_up_for_again(inbox: SqlInbox) -> None:
    clock = Clock(by_id(schedule("daily", "0 8 * * *")), inbox)
    await clock.catch_up(NOW)
    (fired,) = await firings(inbox)
    await inbox.finish(fired)
    await clock.catch_up(NOW + timedelta(minutes=1))
    await Clock(by_id(schedule("daily", "0 8 * * *")), inbox).catch_up(NOW)
    assert await firings(inbox) == []


async def test_moments_are_those_of_the_schedules_time_zone(inbox: SqlInbox) -> None:
    paris = schedule("paris", "0 8 * * mon-fri", timezone="Europe/Paris", misfire_grace="2h")
    clock = Clock(by_id(paris), inbox)
    await clock.catch_up(NOW)
    (fired,) = await firings(inbox)
    assert fired.key == "paris:2026-11-24T07:00:00+00:00"
    upcoming = clock.next_firings("paris", NOW, 4)
    assert [moment.strftime("%a %H:%M %Z") for moment in upcoming] == [
        "Wed 08:00 CET",
        "Thu 08:00 CET",
        "Fri 08:00 CET",
        "Mon 08:00 CET",
    ]


async def test_the_next_firing_of_each_schedule_is_told(inbox: SqlInbox) -> None:
    never = schedule("never", "0 0 30 2 *")
    clock = Clock(by_id(schedule("daily", "0 8 * * *"), never), inbox)
    upcoming = clock.upcoming()
    assert upcoming["daily"] is not None
    assert upcoming["daily"] > datetime.now(UTC)
    assert upcoming["never"] is None
    with pytest.raises(NotFoundError, match=r"no schedule 'weekly'\. There are: daily, never"):
        clock.next_firings("weekly", NOW)


def test_a_line_that_is_no_cron_line_is_an_error_before_anything_starts() -> None:
    class Nobody:
        async def accept(self, source: str, key: str, body: bytes, headers: Any) -> bool:
            raise AssertionError("nothing fires")

    with pytest.raises(ConfigurationError, match=r"schedules/daily\.yaml: cron"):
        Clock(by_id(schedule("daily", "99 8 * * *")), Nobody())


class Firings:
    """What the handler passes on."""

    def __init__(self) -> None:
        self.fired: list[tuple[str, datetime]] = []

    async def fire(self, schedule: AISchedule, at: datetime) -> None:
        self.fired.append((schedule.id, at))


async def test_a_persisted_firing_reaches_its_schedule_with_its_planned_moment(
    inbox: SqlInbox,
) -> None:
    daily = by_id(schedule("daily", "0 8 * * *"))
    await Clock(daily, inbox).catch_up(NOW)
    (fired,) = await firings(inbox)
    service = Firings()
    await FiringHandler(daily, service)(fired)  # type: ignore[arg-type]
    assert service.fired == [("daily", NOW.replace(minute=0))]

    with pytest.raises(NotFoundError, match="The schedule 'daily' was removed"):
        await FiringHandler({}, service)(fired)  # type: ignore[arg-type]
    assert len(service.fired) == 1
