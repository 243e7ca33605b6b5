"""Each kind of step, on the real engine."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from core.errors import InvalidRequestError, NotAllowedError
from core.records import Value
from core.workflows.run import Run, RunState, StepState
from core.workflows.steering import Resolution
from tests.core.workflows.countersigning import World
from tests.core.workflows.parts import ALICE, BOB, CAROL, DAVE, LEAD, Breakable, Hang, lines, typed
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def begun(world: World, workflow: str, line: str, **arguments: Value) -> Run:
    """An approved run."""
    run = await world.request(workflow, line, arguments=typed(line=line, **arguments))
    return await world.approve(run, BOB)


async def succeeded(world: World, workflow: str, line: str, **arguments: Value) -> Run:
    run = await begun(world, workflow, line, **arguments)
    return await world.ended(run, RunState.SUCCEEDED)


def written(world: World, line: str) -> list[str]:
    """What was appended under this mark, without the mark."""
    return [one.removeprefix(line).strip() for one in lines(world.file) if one.startswith(line)]


def states(run: Run) -> dict[str, StepState]:
    return {step.step_id: step.state for step in run.steps}


async def reached(world: World, run: Run, step: str, state: StepState) -> Run:
    """The run once a step is in a state."""

    async def look() -> Run | None:
        now = await world.service.get(run.id)
        return now if states(now)[step] is state else None

    found: Run = await until(look, f"{step} is {state}")
    return found


def hanging(world: World) -> Hang:
    action = cast("Hang", world.actions["file.hang"])
    action.begun.clear()
    action.go_on.clear()
    return action


async def test_a_rollout_goes_through_its_list_in_batches_with_pauses(world: World) -> None:
    run = await succeeded(world, "rollout", "r1", hosts=("web-1", "web-2", "web-3"))
    assert run.plan.targets == ("web-1", "web-2", "web-3")
    done = written(world, "r1")
    assert sorted(done[:4]) == ["web-1", "web-1 verified", "web-2", "web-2 verified"]
    assert done[4:] == ["web-3", "web-3 verified", "after 3"]
    at = {step.step_id: step for step in run.steps}
    ended = max(at[f"verify[web-{n}]"].finished_at or run.created_at for n in (1, 2))
    assert (at["deploy[web-3]"].started_at or ended) - ended >= timedelta(seconds=1)


async def test_branches_run_at_once_and_are_waited_for(world: World) -> None:
    run = await succeeded(world, "branches", "p1")
    done = written(world, "p1")
    assert done[-1] == "joined"
    assert sorted(done) == ["joined", "left-1", "left-2", "right"]
    assert done.index("left-1") < done.index("left-2")
    assert set(states(run).values()) == {StepState.SUCCEEDED}


async def test_where_one_branch_fails_the_others_come_to_their_end_and_nothing_follows(
    world: World,
) -> None:
    hang = hanging(world)
    run = await begun(world, "half", "p2")
    await asyncio.wait_for(hang.begun.wait(), 10)
    await reached(world, run, "left", StepState.FAILED)
    assert (await world.service.get(run.id)).state is RunState.RUNNING
    hang.go_on.set()
    ended = await world.ended(run, RunState.FAILED)
    assert states(ended) == {
        "left": StepState.FAILED,
        "right": StepState.SUCCEEDED,
        "joined": StepState.PENDING,
    }
    assert ended.reason == "the file is write-protected"


async def test_a_condition_that_is_known_leaves_its_step_out_of_the_plan(world: World) -> None:
    run = await succeeded(world, "chosen", "c1")
    assert states(run) == {
        "first": StepState.SUCCEEDED,
        "yes": StepState.SUCCEEDED,
        "never": StepState.SKIPPED,
    }
    assert written(world, "c1") == ["first", "yes"]
    never = run.steps[2].summary
    assert never.startswith("Left out: (steps.first.line.endsWith('first')) && (steps.yes.state")
    with_hosts = await succeeded(world, "chosen", "c2", hosts=("a",))
    assert with_hosts.plan.steps[0].id == "known"


async def test_a_condition_that_cannot_be_told_fails_its_step(world: World) -> None:
    failed = await world.ended(await begun(world, "wrong", "c3"), RunState.FAILED)
    assert states(failed)["second"] is StepState.FAILED
    assert "lin" in failed.reason
    assert written(world, "c3") == ["first"]


async def test_a_wait_is_waited(world: World) -> None:
    run = await succeeded(world, "patient", "w1")
    before, pause, behind = run.steps
    assert pause.summary == "Waited 1 s."
    assert (behind.started_at or run.created_at) - (before.finished_at or run.created_at) >= (
        timedelta(seconds=1)
    )
    assert pause.due_at is not None


async def test_a_manual_step_waits_for_a_person_with_its_role_and_what_was_shown_is_theirs(
    world: World,
) -> None:
    asked = await world.ended(await begun(world, "manual", "m1"), RunState.ATTENTION)
    assert asked.reason == "To do and to confirm: Check it."
    check = asked.steps[1]
    assert (check.state, check.summary) == (StepState.WAITING, "Look at m1")
    assert check.values == {"seen": "m1 before"}
    for stranger in (BOB, DAVE):
        with pytest.raises(NotAllowedError, match="confirm 'Check it'"):
            await world.service.confirm(asked.id, "check", stranger, done=True)
    with pytest.raises(InvalidRequestError, match="no step 'before'"):
        await world.service.confirm(asked.id, "before", LEAD, done=True)
    await world.service.confirm(asked.id, "check", LEAD, done=True, comment="fine")
    done = await world.ended(asked, RunState.SUCCEEDED)
    assert written(world, "m1") == ["before", "before, confirmed"]
    assert (done.steps[1].by, done.steps[1].summary) == (LEAD, f"Done, says {LEAD}. “fine”")
    with pytest.raises(InvalidRequestError, match="does not wait for anybody"):
        await world.service.confirm(asked.id, "check", LEAD, done=True)
    assert any(e.actor == LEAD for e in await world.entries(f"{asked.id}/check"))


async def test_a_manual_step_without_roles_is_for_those_who_may_countersign(world: World) -> None:
    asked = await world.ended(await begun(world, "manual-open", "m2"), RunState.ATTENTION)
    with pytest.raises(NotAllowedError, match="confirm 'Check it'"):
        await world.service.confirm(asked.id, "check", DAVE, done=True)
    await world.service.confirm(asked.id, "check", ALICE, done=True)  # no four eyes here
    await world.ended(asked, RunState.SUCCEEDED)


async def test_a_manual_step_that_was_not_done_ends_the_run(world: World) -> None:
    asked = await world.ended(await begun(world, "manual-open", "m3"), RunState.ATTENTION)
    await world.service.confirm(asked.id, "check", CAROL, done=False)
    failed = await world.ended(asked, RunState.FAILED)
    assert failed.reason == f"Not done, says {CAROL}."
    assert written(world, "m3") == []


async def test_of_two_people_who_confirm_the_first_counts(world: World) -> None:
    asked = await world.ended(await begun(world, "manual-open", "m4"), RunState.ATTENTION)
    answers = await asyncio.gather(
        *(world.steering.confirm(asked, "check", user, done=True) for user in (BOB, CAROL, ALICE)),
        return_exceptions=True,
    )
    assert len([a for a in answers if isinstance(a, InvalidRequestError)]) == 2
    await world.ended(asked, RunState.SUCCEEDED)
    assert written(world, "m4") == ["behind"]


async def test_a_manual_step_that_nobody_confirms_in_time_fails(world: World) -> None:
    run = await world.ended(await begun(world, "manual-short", "m5"), RunState.ATTENTION)

    async def over() -> Any:
        await world.service.sweep()
        now = await world.service.get(run.id)
        return now if now.state is RunState.FAILED else None

    failed: Run = await until(over, "the time is over")
    assert failed.reason == "Nobody confirmed 'Check it' in time."


async def test_a_confirmed_step_goes_on_at_once_while_another_branch_is_still_at_work(
    world: World,
) -> None:
    hang = hanging(world)
    run = await begun(world, "beside", "b1")
    await asyncio.wait_for(hang.begun.wait(), 10)
    await reached(world, run, "check", StepState.WAITING)
    assert (await world.service.get(run.id)).state is RunState.RUNNING
    await world.service.confirm(run.id, "check", BOB, done=True)
    await reached(world, run, "confirmed", StepState.SUCCEEDED)
    assert written(world, "b1") == ["hanging", "confirmed"]
    hang.go_on.set()
    await world.ended(run, RunState.SUCCEEDED)


async def test_a_run_asks_for_attention_once_nothing_else_can_go_on(world: World) -> None:
    hang = hanging(world)
    run = await begun(world, "beside", "b2")
    await asyncio.wait_for(hang.begun.wait(), 10)
    hang.go_on.set()
    asked = await world.ended(run, RunState.ATTENTION)
    assert states(asked)["hang"] is StepState.SUCCEEDED
    await world.service.cancel(run.id, ALICE)
    with pytest.raises(InvalidRequestError, match="does not wait for anybody"):
        await world.service.confirm(run.id, "check", BOB, done=True)


async def test_what_was_done_is_undone_last_first_and_then_what_follows_a_failure_is_done(
    world: World,
) -> None:
    failed = await world.ended(await begun(world, "undone", "u1"), RunState.FAILED)
    assert written(world, "u1") == [
        *("a", "b", "c"),
        "undo b",
        "undo u1 a",
        "told: the file is write-protected",
    ]
    assert failed.reason == "the file is write-protected"
    assert states(failed)["d.undo"] is StepState.PENDING, "what was not done is not undone"


async def test_an_undo_that_fails_does_not_keep_the_others_from_being_done(world: World) -> None:
    failed = await world.ended(await begun(world, "undone-badly", "u2"), RunState.FAILED)
    assert written(world, "u2") == ["a", "b", "undo a"]
    assert states(failed)["b.undo"] is StepState.FAILED


async def test_nothing_is_undone_when_those_who_signed_no_longer_may(world: World) -> None:
    breakable = cast("Breakable", world.actions["file.fail"])
    run = await world.request("undone", "u3", arguments=typed(line="u3"))
    before = type(breakable).execute

    async def then_leave(*given: Any) -> Any:
        world.people.groups["oncall"].discard(BOB)
        return await before(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(breakable), "execute", then_leave)
        await world.approve(run, BOB)
        failed = await world.ended(run, RunState.FAILED)
    world.people.groups["oncall"].add(BOB)
    assert written(world, "u3") == ["a", "b", "c"]
    assert "Nothing was undone: 0 of 1 signed" in failed.reason


async def test_a_step_is_tried_again_as_often_as_it_says(world: World) -> None:
    run = await succeeded(world, "flaky", "f1")
    assert (run.steps[0].attempts, written(world, "f1")) == (3, [""])
    contexts = [c for c in world.actions["file.flaky"].contexts if c.run_id == run.id]
    assert [c.repeated for c in contexts] == [False, True, True]
    assert len({c.key for c in contexts}) == 1
    hopeless = await world.ended(await begun(world, "hopeless", "f2"), RunState.FAILED)
    assert (hopeless.steps[0].attempts, hopeless.reason) == (3, "not yet")


async def test_a_failed_run_goes_on_from_what_failed_under_the_same_signatures(
    world: World,
) -> None:
    action = cast("Breakable", world.actions["file.breakable"])
    action.broken = True
    failed = await world.ended(await begun(world, "breakable", "t1"), RunState.FAILED)
    assert written(world, "t1") == ["before", "told"]
    with pytest.raises(NotAllowedError, match="let this run go on"):
        await world.service.retry(failed.id, DAVE)
    await world.service.retry(failed.id, ALICE, failed.generation)
    again = await world.ended(failed, RunState.FAILED)
    assert again.steps[1].attempts == 2
    with pytest.raises(InvalidRequestError, match="gone on since"):  # the same press, late
        await world.service.retry(failed.id, ALICE, failed.generation)
    action.broken = False
    await world.service.retry(failed.id, CAROL)
    done = await world.ended(failed, RunState.SUCCEEDED)
    assert written(world, "t1") == ["before", "told", "told", "second"]
    assert (done.digest, done.signatures) == (failed.digest, failed.signatures)
    with pytest.raises(InvalidRequestError, match="only a failed one can go on"):
        await world.service.retry(failed.id, ALICE)


async def test_a_run_of_which_something_was_undone_is_not_retried(world: World) -> None:
    failed = await world.ended(await begun(world, "undone", "t2"), RunState.FAILED)
    with pytest.raises(InvalidRequestError, match="were undone after the failure"):
        await world.service.retry(failed.id, ALICE)


async def test_a_run_is_not_retried_when_a_signer_lost_the_role(world: World) -> None:
    failed = await world.ended(await begun(world, "fail", "t3"), RunState.FAILED)
    world.people.groups["oncall"].discard(BOB)
    try:
        with pytest.raises(InvalidRequestError, match=r"It cannot go on.*does not count"):
            await world.service.retry(failed.id, ALICE)
    finally:
        world.people.groups["oncall"].add(BOB)
    assert (await world.service.get(failed.id)).state is RunState.FAILED


async def test_a_lock_lets_the_second_wait_until_the_first_has_ended(world: World) -> None:
    hang = hanging(world)
    first = await begun(world, "locked", "l1")
    await asyncio.wait_for(hang.begun.wait(), 10)
    second = await begun(world, "locked", "l2")
    for _ in range(3):
        await world.service.sweep()

    async def told() -> Any:
        now = await world.service.get(second.id)
        return now if now.reason else None

    waiting: Run = await until(told, "it says what it waits for")
    assert waiting.state is RunState.APPROVED
    assert f"by run {first.id}" in waiting.reason
    assert world.times("l2") == 0
    hang.go_on.set()
    await world.ended(first, RunState.SUCCEEDED)

    async def over() -> Any:
        await world.service.sweep()
        now = await world.service.get(second.id)
        return now if now.state is RunState.SUCCEEDED else None

    await until(over, "the second has begun")
    assert world.times("l2") == 1


async def test_a_run_that_waits_for_days_can_be_cancelled(world: World) -> None:
    run = await begun(world, "long", "w2")
    await reached(world, run, "pause", StepState.WAITING)
    await world.service.cancel(run.id, ALICE)
    assert (await world.service.get(run.id)).state is RunState.CANCELLED


async def test_an_undo_that_was_cut_off_is_asked_about(world: World) -> None:
    hang = hanging(world)
    run = await begun(world, "undone-slowly", "u4")
    await asyncio.wait_for(hang.begun.wait(), 10)
    hang.begun.clear()
    await world.engine.recover(["test"])  # another process goes on, as if this one were dead
    asked = await world.ended(run, RunState.ATTENTION)
    assert states(asked)["a.undo"] is StepState.UNKNOWN
    await world.service.resolve(run.id, BOB, Resolution.DONE)
    failed = await world.ended(run, RunState.FAILED)
    assert failed.reason == "the file is write-protected"
    assert written(world, "u4").count("undoing") == 1
    hang.go_on.set()
