"""What was under way when the process ended goes on in the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from core.store.database import Database
from core.workflows.run import Run, RunState, StepState
from core.workflows.steering import Resolution
from tests.core.workflows.countersigning import World, running
from tests.core.workflows.parts import BOB, LEAD, Hang
from tests.core.workflows.test_workflows_kinds import begun, reached, written
from tests.support.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'countersign.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@asynccontextmanager
async def process(url: str, folder: Path) -> AsyncIterator[World]:
    """One after the other; what hangs in one ends with its event loop."""
    database = Database(url)
    await database.open()
    async with running(database, folder) as world:
        yield world
    await database.close()


def test_a_run_goes_on_in_the_next_process_and_asks_about_the_step_that_was_cut(
    url: str, tmp_path: Path
) -> None:
    async def first() -> tuple[Run, Run]:
        async with process(url, tmp_path) as world:
            waiting = await world.request("note", "waited")
            run = await world.request("hang", "cut")
            await world.approve(run, BOB)
            await asyncio.wait_for(cast("Hang", world.actions["file.hang"]).begun.wait(), 10)
            return waiting, run

    async def second(waiting: Run, run: Run) -> None:
        async with process(url, tmp_path) as world:
            asked = await world.ended(run, RunState.ATTENTION)
            assert asked.reason == (
                "It was cut off in the middle; nobody knows whether it took effect."
            )
            await world.service.resolve(run.id, BOB, Resolution.DONE)
            await world.ended(run, RunState.SUCCEEDED)
            assert (world.times("cut"), world.times("after cut")) == (1, 1)

            await world.approve(waiting, BOB)
            await world.ended(waiting, RunState.SUCCEEDED)
            assert world.times("waited") == 1

    asyncio.run(second(*asyncio.run(first())))


def test_branches_waits_and_manual_steps_go_on_where_they_were(url: str, tmp_path: Path) -> None:
    async def first() -> tuple[Run, Run, Run]:
        async with process(url, tmp_path) as world:
            asked = await world.request("manual", "m")
            await world.approve(asked, BOB)
            asked = await world.ended(asked, RunState.ATTENTION)
            waits = await begun(world, "patient", "w")
            waits = await reached(world, waits, "pause", StepState.WAITING)
            beside = await begun(world, "beside", "b")
            await asyncio.wait_for(cast("Hang", world.actions["file.hang"]).begun.wait(), 10)
            beside = await reached(world, beside, "check", StepState.WAITING)
            return asked, waits, beside

    async def second(asked: Run, waits: Run, beside: Run) -> None:
        async with process(url, tmp_path) as world:
            await world.service.confirm(asked.id, "check", LEAD, done=True)
            await world.ended(asked, RunState.SUCCEEDED)
            assert written(world, "m") == ["before", "before, confirmed"]

            waited = await world.ended(waits, RunState.SUCCEEDED)
            assert waited.steps[1].due_at == waits.steps[1].due_at, "it does not wait once more"
            assert written(world, "w") == ["before", "behind"]

            now = await world.ended(beside, RunState.ATTENTION)
            assert [s.state for s in now.steps] == [
                StepState.WAITING,
                StepState.PENDING,
                StepState.UNKNOWN,
            ]
            await world.service.resolve(beside.id, BOB, Resolution.DONE)
            await world.ended(beside, RunState.ATTENTION)
            await world.service.confirm(beside.id, "check", BOB, done=True)
            await world.ended(beside, RunState.SUCCEEDED)
            assert written(world, "b") == ["hanging", "confirmed"]

    asyncio.run(second(*asyncio.run(first())))
