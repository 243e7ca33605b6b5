"""What was under way when the process ended goes on in the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from core.store.database import Database
from core.workflows.run import Run, RunState
from core.workflows.steering import Resolution
from tests.core.workflows.countersigning import World, running
from tests.core.workflows.parts import BOB, Hang
from tests.support.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'countersign.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


def test_a_run_goes_on_in_the_next_process_and_asks_about_the_step_that_was_cut(
    url: str, tmp_path: Path
) -> None:
    """Each process is an event loop here; what hangs in the first one ends with it."""

    @asynccontextmanager
    async def process() -> AsyncIterator[World]:
        database = Database(url)
        await database.open()
        async with running(database, tmp_path) as world:
            yield world
        await database.close()

    async def first() -> tuple[Run, Run]:
        async with process() as world:
            waiting = await world.request("note", "waited")
            run = await world.request("hang", "cut")
            await world.approve(run, BOB)
            await asyncio.wait_for(cast("Hang", world.actions["file.hang"]).begun.wait(), 10)
            return waiting, run

    async def second(waiting: Run, run: Run) -> None:
        async with process() as world:
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
