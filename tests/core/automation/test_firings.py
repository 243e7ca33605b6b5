"""What a schedule's firing leads to, once for each planned moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from core.automation import AISchedule
from core.errors import NotAllowedError
from core.firings import FiringService
from core.workflows.run import Run, RunState
from tests.core.automation.events import Room
from tests.core.workflows.countersigning import World
from tests.core.workflows.parts import ALICE, BOB, DAVE

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT = datetime(2026, 11, 24, 6, tzinfo=UTC)


class Digester:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def digest(self, assistant_id: str, prompt: str) -> str:
        self.asked.append((assistant_id, prompt))
        return f"Digest {len(self.asked)}"


def schedule(schedule_id: str, **fields: Any) -> AISchedule:
    return AISchedule.model_validate(
        {
            "id": schedule_id,
            "name": "Weekly",
            "cron": "0 6 * * mon",
            "channel": "#deploys",
            **fields,
        }
    )


async def runs_of(world: World, requester: str) -> list[Run]:
    return [run for run in await world.service.latest(50) if run.requester == requester]


async def test_a_firing_asks_for_a_run_with_the_same_guardrails_as_ever(world: World) -> None:
    weekly = schedule("weekly", workflow="note", **{"with": {"line": "weekly line"}})
    room = Room()
    firings = FiringService(world.service, Digester(), room)
    elsewhere = AT.astimezone(timezone(timedelta(hours=9)))
    for moment in (AT, AT, elsewhere):
        await firings.fire(weekly, moment)
    (run,) = await runs_of(world, "schedule:weekly")
    assert run.state is RunState.AWAITING
    assert run.plan.arguments["line"].provenance.kind == "schedule"
    assert run.plan.steps[0].untrusted == ()
    assert run.origin.startswith("schedule “Weekly”, ")
    await world.approve(run, BOB)
    await world.ended(run, RunState.SUCCEEDED)

    await firings.fire(weekly, AT)
    assert world.times("weekly line") == 1, "also after it took effect"
    await firings.fire(weekly, AT + timedelta(days=7))
    assert len(await runs_of(world, "schedule:weekly")) == 2
    assert room.said == {}


async def test_a_run_that_cannot_be_asked_for_is_told_once(world: World) -> None:
    room = Room()
    firings = FiringService(world.service, Digester(), room)
    for _ in range(2):
        await firings.fire(schedule("broken", workflow="note"), AT)
    (text,) = room.texts()
    assert text.startswith("The schedule “Weekly” could not start its workflow: note needs line")


async def test_who_starts_a_schedule_by_hand_is_the_requester_and_needs_the_role(
    world: World,
) -> None:
    by_hand = schedule("by-hand", workflow="note", **{"with": {"line": "by hand"}})
    room = Room()
    firings = FiringService(world.service, Digester(), room)
    await firings.fire(by_hand, AT, requester=DAVE)
    assert "you need the role engineer" in room.texts()[0]
    await firings.fire(by_hand, AT + timedelta(minutes=1), requester=ALICE)
    run = next(r for r in await runs_of(world, ALICE) if "Weekly" in r.origin)
    with pytest.raises(NotAllowedError, match="somebody else must countersign"):
        await world.approve(run, ALICE)


async def test_a_digest_is_said_in_the_channel_once_for_each_moment(world: World) -> None:
    daily = schedule("daily", assistant="governance", prompt="What happened?")
    room, digester = Room(), Digester()
    firings = FiringService(world.service, digester, room)
    for moment in (AT, AT, AT + timedelta(days=1)):
        await firings.fire(daily, moment)
    assert digester.asked[0] == ("governance", "What happened?")
    assert len(room.said) == 2
    assert room.texts()[0] == "Digest 1"
    assert {place.channel for place, _ in room.said.values()} == {"#deploys"}
