"""Runs in the tables: what is read is what was written; a change of state happens once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import InvalidRequestError, NotFoundError
from core.records import Place
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.runs import Move, RunStore, Start
from core.workflows.guardrails import Claims, Rate
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.signatures import Decision, Signature
from tests.core.workflows.parts import ALICE, BOB, MADE, new_run


@pytest.fixture
def store(database: Database) -> RunStore:
    return RunStore(database, AuditLog(database))


def signature(run: Run, user: str = BOB) -> Signature:
    return Signature(user=user, digest=run.digest, decision=Decision.APPROVE, at=MADE)


async def test_a_run_is_read_as_it_was_written(store: RunStore, tmp_path: Path) -> None:
    run = await new_run(tmp_path)
    assert await store.create(run)
    read = await store.get(run.id)
    assert read == run
    assert read.plan.digest == run.digest, "the database keeps every number and character"
    assert await store.exists(run.id)
    assert not await store.exists("abcd")


async def test_of_many_who_make_the_same_run_one_does(store: RunStore, tmp_path: Path) -> None:
    run = await new_run(tmp_path)
    made = await asyncio.gather(*(store.create(run) for _ in range(10)))
    assert sorted(made) == [False] * 9 + [True]


async def test_of_many_who_move_it_on_one_does(
    store: RunStore, tmp_path: Path, database: Database
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    moved = await asyncio.gather(
        *(
            store.transition(run.id, {RunState.AWAITING}, RunState.APPROVED, "countersign")
            for _ in range(10)
        )
    )
    assert sorted(moved) == [False] * 9 + [True]
    entries = [e.action async for e in AuditLog(database).entries()]
    assert entries == ["run.requested", "run.approved"]
    assert not await store.transition("none", set(RunState), RunState.FAILED, "countersign")


async def test_a_person_signs_once_and_only_while_it_waits(
    store: RunStore, tmp_path: Path, database: Database
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    await store.sign(run, signature(run))
    with pytest.raises(InvalidRequestError, match="You have signed this run already"):
        await store.sign(run, signature(run))
    await store.transition(run.id, {RunState.AWAITING}, RunState.CANCELLED, ALICE)
    with pytest.raises(InvalidRequestError, match="no longer waits"):
        await store.sign(run, signature(run, "U5"))
    assert [s.user for s in (await store.get(run.id)).signatures] == [BOB]
    entries = [e.action async for e in AuditLog(database).entries()]
    assert entries == ["run.requested", "run.approve", "run.cancelled"], "refusals leave none"


async def begun(
    store: RunStore, folder: Path, run_id: str = "abcdef012345", claims: Claims | None = None
) -> tuple[Run, int]:
    """A run that has begun, and its epoch."""
    run = await new_run(folder, run_id, state=RunState.APPROVED)
    await store.create(run)
    started = await store.begin(Start(run.id, run.digest, ("web-1", "web-2"), claims or Claims()))
    assert started.epoch == 1
    return await store.get(run.id), 1


def step(run: Run, position: int, state: StepState, **changes: object) -> StepProgress:
    return run.steps[position].model_copy(update={"state": state, **changes})


async def test_what_a_segment_writes_is_read_as_it_was_written(
    store: RunStore, tmp_path: Path
) -> None:
    run, epoch = await begun(store, tmp_path)
    running = step(run, 0, StepState.RUNNING, attempts=1, started_at=MADE)
    assert await store.save(Move(run.id, epoch, begun={0: running})) is RunState.RUNNING
    assert (await store.get(run.id)).steps == (running, run.steps[1])
    done = step(
        run,
        0,
        StepState.SUCCEEDED,
        values={"deep": [1, {"a": None}]},
        link="x",
        due_at=MADE,
        by=BOB,
    )
    following = step(run, 1, StepState.RUNNING, attempts=1)
    move = Move(run.id, epoch, ended={0: done}, begun={1: following})
    assert await store.save(move) is RunState.RUNNING
    read = await store.get(run.id)
    assert read.steps == (done, following)
    assert read.version == run.version + 2
    assert await store.look(run.id, 1) == (RunState.RUNNING, epoch, following)


async def test_a_segment_that_has_lost_its_run_writes_nothing(
    store: RunStore, tmp_path: Path, database: Database
) -> None:
    run, epoch = await begun(store, tmp_path)
    claimed = await store.claim(run.id, run.generation)
    assert claimed is not None
    assert claimed[1] == epoch + 1
    done = step(run, 0, StepState.SUCCEEDED)
    old = Move(run.id, epoch, ended={0: done}, end=(RunState.SUCCEEDED, ""))
    new = Move(run.id, epoch + 1, begun={0: step(run, 0, StepState.RUNNING)})
    assert await asyncio.gather(store.save(old), store.save(new)) == [None, RunState.RUNNING]
    read = await store.get(run.id)
    assert (read.state, read.steps[0].state) == (RunState.RUNNING, StepState.RUNNING)
    assert "step.succeeded" not in [e.action async for e in AuditLog(database).entries()]
    assert await store.claim(run.id, run.generation + 1) is None


async def test_after_a_cancel_an_end_is_written_and_no_beginning(
    store: RunStore, tmp_path: Path
) -> None:
    run, epoch = await begun(store, tmp_path)
    await store.transition(run.id, {RunState.RUNNING}, RunState.CANCELLED, ALICE, "enough")
    done, following = step(run, 0, StepState.SUCCEEDED), step(run, 1, StepState.RUNNING)
    move = Move(run.id, epoch, ended={0: done}, begun={1: following}, end=(RunState.SUCCEEDED, ""))
    assert await store.save(move) is RunState.CANCELLED
    read = await store.get(run.id)
    assert (read.state, read.reason) == (RunState.CANCELLED, "enough")
    assert [s.state for s in read.steps] == [StepState.SUCCEEDED, StepState.PENDING]
    assert await store.claim(run.id, run.generation) is None


async def test_moves_of_many_runs_at_once_are_all_written(
    store: RunStore, tmp_path: Path, database: Database
) -> None:
    made = [await begun(store, tmp_path, f"abcd{n:08}") for n in range(20)]
    moves = [
        Move(
            run.id,
            epoch,
            ended={0: step(run, 0, StepState.SUCCEEDED, summary=f"did {run.id}")},
            end=(RunState.FAILED, "x"),
        )
        for run, epoch in made
    ]
    assert await asyncio.gather(*(store.save(move) for move in moves)) == [RunState.FAILED] * 20
    for run, _ in made:
        read = await store.get(run.id)
        assert (read.state, read.steps[0].summary) == (RunState.FAILED, f"did {run.id}")
    assert (await AuditLog(database).verify())[1] is None


async def test_a_run_does_not_stop_for_an_answer_that_it_has(
    store: RunStore, tmp_path: Path
) -> None:
    run, epoch = await begun(store, tmp_path)
    asked = step(run, 0, StepState.WAITING)
    await store.save(Move(run.id, epoch, ended={0: asked}))
    stop = Move(run.id, epoch, end=(RunState.ATTENTION, "?"), waiting=frozenset({0}))
    answer = {0: (StepState.WAITING, step(run, 0, StepState.SUCCEEDED, by=BOB))}
    said = await store.answer(run.id, RunState.RUNNING, answer, BOB, "step.confirmed")
    assert said == run.generation, "whoever carries it out goes on"
    assert await store.save(stop) is RunState.RUNNING

    await store.save(Move(run.id, epoch, ended={1: step(run, 1, StepState.UNKNOWN)}))
    stop = Move(run.id, epoch, end=(RunState.ATTENTION, "?"), waiting=frozenset({1}))
    assert await store.save(stop) is RunState.ATTENTION
    late = await store.answer(run.id, RunState.RUNNING, answer, BOB, "step.confirmed")
    assert late is None
    word = {1: (StepState.UNKNOWN, step(run, 1, StepState.PENDING))}
    said = await asyncio.gather(
        *(store.answer(run.id, RunState.ATTENTION, word, BOB, "step.repeat") for _ in range(5))
    )
    assert sorted(said, key=str) == [1, None, None, None, None]
    assert (await store.get(run.id)).state is RunState.RUNNING


async def test_an_answer_to_a_step_that_does_not_ask_changes_nothing(
    store: RunStore, tmp_path: Path
) -> None:
    run, _ = await begun(store, tmp_path)
    answer = {0: (StepState.WAITING, step(run, 0, StepState.SUCCEEDED))}
    assert await store.answer(run.id, RunState.RUNNING, answer, BOB, "step.confirmed") is None
    assert await store.get(run.id) == run


async def test_of_many_that_want_a_lock_one_begins_until_that_has_ended(
    store: RunStore, tmp_path: Path
) -> None:
    runs = [await new_run(tmp_path, f"abcd{n:08}", state=RunState.APPROVED) for n in range(5)]
    for run in runs:
        await store.create(run)
    claims = Claims(locks=("shop", "deploy"))
    started = await asyncio.gather(
        *(store.begin(Start(run.id, run.digest, (), claims)) for run in runs)
    )
    (first,) = [run for run, how in zip(runs, started, strict=True) if how.epoch]
    assert {how.conflict for how in started if not how.epoch} == {
        f"The lock deploy is held by run {first.id}."
    }
    other = next(run for run in runs if run is not first)
    apart = Start(other.id, other.digest, (), Claims(locks=("elsewhere",)))
    await store.save(Move(first.id, 1, end=(RunState.FAILED, "")))
    again = await asyncio.gather(*(store.begin(Start(r.id, r.digest, (), claims)) for r in runs))
    assert len([how for how in again if how.epoch]) == 1
    assert (await store.begin(apart)).epoch == (None if again[runs.index(other)].epoch else 1)


async def test_no_more_runs_begin_than_a_rate_allows(store: RunStore, tmp_path: Path) -> None:
    def start(run: Run, target: str) -> Start:
        of_workflow = Rate(workflow="note", target=None, limit=3, per_s=60)
        of_target = Rate(workflow=None, target=target, limit=2, per_s=60)
        return Start(run.id, run.digest, (target,), Claims(rates=(of_workflow, of_target)))

    runs = [await new_run(tmp_path, f"abcd{n:08}", state=RunState.APPROVED) for n in range(6)]
    for run in runs:
        await store.create(run)
    targets = ["web-1", "web-1", "web-1", "web-2", "web-2", "web-2"]
    started = [await store.begin(start(*pair)) for pair in zip(runs, targets, strict=True)]
    assert [how.epoch for how in started] == [1, 1, None, 1, None, None]
    assert "2 runs of web-1" in started[2].conflict
    assert "3 runs of note" in started[4].conflict


async def test_a_run_begins_once(store: RunStore, tmp_path: Path) -> None:
    run = await new_run(tmp_path, state=RunState.APPROVED)
    await store.create(run)
    start = Start(run.id, run.digest, run.plan.targets, Claims())
    started = await asyncio.gather(*(store.begin(start) for _ in range(5)))
    assert sorted(str(how.epoch) for how in started) == ["1", *["None"] * 4]
    assert not await store.postpone(run.id, 0, "too late")


async def test_a_run_that_cannot_begin_yet_is_a_new_generation(
    store: RunStore, tmp_path: Path
) -> None:
    run = await new_run(tmp_path, state=RunState.APPROVED)
    await store.create(run)
    assert await store.postpone(run.id, 0, "The lock is held.")
    assert not await store.postpone(run.id, 0, "The lock is held.")
    once = await store.get(run.id)
    assert (once.generation, once.reason) == (1, "The lock is held.")
    assert await store.postpone(run.id, 1, "The lock is held.")
    twice = await store.get(run.id)
    assert (twice.generation, twice.version) == (2, once.version), "nothing new to show"
    assert await store.under_way() == [(run.id, 2)]


async def test_runs_are_found_by_what_they_touch(store: RunStore, tmp_path: Path) -> None:
    run, _ = await begun(store, tmp_path)
    assert [r.id for r in await store.latest(9, target="web-2")] == [run.id]
    assert await store.latest(9, target="web-3") == []


async def test_runs_are_found_by_state_thread_time_and_the_beginning_of_the_id(
    store: RunStore, tmp_path: Path
) -> None:
    for number in range(4):
        await store.create(
            await new_run(
                tmp_path,
                f"abcd{number:08}",
                created_at=MADE + timedelta(minutes=number),
                state=RunState.AWAITING if number else RunState.FAILED,
                place=Place(channel="#deploys", thread="1.0"),
            )
        )
    ids = [f"abcd{number:08}" for number in range(4)]
    assert [r.id for r in await store.latest(3)] == [ids[3], ids[2], ids[1]]
    assert [r.id for r in await store.latest(9, {RunState.FAILED}, "note")] == [ids[0]]
    assert await store.latest(9, workflow="another") == []
    assert await store.latest(9, requester=BOB) == []
    pages = [r.id for r in await store.latest(9, before=MADE + timedelta(minutes=1))]
    assert pages == [ids[0]]
    assert [r.id for r in await store.latest(1, since=MADE + timedelta(minutes=3))] == [ids[3]]
    assert await store.unfinished({RunState.AWAITING}) == ids[1:]
    assert await store.states_since(MADE + timedelta(minutes=2)) == [RunState.AWAITING] * 2
    assert (await store.find(ids[2])).id == ids[2]
    with pytest.raises(NotFoundError, match="More than one run begins with 'abcd0000'"):
        await store.find("abcd0000")
    for wildcard in ("abc%", "____", "%%%%", "abc"):
        with pytest.raises(NotFoundError, match="There is no run"):
            await store.find(wildcard)
