"""A stored plan that is altered, at any moment and however well it is covered, does not run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from core.errors import CountersignError
from core.store.database import Database
from core.store.tables import runs
from core.workflows.plan import Plan
from core.workflows.run import Run, RunState
from core.workflows.signatures import Decision
from tests.core.workflows.office import ANN, BEN, CARL, DORA, START, Clock, Groups, rules
from tests.core.workflows.parts import lines
from tests.core.workflows.replicas import Replica, replica
from tests.core.workflows.signing_cases import EVIL, edits, workflows

_NUMBERS: Iterator[int] = count(1)


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Replica:
    return replica(database, tmp_path, rules(), workflows(), Clock(), Groups())


async def asked(here: Replica) -> Run:
    return await here.ask("one", f"{next(_NUMBERS):012x}", ANN, START)


async def alter(
    here: Replica, run: Run, edit: Callable[[dict[str, Any]], None], covered: bool
) -> None:
    async with here.database.write() as connection:
        stored = await connection.scalar(select(runs.c.plan).where(runs.c.id == run.id))
        plan = json.loads(json.dumps(stored))
        edit(plan)
        values = {"plan": plan}
        if covered:
            values["digest"] = Plan.model_validate(plan).digest
        await connection.execute(update(runs).where(runs.c.id == run.id).values(**values))


async def sign(here: Replica, run: Run) -> None:
    """Everybody tries."""
    for user in (ANN, BEN, CARL, DORA):
        try:
            await here.service.sign(run.id, user, Decision.APPROVE)
        except CountersignError:
            continue


async def go_on(here: Replica, run: Run) -> Run:
    await here.service.sweep()
    await here.carry_out(await here.store.get(run.id))
    return await here.store.get(run.id)


async def confirm(here: Replica, run: Run) -> None:
    try:
        await here.service.confirm(run.id, "look", BEN, True)
    except CountersignError:
        return


async def test_left_alone_it_runs(here: Replica, tmp_path: Path) -> None:
    run = await asked(here)
    await sign(here, run)
    assert (await go_on(here, run)).state is RunState.ATTENTION
    await confirm(here, run)
    assert (await go_on(here, run)).state is RunState.SUCCEEDED
    assert lines(tmp_path / "lines") == [f"{run.id} first", f"{run.id} second"]


@pytest.mark.parametrize("covered", [False, True], ids=["as it is", "with its digest"])
@pytest.mark.parametrize("moment", ["before signing", "after signing", "after it has begun"])
async def test_altered_it_has_no_further_effect(
    here: Replica, tmp_path: Path, moment: str, covered: bool
) -> None:
    for how, edit in edits().items():
        run = await asked(here)
        if moment == "before signing":
            await alter(here, run, edit, covered)
        await sign(here, run)
        if moment == "after signing":
            await alter(here, run, edit, covered)
        await go_on(here, run)
        await confirm(here, run)
        if moment == "after it has begun":
            await alter(here, run, edit, covered)
        ended = await go_on(here, run)
        done = [line for line in lines(tmp_path / "lines") if line.startswith(run.id)]
        begun = [f"{run.id} first"] if moment == "after it has begun" else []
        assert (how, done) == (how, begun)
        if moment == "before signing":
            assert ended.state in {RunState.AWAITING, RunState.BLOCKED}, (how, ended.reason)
        else:
            assert ended.state is RunState.BLOCKED, (how, ended.reason)
            assert "The plan is not the one that was signed" in ended.reason
    assert EVIL not in lines(tmp_path / "lines")


@pytest.mark.parametrize("column", ["requester", "digest"])
async def test_a_column_that_contradicts_the_plan_stops_it(
    here: Replica, tmp_path: Path, column: str
) -> None:
    run = await asked(here)
    other = {"requester": DORA, "digest": "sha256:" + "0" * 64}[column]
    async with here.database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run.id).values(**{column: other}))
    await sign(here, run)
    await go_on(here, run)
    assert lines(tmp_path / "lines") == []


async def test_a_signed_plan_that_is_copied_to_another_run_is_not_that_runs(
    here: Replica, tmp_path: Path
) -> None:
    signed, other = await asked(here), await asked(here)
    async with here.database.write() as connection:
        await connection.execute(
            update(runs)
            .where(runs.c.id == other.id)
            .values(plan=signed.plan.model_dump(mode="json", by_alias=True), digest=signed.digest)
        )
    await sign(here, other)
    await go_on(here, other)
    assert lines(tmp_path / "lines") == []
