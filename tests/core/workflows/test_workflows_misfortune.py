"""What goes wrong around a run: nothing is lost, nothing passes, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import OperationalError

from core.errors import NotAllowedError
from core.security.policy import Grant, Right
from core.store.runs import Move
from core.store.tables import run_locks, run_steps, runs, signatures
from core.workflows.actions import ActionError, ActionResult
from core.workflows.run import Run, RunState, StepState
from core.workflows.steering import Resolution
from tests.core.workflows.countersigning import World
from tests.core.workflows.parts import ALICE, BOB, DAVE, LEAD, Hang, policy
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def begun(world: World, workflow: str, line: str) -> Run:
    """An approved run."""
    return await world.approve(await world.request(workflow, line), BOB)


def hanging(world: World) -> Hang:
    action = cast("Hang", world.actions["file.hang"])
    action.begun.clear()
    action.go_on.clear()
    return action


async def change(world: World, run: Run, **values: Any) -> None:
    """Change the run's row, as somebody with access to the tables could."""
    async with world.database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run.id).values(**values))


async def locks_of(world: World, run: Run) -> list[str]:
    async with world.database.read() as connection:
        query = select(run_locks.c.name).where(run_locks.c.run_id == run.id)
        return list((await connection.execute(query)).scalars())


async def swept(world: World, run: Run, state: RunState) -> Run:
    """The run once sweeping has brought it into a state."""

    async def look() -> Run | None:
        await world.service.sweep()
        now = await world.service.get(run.id)
        return now if now.state is state else None

    found: Run = await until(look, f"{run.id} is {state}")
    return found


async def test_a_run_cancelled_while_a_step_runs_keeps_its_lock_until_the_step_has_ended(
    world: World,
) -> None:
    hang = hanging(world)
    first = await begun(world, "locked", "c1")
    await asyncio.wait_for(hang.begun.wait(), 10)
    await world.service.cancel(first.id, ALICE)
    second = await begun(world, "locked", "c2")
    for _ in range(2):
        await world.service.sweep()
    assert (await world.service.get(second.id)).state is RunState.APPROVED
    assert world.times("c2") == 0
    assert await locks_of(world, first)
    hang.go_on.set()
    await swept(world, second, RunState.SUCCEEDED)
    assert world.times("c2") == 1
    assert not await locks_of(world, first)


async def test_a_run_cancelled_between_its_steps_gives_its_lock_back_at_once(world: World) -> None:
    run = await begun(world, "long-locked", "between")

    async def waits() -> bool:
        return (await world.service.get(run.id)).steps[0].state is StepState.WAITING

    await until(waits, "it waits")
    assert await locks_of(world, run) == ["name:the door"]
    await world.service.cancel(run.id, ALICE)
    assert await locks_of(world, run) == []


async def test_a_lock_of_a_run_that_has_ended_and_that_nobody_carries_out_is_given_back(
    world: World,
) -> None:
    run = await world.request("look", "left behind")
    await world.ended(run, RunState.SUCCEEDED)
    async with world.database.write() as connection:
        held = {"name": "name:left behind", "run_id": run.id}
        await connection.execute(insert(run_locks).values(**held))

    async def free() -> bool:
        await world.service.sweep()
        return not await locks_of(world, run)

    assert await until(free, "the lock is free")


async def test_a_run_that_cannot_be_read_while_it_asks_is_ended_and_stops_nothing_else(
    world: World,
) -> None:
    broken, healthy = [await begun(world, "manual-short", f"ask {n}") for n in range(2)]
    for run in (broken, healthy):
        await world.ended(run, RunState.ATTENTION)
    await world.alter(broken, lambda plan: plan.pop("flow"))
    await swept(world, healthy, RunState.FAILED)
    last = (await world.entries(broken.id))[-1]
    assert (last.action, "cannot be read" in last.details) == ("run.failed", True)


@pytest.mark.parametrize("spoilt", ["signature", "step", "missing step", "state"])
async def test_whatever_of_a_run_cannot_be_read_it_is_blocked_and_stops_nothing_else(
    world: World, spoilt: str
) -> None:
    run, healthy = await world.request("twice", f"{spoilt} 1"), await world.request("note", "fine")
    async with world.database.write() as connection:
        if spoilt == "signature":
            row = {"run_id": run.id, "user": BOB, "decision": "perhaps", "digest": run.digest}
            row |= {"comment": "", "at": datetime.now(UTC)}
            await connection.execute(insert(signatures).values(**row))
        elif spoilt == "missing step":
            where = (run_steps.c.run_id == run.id, run_steps.c.position == 0)
            await connection.execute(delete(run_steps).where(*where))
        elif spoilt == "step":
            query = update(run_steps).where(run_steps.c.run_id == run.id)
            await connection.execute(query.values(state="perhaps"))
    if spoilt == "state":
        await change(world, run, guardrails=[{"nothing": 1}])
    await world.service.sweep()
    assert (await world.entries(run.id))[-1].action == "run.blocked"
    listed = [one.id for one in await world.service.latest(20)]
    assert healthy.id in listed
    assert run.id not in listed


