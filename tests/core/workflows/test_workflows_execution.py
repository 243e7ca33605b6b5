"""At execution everything is checked again; each effect happens once; people are asked in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from sqlalchemy import update

from core.errors import InvalidRequestError, NotAllowedError
from core.records import Idempotency, Risk
from core.store.runs import Start, Started
from core.store.tables import runs
from core.workflows.actions import ActionResult
from core.workflows.run import Run, RunState, StepState
from core.workflows.steering import CutOff, Resolution
from tests.core.workflows.countersigning import IN_FREEZE, World, at
from tests.core.workflows.meeting import together
from tests.core.workflows.parts import ALICE, BOB, CAROL, DAVE, DEPLOYS, Hang
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@contextmanager
def engine_down(world: World) -> Iterator[None]:
    """The engine cannot be started now."""

    async def start(run_id: str, generation: int, known: Run | None = None) -> None:
        raise ConnectionError("the engine's database is away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.engine, "start", start)
        yield


async def signed(world: World, workflow: str, line: str, *signers: str) -> Run:
    """An approved run that has not begun, because the engine was down."""
    run = await world.request(workflow, line)
    *others, last = signers or (BOB,)
    for signer in others:
        await world.approve(run, signer, workflow)
    with engine_down(world), pytest.raises(ConnectionError):
        await world.approve(run, last, workflow)
    approved = await world.service.get(run.id)
    assert approved.state is RunState.APPROVED
    return approved


async def begun(world: World, workflow: str, line: str) -> Run:
    """An approved run that has."""
    run = await world.request(workflow, line)
    return await world.approve(run, BOB)


def hanging(world: World, name: str) -> Hang:
    """The action that hangs, with no attempt of an earlier test remembered."""
    action = cast("Hang", world.actions[name])
    action.begun.clear()
    action.go_on.clear()
    return action


async def blocked(world: World, run: Run) -> str:
    """Why a run was blocked, once it was."""
    await world.service.sweep()
    return (await world.ended(run, RunState.BLOCKED)).reason


async def test_an_approved_run_that_could_not_begin_is_picked_up_by_the_sweep(
    world: World,
) -> None:
    run = await signed(world, "note", "picked up")
    assert world.times("picked up") == 0
    await world.service.sweep()
    await world.ended(run, RunState.SUCCEEDED)
    await world.service.sweep()
    assert world.times("picked up") == 1


async def test_a_freeze_that_began_since_blocks_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await signed(world, "note", "cold")
    with monkeypatch.context() as patched:
        at(patched, IN_FREEZE)
        reason = await blocked(world, run)
    assert reason == "far away until Sat 2100-01-02 00:00 UTC."
    assert world.times("cold") == 0


async def test_a_signer_who_lost_the_role_since_blocks_it(world: World) -> None:
    run = await signed(world, "note", "lost")
    world.people.groups["oncall"].remove(BOB)
    try:
        reason = await blocked(world, run)
    finally:
        world.people.groups["oncall"].add(BOB)
    assert reason.startswith(f"0 of 1 signed; does not count: {BOB}. The guardrail: ")
    assert world.times("lost") == 0


async def test_a_plan_altered_after_it_was_signed_is_blocked(world: World) -> None:
    run = await signed(world, "note", "honest")

    def alter(plan: dict[str, Any]) -> None:
        plan["steps"][0]["arguments"]["line"] = "evil"

    await world.alter(run, alter)
    assert (await blocked(world, run)).startswith("The plan is not the one that was signed")
    assert (world.times("honest"), world.times("evil")) == (0, 0)


async def test_a_plan_altered_together_with_its_digest_has_no_signatures(world: World) -> None:
    run = await signed(world, "note", "honest too")

    def alter(plan: dict[str, Any]) -> None:
        plan["steps"][0]["arguments"]["line"] = "evil"
        plan["steps"][0]["description"] = "Append “evil”"

    await world.alter(run, alter)
    forged = (await world.store.get(run.id)).plan.digest
    async with world.database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run.id).values(digest=forged))
    assert (await blocked(world, run)).startswith("The plan is not the one that was signed")
    assert world.times("evil") == 0


async def test_a_guardrail_taken_out_of_the_plan_is_noticed(world: World) -> None:
    run = await signed(world, "note", "guarded")
    await world.alter(run, lambda plan: plan["guardrails"].clear())
    assert (await blocked(world, run)).startswith("The plan is not the one that was signed")


async def test_a_plan_altered_while_it_waits_cannot_be_signed(world: World) -> None:
    run = await world.request("note", "waiting")
    await world.alter(run, lambda plan: plan.update(objective="Something nice."))
    with pytest.raises(InvalidRequestError, match="The plan was altered after it was shown"):
        await world.approve(run, BOB)


async def test_a_plan_that_is_none_any_more_is_blocked_and_stops_nothing_else(
    world: World,
) -> None:
    broken, awaiting = await signed(world, "note", "broken"), await world.request("note", "b2")
    healthy = await signed(world, "note", "healthy")
    for run in (broken, awaiting):
        await world.alter(run, lambda plan: plan.pop("steps"))
    await world.service.sweep()
    await world.ended(healthy, RunState.SUCCEEDED)
    listed = [run.id for run in await world.service.latest(50)]
    assert healthy.id in listed
    assert not {broken.id, awaiting.id} & set(listed)
    for run in (broken, awaiting):
        last = (await world.entries(run.id))[-1]
        assert last.action == "run.blocked"
        assert "cannot be read" in last.details
    assert world.times("broken") == 0


async def test_an_action_that_would_now_do_something_else_is_blocked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await signed(world, "note", "meant")
    with monkeypatch.context() as patched:
        patched.setattr(type(world.actions["file.append"]), "describe", lambda *_: "Format disks")
        reason = await blocked(world, run)
    assert reason == "'Do first' would now be “Format disks”; signed was “Append “meant””."

    riskier = await signed(world, "note", "safe")
    with monkeypatch.context() as patched:
        patched.setattr(world.actions["file.append"], "risk", Risk.DESTRUCTIVE, raising=False)
        reason = await blocked(world, riskier)
    assert reason == "'Do first' is destructive now, and change was signed."
    assert (world.times("meant"), world.times("safe")) == (0, 0)


async def test_a_step_that_turns_out_riskier_than_signed_is_not_done(world: World) -> None:
    """Its arguments come from an earlier step, so only then it can be known."""
    run = await signed(world, "surprise", "x", BOB, CAROL)
    await world.service.sweep()
    failed = await world.ended(run, RunState.FAILED)
    assert failed.reason == (
        "file.append would be destructive with these arguments, and change was signed."
    )
    assert world.times("drop") == 1


async def test_a_step_that_fails_stops_the_rest(world: World) -> None:
    failed = await world.ended(await begun(world, "fail", "unwritten"), RunState.FAILED)
    assert failed.reason == "the file is write-protected"
    assert [s.state for s in failed.steps] == [StepState.FAILED, StepState.PENDING]
    assert world.times("unwritten") == 0


async def test_a_bug_in_an_action_whose_effect_is_open_needs_a_person(world: World) -> None:
    asked = await world.ended(await begun(world, "bug", "buggy"), RunState.ATTENTION)
    assert asked.reason == "The action has a bug: ZeroDivisionError: a bug in an action"
    await world.service.resolve(asked.id, BOB, Resolution.STOP)
    assert world.times("buggy") == 0


async def test_after_a_bug_in_an_action_that_may_be_repeated_the_rest_is_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(*_given: object) -> ActionResult:
        raise ZeroDivisionError("a bug in an action")

    monkeypatch.setattr(world.actions["file.fail"], "execute", execute)
    monkeypatch.setattr(world.actions["file.fail"], "idempotency", Idempotency.NATURAL)
    failed = await world.ended(await begun(world, "undone", "bugs"), RunState.FAILED)
    assert failed.reason == "The action has a bug: ZeroDivisionError: a bug in an action"
    assert (world.times("bugs undo b"), world.times("bugs undo bugs a")) == (1, 1)


async def test_a_step_over_its_time_is_stopped(world: World) -> None:
    failed = await world.ended(await begun(world, "slow", "slowly"), RunState.FAILED)
    assert failed.reason == "It did not finish within 1 s and was stopped."


async def test_a_step_over_its_time_whose_effect_is_open_needs_a_person(world: World) -> None:
    asked = await world.ended(await begun(world, "slow-once", "open"), RunState.ATTENTION)
    assert asked.steps[0].state is StepState.UNKNOWN
    await world.service.resolve(asked.id, BOB, Resolution.STOP)
    assert (await world.ended(asked, RunState.CANCELLED)).reason == "Stopped after a cut-off."


async def test_an_action_gets_its_key_its_run_and_its_place_and_long_output_is_cut(
    world: World,
) -> None:
    done = await world.ended(await begun(world, "note", "long"), RunState.SUCCEEDED)
    assert len(done.steps[0].output) == 20_000
    context = world.actions["file.append"].contexts[-1]
    assert (context.key, context.run_id) == (f"{done.id}/first", done.id)
    assert (context.requester, context.place, context.repeated) == (ALICE, DEPLOYS, False)


async def test_values_and_links_too_large_to_keep_are_left_out_and_the_step_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(*_given: object) -> ActionResult:
        link = "https://example.test/" + "x" * 5_000
        return ActionResult(summary="Done." * 1_000, values={"all": "x" * 300_000}, link=link)

    monkeypatch.setattr(world.actions["file.append"], "execute", execute)
    (step,) = (await world.ended(await begun(world, "note", "big"), RunState.SUCCEEDED)).steps
    assert (step.values, step.link) == ({}, None)
    assert step.summary.endswith("Done. (Its values are too large to keep: 300011 characters.)")


async def test_a_cancelled_run_does_no_further_step(world: World) -> None:
    hang = hanging(world, "file.hang")
    run = await begun(world, "hang", "half")
    await asyncio.wait_for(hang.begun.wait(), 10)
    await world.service.cancel(run.id, ALICE)
    hang.go_on.set()

    async def over() -> Any:
        step = (await world.service.get(run.id)).steps[0]
        return step.state is StepState.SUCCEEDED

    await until(over, "the step that was under way has ended")
    cancelled = await world.service.get(run.id)
    assert cancelled.state is RunState.CANCELLED
    assert [s.state for s in cancelled.steps] == [StepState.SUCCEEDED, StepState.PENDING]
    assert (world.times("half"), world.times("after half")) == (1, 0)


@pytest.mark.parametrize(
    ("resolution", "times", "after", "ended"),
    [
        (Resolution.DONE, 1, 1, RunState.SUCCEEDED),
        (Resolution.REPEAT, 2, 1, RunState.SUCCEEDED),
        (Resolution.STOP, 1, 0, RunState.CANCELLED),
    ],
)
async def test_where_nobody_knows_whether_it_was_done_a_person_says(
    world: World, resolution: Resolution, times: int, after: int, ended: RunState
) -> None:
    line = f"lost, {resolution}"
    asked = await world.ended(await begun(world, "lose", line), RunState.ATTENTION)
    assert asked.reason == "The answer was lost."
    with pytest.raises(NotAllowedError, match="decide about a step that was cut off"):
        await world.service.resolve(asked.id, DAVE, resolution)
    assert (await world.service.get(asked.id)).state is RunState.ATTENTION
    assert (world.times(line), world.times(f"after {line}")) == (1, 0)

    await world.service.resolve(asked.id, CAROL, resolution)
    over = await world.ended(asked, ended)
    assert (world.times(line), world.times(f"after {line}")) == (times, after)
    about = [*await world.entries(over.id), *await world.entries(f"{over.id}/first")]
    assert any(e.actor == CAROL for e in about)
    if resolution is Resolution.DONE:
        assert over.steps[0].summary == f"Done before the cut-off, says {CAROL}."
    with pytest.raises(InvalidRequestError, match="No step of this run waits"):
        await world.service.resolve(asked.id, CAROL, resolution)


async def test_of_two_words_about_one_cut_off_the_first_counts(world: World) -> None:
    asked = await world.ended(await begun(world, "lose", "two words"), RunState.ATTENTION)
    await world.service.resolve(asked.id, BOB, Resolution.DONE)
    with pytest.raises(InvalidRequestError, match="Somebody has been faster"):
        await world.steering.resolve(asked, CAROL, Resolution.REPEAT)
    await world.ended(asked, RunState.SUCCEEDED)
    assert world.times("two words") == 1


async def cut_off(world: World, run: Run, name: str, generation: int = 0) -> None:
    """Carry a run out without the engine, and die in the middle of its first step."""
    hang = hanging(world, name)
    segment = asyncio.create_task(world.execution.carry_out(run.id, generation))
    await asyncio.wait_for(hang.begun.wait(), 10)
    segment.cancel()
    await asyncio.wait({segment})
    assert segment.cancelled()


async def test_a_run_begins_once_and_each_step_is_done_once_whoever_asks(world: World) -> None:
    run = await signed(world, "note", "only once")
    await together([world.store], (world.execution.carry_out(run.id, 0) for _ in range(3)))
    await world.execution.carry_out(run.id, 0)
    assert (await world.service.get(run.id)).state is RunState.SUCCEEDED
    assert world.times("only once") == 1
    begun_entries = [e for e in await world.entries(run.id) if e.action == "run.running"]
    assert len(begun_entries) == 1


async def test_a_word_about_an_earlier_cut_off_is_none_about_the_next(world: World) -> None:
    run = await signed(world, "hang", "cut again")
    await cut_off(world, run, "file.hang")
    await world.execution.carry_out(run.id, 0)
    first = CutOff(run.plan.steps[0].id, 1)
    with engine_down(world), pytest.raises(ConnectionError):
        await world.service.resolve(run.id, BOB, Resolution.REPEAT, first)
    await cut_off(world, run, "file.hang", generation=1)
    await world.execution.carry_out(run.id, 1)
    assert (await world.service.get(run.id)).state is RunState.ATTENTION
    with pytest.raises(InvalidRequestError, match="No step of this run waits"):
        await world.service.resolve(run.id, BOB, Resolution.REPEAT, first)
    await world.service.resolve(run.id, BOB, Resolution.STOP, first._replace(attempts=2))
    assert world.times("cut again") == 2


async def test_a_step_cut_off_that_must_not_be_repeated_is_asked_about_after_every_cut(
    world: World,
) -> None:
    run = await signed(world, "hang", "cut")
    await cut_off(world, run, "file.hang")
    for _ in range(2):  # the second time as after a crash before the end was kept
        async with asyncio.timeout(10):
            await world.execution.carry_out(run.id, 0)
        assert (await world.service.get(run.id)).state is RunState.ATTENTION
    assert world.times("cut") == 1

    with engine_down(world), pytest.raises(ConnectionError):
        await world.service.resolve(run.id, BOB, Resolution.REPEAT)
    await cut_off(world, run, "file.hang", generation=1)
    assert world.times("cut") == 2
    await world.execution.carry_out(run.id, 0)  # an older generation has no say
    assert (await world.service.get(run.id)).state is RunState.RUNNING
    await world.execution.carry_out(run.id, 1)
    asked = await world.service.get(run.id)
    assert (asked.state, asked.steps[0].state) == (RunState.ATTENTION, StepState.UNKNOWN)
    assert world.times("cut") == 2, "one word allows one attempt"


async def test_a_step_cut_off_that_may_be_repeated_is_told_that_it_is(world: World) -> None:
    run = await signed(world, "slow", "natural")
    await cut_off(world, run, "file.hang_naturally")
    hang = hanging(world, "file.hang_naturally")
    hang.go_on.set()
    await world.execution.carry_out(run.id, 0)
    assert (await world.service.get(run.id)).state is RunState.SUCCEEDED
    assert [c.repeated for c in hang.contexts if c.run_id == run.id] == [False, True]


async def test_whoever_claims_a_run_is_the_only_one_who_writes_of_it(world: World) -> None:
    run = await signed(world, "slow", "fenced")
    hang = hanging(world, "file.hang_naturally")
    first = asyncio.create_task(world.execution.carry_out(run.id, 0))
    await asyncio.wait_for(hang.begun.wait(), 10)
    hang.begun.clear()
    second = asyncio.create_task(world.execution.carry_out(run.id, 0))  # as if the first were dead
    await asyncio.wait_for(hang.begun.wait(), 10)
    before = [e.action for e in await world.entries(run.id)]
    hang.go_on.set()
    await asyncio.gather(first, second)
    ended = await world.service.get(run.id)
    assert (ended.state, ended.steps[0].attempts) == (RunState.SUCCEEDED, 2)
    after = [e.action for e in await world.entries(run.id)][len(before) :]
    assert after == ["run.succeeded"], "the first one's end of the step was not written"


async def test_a_run_cancelled_while_a_step_lost_its_answer_waits_for_nobody(
    world: World,
) -> None:
    run = await signed(world, "slow-once", "gone")
    hang = hanging(world, "file.hang")
    segment = asyncio.create_task(world.execution.carry_out(run.id, 0))
    await asyncio.wait_for(hang.begun.wait(), 10)
    await world.service.cancel(run.id, ALICE)
    await segment
    assert (await world.service.get(run.id)).state is RunState.CANCELLED


async def test_a_run_whose_beginning_was_written_and_not_answered_is_taken_up_again(
    world: World,
) -> None:
    begin = world.store.begin

    async def lost(start: Start) -> Started:
        await begin(start)
        return Started()

    run = await world.request("note", "lost commit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.store, "begin", lost)
        await world.approve(run, BOB)
        await world.ended(run, RunState.RUNNING)

        async def let_go() -> Any:
            return await world.engine.missing([(run.id, 0)])

        await until(let_go, "the engine is done with it")
    for _ in range(2):
        await world.service.sweep()
    await world.ended(run, RunState.SUCCEEDED)
    assert world.times("lost commit") == 1
