"""Each guardrail stops a real run on the real engine, and lets one through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import InvalidRequestError
from core.workflows.guardrails import GuardrailState
from core.workflows.run import RunState
from tests.core.calendars.icalendar_files import calendar, event, written
from tests.core.workflows.guardrails.guarded import GUARDS, Guarded
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def fresh(guarded: Guarded) -> Iterator[None]:
    """Three machines, where they were; nothing is held up when a test ends."""
    guarded.machines.hosts[:] = ["web-1", "web-2", "web-3", "web-4"]
    guarded.machines.moved.clear()
    guarded.machines.down = False
    yield
    guarded.moment.at = None
    guarded.machines.go_on.set()


@contextmanager
def held(guarded: Guarded) -> Iterator[None]:
    """Machines that have been moved do not come to rest yet."""
    guarded.machines.go_on.clear()
    yield
    guarded.machines.go_on.set()


def now(minutes: float = 0) -> str:
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y%m%dT%H%M%SZ}"


def frozen_now(folder: Path, title: str) -> None:
    written(
        folder,
        calendar(event(f"SUMMARY:{title}", f"DTSTART:{now(-60)}", f"DTEND:{now(60)}")),
        "ops.ics",
    )


async def test_in_a_freeze_nothing_can_be_signed_and_after_it_the_run_goes_on(
    guarded: Guarded,
) -> None:
    run = await guarded.request("freeze", "web-1")
    guarded.moment.at = datetime.now(UTC) + timedelta(minutes=90)
    with pytest.raises(InvalidRequestError, match=r"Nothing can be signed now.*sale until"):
        await guarded.sign(run)
    guarded.moment.at = None
    await guarded.sign(run)
    await guarded.ended(run, RunState.SUCCEEDED)
    assert guarded.machines.moved == ["web-1"]


async def test_an_event_that_is_entered_in_the_calendar_holds_at_once(guarded: Guarded) -> None:
    frozen_now(guarded.folder, "Lunch")
    run = await guarded.request("calendar", "web-1")
    frozen_now(guarded.folder, "Change freeze")
    with pytest.raises(InvalidRequestError, match=r"Nothing can be signed now.*Change freeze"):
        await guarded.sign(run)
    frozen_now(guarded.folder, "Dinner")
    await guarded.sign(run)
    await guarded.ended(run, RunState.SUCCEEDED)


async def test_a_calendar_that_is_gone_lets_nothing_begin_until_it_is_back(
    guarded: Guarded,
) -> None:
    frozen_now(guarded.folder, "Lunch")
    run = await guarded.request("calendar", "web-1")
    (guarded.folder / "ops.ics").unlink()
    await guarded.sign(run)
    await guarded.held_back(run, "ops.ics: cannot be read")
    assert guarded.machines.moved == []
    frozen_now(guarded.folder, "Lunch")
    await guarded.ended(run, RunState.SUCCEEDED)


async def test_a_plan_for_another_environment_cannot_be_signed(guarded: Guarded) -> None:
    run = await guarded.request("environment", "web-1")
    with pytest.raises(InvalidRequestError, match="The plan is for production"):
        await guarded.sign(run)
    run = await guarded.begin("environment", "web-1", environment="staging")
    await guarded.ended(run, RunState.SUCCEEDED)


async def test_a_plan_with_too_many_targets_cannot_be_signed(guarded: Guarded) -> None:
    run = await guarded.request("few", "web-1", "web-2", "web-3")
    with pytest.raises(InvalidRequestError, match=r"3 targets \(.*\)\. The guardrail: At most 2"):
        await guarded.sign(run)
    run = await guarded.begin("few", "web-1", "web-2")
    await guarded.ended(run, RunState.SUCCEEDED)
    assert guarded.machines.moved == ["web-1", "web-2"]


async def test_a_part_that_has_become_too_large_since_it_was_signed_blocks(
    guarded: Guarded,
) -> None:
    run = await guarded.begin("part", "web-1", "web-2")
    await guarded.ended(run, RunState.SUCCEEDED)
    run = await guarded.request("part", "web-1", "web-2")
    guarded.machines.hosts.pop()
    await guarded.sign(run)
    blocked = await guarded.ended(run, RunState.BLOCKED)
    assert "2 targets (web-1, web-2): 66.7 % of 3." in blocked.reason
    assert guarded.machines.moved == ["web-1", "web-2"], "by the first run"


async def test_a_precondition_is_asked_again_at_the_begin(guarded: Guarded) -> None:
    run = await guarded.request("known", "web-1")
    assert [r.state for r in run.guardrails][-1] is GuardrailState.MET
    guarded.machines.hosts.remove("web-1")
    await guarded.sign(run)
    blocked = await guarded.ended(run, RunState.BLOCKED)
    assert blocked.reason.startswith("It is not so (")
    assert blocked.reason.endswith("The guardrail: The inventory knows them all.")
    assert guarded.machines.moved == []
    run = await guarded.begin("known", "web-2")
    await guarded.ended(run, RunState.SUCCEEDED)


async def test_a_precondition_that_cannot_be_read_is_tried_again(guarded: Guarded) -> None:
    run = await guarded.request("known", "web-1")
    guarded.machines.down = True
    await guarded.sign(run)
    await guarded.held_back(run, "the inventory does not answer")
    assert guarded.machines.moved == []
    guarded.machines.down = False
    await guarded.ended(run, RunState.SUCCEEDED)


async def test_a_system_is_not_asked_each_time_a_waiting_runs_card_is_judged(
    guarded: Guarded,
) -> None:
    run = await guarded.request("known", "web-1")
    before = guarded.machines.reads
    for _ in range(5):
        await guarded.service.get(run.id)
    assert guarded.machines.reads == before
    await guarded.sign(run)
    await guarded.ended(run, RunState.SUCCEEDED)
    assert guarded.machines.reads > before, "at the begin it is"


async def test_a_dry_run_is_done_again_at_the_begin(guarded: Guarded) -> None:
    run = await guarded.request("dry-run", "web-1")
    guarded.machines.hosts.remove("web-1")
    await guarded.sign(run)
    blocked = await guarded.ended(run, RunState.BLOCKED)
    assert "The dry run of 'Move it': web-1 is not there" in blocked.reason
    run = await guarded.begin("dry-run", "web-2")
    await guarded.ended(run, RunState.SUCCEEDED)
    assert guarded.machines.moved == ["web-2"]


async def test_a_dry_run_that_says_something_else_than_was_signed_blocks(guarded: Guarded) -> None:
    run = await guarded.request("same-dry-run", "web-2")
    guarded.machines.hosts.reverse()
    await guarded.sign(run)
    blocked = await guarded.ended(run, RunState.BLOCKED)
    assert "“web-2 is number 2” in place of “web-2 is number 1”" in blocked.reason
    run = await guarded.begin("same-dry-run", "web-2")
    await guarded.ended(run, RunState.SUCCEEDED)


async def test_a_rate_holds_the_next_run_back_until_its_time(guarded: Guarded) -> None:
    guarded.machines.hosts[:] = ["db-1", "db-2", "db-3"]  # which no other test has touched
    first = await guarded.begin("hourly", "db-1", "db-2")
    await guarded.ended(first, RunState.SUCCEEDED)
    second = await guarded.begin("hourly", "db-2", "db-3")
    await guarded.held_back(second, f"Run {first.id} began on db-2")
    other = await guarded.begin("hourly", "db-3")
    await guarded.ended(other, RunState.SUCCEEDED)
    assert guarded.machines.moved == ["db-1", "db-2", "db-3"]
    for run in (first, other):
        await guarded.began_at(run, datetime.now(UTC) - timedelta(hours=2))
    await guarded.ended(second, RunState.SUCCEEDED)
    assert guarded.machines.moved[3:] == ["db-2", "db-3"]


async def test_a_lock_lets_one_run_at_a_time_touch_a_target(guarded: Guarded) -> None:
    with held(guarded):
        first = await guarded.begin("one-by-one", "web-1")
        await until(lambda: guarded.machines.moved == ["web-1"], "the first is at work")
        second = await guarded.begin("one-by-one", "web-2", "web-1")
        await guarded.held_back(second, f"web-1 by run {first.id}")
        elsewhere = await guarded.begin("one-by-one", "web-3")
        await until(lambda: "web-3" in guarded.machines.moved, "another target is free")
        assert guarded.machines.moved == ["web-1", "web-3"]
    for run in (first, second, elsewhere):
        await guarded.ended(run, RunState.SUCCEEDED)
    assert guarded.machines.moved[2:] == ["web-2", "web-1"]


async def test_a_lock_under_a_name_is_filled_in_and_freed_by_a_run_that_ends(
    guarded: Guarded,
) -> None:
    with held(guarded):
        first = await guarded.begin("alone", "web-1", region="eu")
        await until(lambda: guarded.machines.moved == ["web-1"], "the first is at work")
        second = await guarded.begin("alone", "web-2", region="eu")
        await guarded.held_back(second, f"region-eu by run {first.id}")
        await guarded.begin("alone", "web-3", region="us")
        await until(lambda: "web-3" in guarded.machines.moved, "another region is free")
        await guarded.service.cancel(first.id, first.requester)
    await guarded.ended(second, RunState.SUCCEEDED)


@pytest.mark.parametrize(
    ("workflow", "kind", "subject"),
    [("clean-data", "dataset", "data-eu"), ("good-model", "evaluation", "router")],
)
async def test_a_gate_must_have_been_passed_and_still_be_at_the_begin(
    guarded: Guarded, workflow: str, kind: str, subject: str
) -> None:
    run = await guarded.request(workflow, "web-1")
    with pytest.raises(InvalidRequestError, match="No result is recorded"):
        await guarded.sign(run)
    await guarded.gates.record(kind, subject, True, "0 leaks", "ci")  # type: ignore[arg-type]
    await guarded.sign(run)
    await guarded.ended(run, RunState.SUCCEEDED)
    run = await guarded.request(workflow, "web-2")
    await guarded.gates.record(kind, subject, False, "3 leaks", "ci")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match=r"It failed at .*: 3 leaks"):
        await guarded.sign(run)
    assert guarded.machines.moved == ["web-1"]


async def test_each_guardrail_is_in_one_of_these_tests() -> None:
    used = {guard["type"] for guards in GUARDS.values() for guard in guards}
    assert used == {
        *("blast_radius", "dataset_gate", "environment", "evaluation_gate", "freeze"),
        *("lock", "precondition", "preview", "rate"),
    }
