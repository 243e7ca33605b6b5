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
from core.store.runs import RunStore
from core.workflows.run import Run, RunState, StepState
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


async def test_a_step_that_begins_is_noted_before_its_effect(
    store: RunStore, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    before = await store.begin_step(run.id, 0)
    assert (before.state, before.attempts) == (StepState.PENDING, 0)
    noted = (await store.get(run.id)).steps[0]
    assert (noted.state, noted.attempts) == (StepState.RUNNING, 1)
    done = noted.model_copy(
        update={"state": StepState.SUCCEEDED, "values": {"deep": [1, {"a": None}]}, "link": "x"}
    )
    await store.set_step(run.id, 0, done, "countersign")
    assert await store.begin_step(run.id, 0) == done
    assert (await store.get(run.id)).steps == (done, run.steps[1])


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
    assert await store.unfinished({RunState.AWAITING}) == ids[1:]
    assert await store.states_since(MADE + timedelta(minutes=2)) == [RunState.AWAITING] * 2
    assert (await store.find(ids[2])).id == ids[2]
    with pytest.raises(NotFoundError, match="More than one run begins with 'abcd0000'"):
        await store.find("abcd0000")
    for wildcard in ("abc%", "____", "%%%%", "abc"):
        with pytest.raises(NotFoundError, match="There is no run"):
            await store.find(wildcard)


async def test_a_run_is_behind_until_its_newest_version_is_shown(
    store: RunStore, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    assert await store.not_shown() == [run.id]
    place = Place(channel="C1", thread="9.0")
    await store.shown(run.id, run.version, place, "9.0")
    assert await store.not_shown() == []
    await store.sign(run, signature(run))
    assert await store.not_shown() == [run.id]
    await store.shown(run.id, run.version, place, "old")
    assert await store.not_shown() == [run.id], "an older version says nothing new"
    now = await store.get(run.id)
    assert (now.place, now.message) == (place, "9.0")
