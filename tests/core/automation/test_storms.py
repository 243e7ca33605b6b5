"""Many events become one thread that counts; what comes in quiet hours is told when they end.

Two replicas share the database, each with a trigger service of its own.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import JsonValue

from core.automation import AITrigger
from core.errors import NotAllowedError
from core.held import HeldStore
from core.incidents import IncidentStore
from core.knowledge import KnowledgeBase
from core.offers import OfferStore
from core.ports import PresentationError
from core.records import Event
from core.services.ai import OrchestratorUnavailableError
from core.store.database import Database
from core.storms import StormStore
from core.triggers import TriggerService
from core.workflows.service import RunRequest, WorkflowService
from tests.core.automation.events import Room, event
from tests.core.workflows.countersigning import workflows
from tests.core.workflows.parts import state

START = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Asked:
    """Takes requests for runs and refuses those that a test says."""

    requests: dict[str, RunRequest] = field(default_factory=dict)
    refuse: bool = False

    async def request(self, request: RunRequest) -> None:
        if self.refuse:
            raise NotAllowedError("not now")
        self.requests.setdefault(request.key, request)


@dataclass
class Replicas:
    services: list[TriggerService]
    room: Room
    clock: Clock
    asked: Asked
    storms: StormStore

    async def handle(self, event: Event) -> None:
        await random.choice(self.services).handle(event)

    async def look(self) -> None:
        await asyncio.gather(*(service.look() for service in self.services))


def replicas(database: Database, folder: Path, **fields: Any) -> Replicas:
    trigger = AITrigger.model_validate(
        {
            "id": "alerts",
            "integration": "alertmanager",
            "event": "alert.firing",
            "channel": "#ops",
            "workflows": [{"workflow": "note", "with": {"line": "${event.service}"}}],
            **fields,
        }
    )

    async def embed(_: object) -> list[list[float]]:
        raise OrchestratorUnavailableError("no model here")

    room, clock, asked = Room(), Clock(), Asked()
    here = state(folder, *workflows(), triggers={trigger.id: trigger})
    services = [
        TriggerService(
            here,
            cast("WorkflowService", asked),
            IncidentStore(database),
            OfferStore(database),
            KnowledgeBase([folder], "https://runbooks.test", embed),
            StormStore(database),
            HeldStore(database),
            room,
            clock,
        )
        for _ in range(2)
    ]
    return Replicas(services, room, clock, asked, StormStore(database))


def alert(number: int, kind: str = "alert.firing", **fields: JsonValue) -> Event:
    named = {
        "subject": f"group {number}",
        "service": f"service-{number % 12}",
        "instance": f"web-{number}",
        "title": f"Disk {number} is full",
    }
    return event(f"{kind}-{number}", kind=kind, **(named | fields))


async def test_fifty_alerts_are_one_thread_that_counts_each_once(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={"window": "5m"})
    alerts = [alert(number) for number in range(50)]
    await here.handle(alerts[0])
    (told,) = here.room.announced.values()
    assert (told.title, told.tone) == ("Disk 0 is full", "bad")
    assert [offer.name for offer in told.offers] == ["Write a note"]

    await asyncio.gather(*(here.handle(one) for one in [*alerts, *alerts]))
    await here.look()
    (told,) = here.room.announced.values()
    assert told.title == "50 alerts, 12 services"
    assert (told.facts["first"], told.facts["resolved"]) == ("Disk 0 is full", "0 of 50")
    assert told.text.count("\n") == 4, "the latest five"
    assert [offer.name for offer in told.offers] == ["Write a note"], "the buttons stay"
    (listed,) = here.room.texts()
    assert {line.split(". ", 1)[1] for line in listed.splitlines()} == {a.title for a in alerts}


async def test_resolved_alerts_are_counted_and_the_thread_ends(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={"window": "5m"})
    for number in range(7):
        await here.handle(alert(number))
    for _ in range(2):
        for number in (2, 3):
            await here.handle(alert(number, kind="alert.resolved", title="fine"))
    await here.look()
    (told,) = here.room.announced.values()
    assert (told.facts["resolved"], told.tone) == ("2 of 7", "bad")
    assert "- Disk 3 is full (resolved)" in told.text
    assert here.room.texts() == [], "a page that is not full waits for the end"

    for number in (0, 1, 4, 5, 6):
        await here.handle(alert(number, kind="alert.resolved", title="fine"))
    here.clock.forward(minutes=6)
    await here.look()
    (told,) = here.room.announced.values()
    assert (told.facts["resolved"], told.tone) == ("7 of 7", "good")
    assert told.facts["began"] == "2026-11-25 12:00 UTC; it is over"
    (listed,) = here.room.texts()
    assert listed.count("(resolved)") == 7

    await here.look()
    await here.handle(alert(0))
    assert len(here.room.announced) == 1, "an old alert that is handled again is counted already"
    await here.handle(alert(8))
    assert len(here.room.announced) == 2, "the next alert begins another"


async def test_a_group_is_what_the_expression_gives(database: Database, tmp_path: Path) -> None:
    here = replicas(database, tmp_path, group={"by": "${event.alertname}"})
    for number in range(9):
        names: dict[str, JsonValue] = {"alertname": f"Name{number % 3}"} if number < 6 else {}
        await here.handle(alert(number, **names))
    await here.look()
    titles = sorted(told.title for told in here.room.announced.values())
    assert titles == ["2 alerts, 2 services"] * 2 + ["2 alerts, 2 services", "3 alerts, 3 services"]


async def test_with_after_only_a_storm_becomes_one_thread(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={"window": "1m", "after": 4})
    for number in range(3):
        for _ in range(2):
            await here.handle(alert(number))
    assert [told.title for told in here.room.announced.values()] == [
        "Disk 0 is full",
        "Disk 1 is full",
        "Disk 2 is full",
    ]
    for number in range(3, 20):
        await here.handle(alert(number))
    await here.look()
    assert [told.title for told in here.room.announced.values()][3:] == ["20 alerts, 12 services"]

    here.clock.forward(minutes=2)
    await here.look()
    await here.handle(alert(30))
    assert list(here.room.announced.values())[-1].title == "Disk 30 is full"


async def test_a_group_asks_for_its_run_once(database: Database, tmp_path: Path) -> None:
    here = replicas(database, tmp_path, group={}, mode="start")
    for number in range(10):
        await here.handle(alert(number))
        await here.handle(alert(0))
    (request,) = here.asked.requests.values()
    (told,) = here.room.announced.values()
    assert request.place.thread == f"t-{told.key}"[:40], "in the thread"
    assert told.offers == ()


async def test_a_storm_that_cannot_be_told_now_is_told_later(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={})
    here.room.away = True
    with pytest.raises(PresentationError):
        await here.handle(alert(0))
    here.room.away = False
    await here.handle(alert(0))
    await here.handle(alert(1))
    here.room.away = True
    await here.look()
    here.room.away = False
    here.clock.forward(seconds=31)
    await here.look()
    (told,) = here.room.announced.values()
    assert told.title == "2 alerts, 2 services"


async def test_a_storm_whose_channel_was_missing_is_told_where_the_trigger_now_says(
    database: Database, tmp_path: Path
) -> None:
    before = replicas(database, tmp_path, group={}, channel="#mistyped")
    before.room.lacks = {"#mistyped"}
    with pytest.raises(PresentationError, match="#mistyped"):
        await before.handle(alert(0))
    after = replicas(database, tmp_path, group={}, channel="#ops")
    after.room.lacks = {"#mistyped"}
    await after.handle(alert(0))
    (told,) = after.room.announced.values()
    assert told.place.channel == "#ops"


async def test_a_storm_that_cannot_be_told_before_it_is_over_is_told_whole(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={"window": "1m"})
    here.room.away = True
    for number in range(9):
        with pytest.raises(PresentationError):
            await here.handle(alert(number))
    here.clock.forward(hours=2)
    await here.look()
    here.room.away = False
    for number in range(9):
        await here.handle(alert(number))
    await here.look()
    (told,) = here.room.announced.values()
    assert told.title == "9 alerts, 9 services"
    assert told.facts["began"] == "2026-11-25 12:00 UTC; it is over"
    (listed,) = here.room.texts()
    assert len(listed.splitlines()) == 9


async def test_a_storm_that_nobody_tells_ends(database: Database, tmp_path: Path) -> None:
    here = replicas(database, tmp_path, group={"window": "1m", "after": 4})
    await here.handle(alert(0))
    here.clock.forward(days=2)
    await here.look()
    here.clock.forward(days=30)
    await here.storms.forget(here.clock.now)
    counted = await here.storms.count(
        "alerts", "", alert(0), "#ops", timedelta(minutes=1), here.clock.now
    )
    assert counted.storm.opened_at == here.clock.now, "the old one is gone"


async def test_a_message_that_is_gone_is_not_drawn_for_ever(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={"window": "1m"})
    await here.handle(alert(0))
    here.room.away = True
    for _ in range(5):
        here.clock.forward(minutes=30)
        await here.look()
    assert await here.storms.claim(here.clock.now + timedelta(days=1), timedelta(0)) == []


async def test_an_event_that_came_in_time_by_another_clock_keeps_the_storm_open(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={"window": "1m"})
    for number in range(7):
        await here.handle(alert(number))
    before = here.clock.now
    here.clock.forward(seconds=61)
    (storm,) = await here.storms.claim(here.clock.now, timedelta(seconds=0))
    late = await here.storms.count(
        "alerts", "", alert(7), "#ops", timedelta(minutes=1), before + timedelta(seconds=59)
    )
    assert late.storm.id == storm.id
    assert not await here.storms.drawn(storm, 7, closed=True)
    await here.look()
    (told,) = here.room.announced.values()
    assert told.title == "8 alerts, 8 services"


async def test_a_message_that_an_older_version_has_stored_ends_nothing_but_itself(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={"window": "1m"})
    counted = await here.storms.count(
        "alerts", "", alert(0), "#ops", timedelta(minutes=1), here.clock.now
    )
    await here.storms.announced(counted.storm.id, "C1", "9.0", "9.0", {"unheard": "of"})
    await here.look()
    here.clock.forward(minutes=2)
    await here.look()
    await here.handle(alert(1))
    assert len(here.room.announced) == 1


async def test_what_has_been_over_for_a_month_is_forgotten(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, group={"window": "1m"})
    first = alert(0)
    await here.handle(first)
    here.clock.forward(minutes=2)
    await here.look()
    here.clock.forward(days=29)
    await here.storms.forget(here.clock.now)
    await here.handle(first)
    assert len(here.room.announced) == 1
    here.clock.forward(days=2)
    await here.storms.forget(here.clock.now)
    counted = await here.storms.count(
        "alerts", "", first, "#ops", timedelta(minutes=1), here.clock.now
    )
    assert counted.position == 1


@pytest.mark.parametrize("title", ["<!channel> *x*\n- y", "\x00" + "x" * 499, "](https://x.test)"])
async def test_hostile_titles_stay_one_line_each(
    database: Database, tmp_path: Path, title: str
) -> None:
    here = replicas(database, tmp_path, group={"by": "${event.labels}", "window": "1m"})
    for number in range(60):
        await here.handle(alert(number, title=title, labels={"a": [1]}))
    here.clock.forward(minutes=2)
    await here.look()
    lines = "\n".join(here.room.texts()).splitlines()
    assert len(lines) == 60
    assert all(len(text) < 12_000 for text in here.room.texts())


NIGHT = {"windows": [{"from": "22:00", "to": "07:00"}]}


async def test_what_comes_in_quiet_hours_is_told_in_one_digest_when_they_end(
    database: Database, tmp_path: Path
) -> None:
    quiet = NIGHT | {"unless": "event.severity == 'critical'"}
    here = replicas(database, tmp_path, quiet=quiet, mode="start")
    here.clock.forward(hours=11)
    for number in range(30):
        for _ in range(2):
            await here.handle(alert(number))
    await here.handle(alert(4, kind="alert.resolved"))
    await here.look()
    assert here.room.announced == {}
    await here.handle(alert(40, severity="critical"))
    assert len(here.asked.requests) == 1, "the exception is acted on at once"

    here.clock.forward(hours=8, minutes=1)
    await here.handle(alert(0))  # its first handling was cut off: it is in the digest
    await here.look()
    await here.look()
    (told,) = here.room.announced.values()
    assert told.title == "30 events in quiet hours"
    assert told.facts["resolved meanwhile"] == "1 of 30"
    assert "- Disk 4 is full, 2026-11-25 23:00 UTC (resolved)" in told.text
    (rest,) = here.room.texts()
    assert rest.splitlines()[0].startswith("21. Disk ")
    assert len(rest.splitlines()) == 10
    assert len(here.asked.requests) == 1, "what was kept starts nothing"
    await here.handle(alert(50))
    assert len(here.asked.requests) == 2


async def test_runs_are_asked_for_in_quiet_hours_where_that_is_said(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, quiet=NIGHT | {"starts": True}, mode="start")
    here.clock.forward(hours=11)
    await here.handle(alert(1))
    assert len(here.asked.requests) == 1
    here.clock.forward(hours=9)
    await here.look()
    (told,) = here.room.announced.values()
    assert told.title == "1 event in quiet hours"


async def test_a_digest_that_cannot_be_told_now_is_told_later(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, quiet=NIGHT)
    here.clock.forward(hours=11)
    await here.handle(alert(1))
    here.clock.forward(hours=9)
    here.room.away = True
    await here.look()
    here.room.away = False
    await here.look()
    assert [told.title for told in here.room.announced.values()] == ["1 event in quiet hours"]


async def test_an_event_that_was_told_in_a_digest_and_comes_again_starts_nothing(
    database: Database, tmp_path: Path
) -> None:
    """As when another trigger's message could not be posted, so that it is handled again."""
    here = replicas(database, tmp_path, quiet=NIGHT, mode="start")
    here.clock.forward(hours=11)
    await here.handle(alert(1))
    here.clock.forward(hours=9)
    await here.look()
    await here.handle(alert(1))
    await here.handle(alert(1, kind="alert.resolved"))
    here.clock.forward(hours=14)
    await here.handle(alert(1))
    here.clock.forward(hours=10)
    await here.look()
    assert [told.title for told in here.room.announced.values()] == ["1 event in quiet hours"]
    assert here.asked.requests == {}


async def test_what_was_told_in_a_digest_is_forgotten_after_a_month(
    database: Database, tmp_path: Path
) -> None:
    here = replicas(database, tmp_path, quiet=NIGHT, mode="start")
    here.clock.forward(hours=11)
    await here.handle(alert(1))
    here.clock.forward(hours=9)
    await here.look()
    held = HeldStore(database)
    await held.forget(here.clock.now)
    assert await held.holds("alerts", alert(1))
    await held.forget(here.clock.now + timedelta(days=31))
    assert not await held.holds("alerts", alert(1))


def test_an_incident_is_not_grouped_a_second_time() -> None:
    fields = {"integration": "a", "event": "alert.firing", "channel": "#ops", "incident": True}
    with pytest.raises(ValueError, match="leave out 'incident' or 'group'"):
        AITrigger.model_validate({"id": "t", "group": {}, **fields})