async def test_a_run_whose_database_was_away_for_a_moment_goes_on(world: World) -> None:
    save = world.store.save
    failures = 0

    async def away(move: Move) -> RunState | None:
        nonlocal failures
        if move.run_id == run.id and failures == 0:
            failures += 1
            raise OperationalError("UPDATE", None, ConnectionResetError())
        return await save(move)

    run = await world.request("note", "moment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.store, "save", away)
        await world.approve(run, BOB)
        await swept(world, run, RunState.SUCCEEDED)
    assert (failures, world.times("moment")) == (1, 1)


async def test_a_run_that_somebody_set_running_in_the_table_does_nothing(world: World) -> None:
    run = await world.request("erase", "unsigned")
    await change(world, run, state="running")
    after = await swept(world, run, RunState.BLOCKED)
    assert after.reason == "It counts as begun, and never was."
    run = await world.request("erase", "unsigned")
    await change(world, run, state="running", begun_at=datetime.now(UTC))
    after = await swept(world, run, RunState.BLOCKED)
    assert after.reason == "It counts as begun, and 0 of 2 have signed it."
    assert world.times("unsigned") == 0


async def test_what_a_person_did_not_confirm_is_not_used_when_the_failure_is_dealt_with(
    world: World,
) -> None:
    run = await begun(world, "doubtful", "d1")
    await world.ended(run, RunState.ATTENTION)
    await world.service.confirm(run.id, "check", BOB, done=False)
    failed = await world.ended(run, RunState.FAILED)
    assert world.times("d1 model's idea") == 1  # the model's own; not what follows the failure
    tell = next(step for step in failed.steps if step.step_id == "tell")
    assert tell.state is StepState.FAILED
    assert "there is no 'seen'" in tell.summary


async def _postponed(world: World, run: Run) -> bool:
    return bool((await world.service.get(run.id)).reason)


async def test_a_run_that_needs_no_signature_does_not_wait_for_ever(world: World) -> None:
    holder = await world.request("look", "holds the lamp")
    async with world.database.write() as connection:
        held = {"name": "name:the lamp", "run_id": holder.id}
        await connection.execute(insert(run_locks).values(**held))
        # The holder is at work as long as this test lasts.
        begun = update(runs).where(runs.c.id == holder.id).values(state="attention")
        await connection.execute(begun)
    run = await world.request("look-locked", "patient")
    await until(lambda: _postponed(world, run), "it says what it waits for")
    for _ in range(3):
        await world.service.sweep()
    tried = (await world.service.get(run.id)).generation
    for _ in range(5):
        await world.service.sweep()
    assert (await world.service.get(run.id)).generation == tried
    asked = [(run.id, tried)]
    assert await world.engine.missing(asked) == [(run.id, tried, "")], "it was not asked in vain"
    assert world.times("patient") == 0
    await change(world, run, created_at=datetime.now(UTC) - timedelta(days=1, minutes=1))
    after = await swept(world, run, RunState.EXPIRED)
    assert after.reason.startswith("It could not begin in 1 d. Held: the lamp by run")


async def test_whoever_may_not_steer_a_run_is_refused_and_that_is_kept(world: World) -> None:
    run = await begun(world, "lose", "steered")
    await world.ended(run, RunState.ATTENTION)
    failed = await world.ended(await begun(world, "fail", "steered too"), RunState.FAILED)
    with pytest.raises(NotAllowedError):
        await world.service.cancel(run.id, DAVE)
    with pytest.raises(NotAllowedError):
        await world.service.resolve(run.id, DAVE, Resolution.DONE)
    with pytest.raises(NotAllowedError):
        await world.service.retry(failed.id, DAVE)
    refused = [*await world.entries(run.id), *await world.entries(failed.id)]
    kept = [json.loads(e.details)["asked"] for e in refused if e.action == "run.refused"]
    assert kept == ["cancel", "resolve", "retry"]


async def test_an_administrator_settles_what_was_cut_off_without_a_role_that_signs(
    world: World,
) -> None:
    run = await begun(world, "lose", "administered")
    asked = await world.ended(run, RunState.ATTENTION)
    assert asked.approval is not None
    assert asked.approval.roles == ("approver",)
    await world.service.resolve(run.id, LEAD, Resolution.DONE)
    await world.ended(run, RunState.SUCCEEDED)


async def test_a_role_that_signs_settles_nothing_where_its_grant_does_not_reach(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await begun(world, "lose", "elsewhere")
    await world.ended(run, RunState.ATTENTION)
    only = Grant(allow=(Right.APPROVE,), roles=("approver",), channels=("#other",))
    monkeypatch.setattr(world.steering._permissions, "_policy", policy(grants=(only,)))
    with pytest.raises(NotAllowedError):
        await world.service.resolve(run.id, BOB, Resolution.DONE)


@pytest.mark.parametrize("odd", ["\x00", "\ud800"], ids=["NUL", "surrogate"])
async def test_an_error_with_characters_that_no_database_takes_fails_the_step_like_any_other(
    world: World, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    async def execute(*_given: object) -> ActionResult:
        raise ActionError(f"exit 1: {odd}")

    monkeypatch.setattr(world.actions["file.fail"], "execute", execute)
    failed = await world.ended(await begun(world, "fail", f"odd {odd!r}"), RunState.FAILED)
    assert failed.reason == "exit 1: \ufffd"
    assert failed.steps[0].state is StepState.FAILED
