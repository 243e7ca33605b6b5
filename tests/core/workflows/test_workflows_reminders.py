"""Who is called when nobody signs, when, and how often; and after the glass was broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.store.database import Database
from core.workflows.run import RunState
from core.workflows.signatures import Decision
from tests.core.workflows.office import BEN, CARL, DORA, EVE, Office, office

REASON = "The shop is down and nobody else is awake"
NEEDS = {
    "type": "approval",
    "needs": [{"roles": ["approver"]}, {"roles": ["security"]}],
    "remind_after": "10m",
    "expires_after": "2h",
}
ESCALATION = {"after_s": 1800.0, "roles": ("security", "lead")}


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Office:
    return office(database, tmp_path)


def keys(here: Office) -> list[str]:
    return list(here.caller.calls)


async def test_those_who_can_still_sign_are_called_once_after_the_time(here: Office) -> None:
    run = await here.new(NEEDS)
    await here.signing.sign(run.id, BEN, Decision.APPROVE)
    here.clock.later(minutes=10, microseconds=-1)
    await here.reminders.look()
    assert keys(here) == []
    here.clock.later(microseconds=1)
    for _ in range(3):
        await here.reminders.look()
    assert keys(here) == ["call:abcdef012345:reminder"]
    place, groups, users, text = here.caller.calls["call:abcdef012345:reminder"]
    assert (place, groups, users) == (run.place, ["security"], [EVE])
    assert text == (
        "Write a note (abcdef012345) still waits for 1 person with the role security. "
        "It expires at 2026-11-24 14:00 UTC."
    )


async def test_in_sequence_only_those_whose_turn_it_is_are_called(here: Office) -> None:
    await here.new({**NEEDS, "sequential": True})
    here.clock.later(minutes=10)
    await here.reminders.look()
    assert here.caller.calls["call:abcdef012345:reminder"][1:3] == (["oncall"], [])


async def test_escalation_goes_from_role_to_role_until_the_run_waits_no_more(
    here: Office,
) -> None:
    run = await here.new({**NEEDS, "remind_after": None}, escalation=ESCALATION)
    here.clock.later(minutes=30)
    await here.reminders.look()
    assert keys(here) == ["call:abcdef012345:escalation:1"]
    here.clock.later(minutes=30)
    await here.reminders.look()
    assert keys(here)[1:] == ["call:abcdef012345:escalation:2"]
    assert here.caller.calls["call:abcdef012345:escalation:2"][1] == ["leads"]
    assert "so lead is called" in here.caller.calls["call:abcdef012345:escalation:2"][3]
    here.caller.calls.clear()
    await here.store.transition(run.id, {RunState.AWAITING}, RunState.DENIED, BEN)
    await here.reminders.look()
    assert keys(here) == []


async def test_nobody_is_called_to_what_is_signed_or_expired_or_not_shown_yet(
    here: Office,
) -> None:
    run = await here.new(NEEDS)
    await here.new(NEEDS, id="abcdef012346", message=None)
    here.clock.later(minutes=15)
    for user in (BEN, CARL):
        await here.signing.sign(run.id, user, Decision.APPROVE)
    await here.reminders.look()
    assert keys(here) == []
    await here.new(NEEDS, id="abcdef012347")
    here.clock.later(hours=2)
    await here.reminders.look()
    assert keys(here) == []


async def test_what_cannot_be_said_now_is_said_later(here: Office) -> None:
    await here.new(NEEDS)
    here.clock.later(minutes=10)
    here.caller.down = True
    await here.reminders.look()
    here.caller.down = False
    await here.reminders.look()
    assert keys(here) == ["call:abcdef012345:reminder"]


async def test_broken_glass_is_announced_and_its_review_is_asked_for_each_day(
    here: Office,
) -> None:
    run = await here.new()
    await here.signing.break_glass(run.id, DORA, REASON)
    await here.reminders.look()
    place, groups, _, text = here.caller.calls["glass:abcdef012345"]
    assert (place.channel, groups) == ("#deploys", ["leads"])
    assert f"by {DORA}: {REASON}" in text
    assert here.caller.named["glass:abcdef012345"] == [DORA]
    assert "Somebody else must review it by 2026-11-25 12:00 UTC" in text
    here.clock.later(hours=24)
    await here.reminders.look()
    await here.reminders.look()
    here.clock.later(hours=24)
    await here.reminders.look()
    assert keys(here) == [f"glass:{run.id}{end}" for end in ("", ":overdue:0", ":overdue:1")]
    await here.reviews.close(run.id, BEN, "It was right to do so.")
    here.clock.later(hours=24)
    await here.reminders.look()
    assert len(keys(here)) == 3
