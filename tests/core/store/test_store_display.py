"""Each run's message says, sooner or later, what is so now."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import or_, select, update

from core.ports import PostedMessage, PresentationError
from core.records import Place
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.runs import RunStore
from core.store.showing import Showing
from core.store.tables import runs
from core.workflows.display import Display
from core.workflows.run import Run, RunState
from tests.core.workflows.parts import new_run
from tests.support.until import until


class Presenter:
    """Notes what it was asked to show; fails as often as it is told to."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int, RunState]] = []
        self.failures = 0
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def present(self, run: Run) -> PostedMessage:
        self.asked += 1
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise PresentationError("Slack is away")
        self.shown.append((run.id, run.version, run.state))
        return PostedMessage(channel="C1", message="5.0", thread="5.0")


@pytest.fixture
def store(database: Database) -> RunStore:
    return RunStore(database, AuditLog(database))


@pytest.fixture
def showing(database: Database) -> Showing:
    return Showing(database)


@asynccontextmanager
async def displaying(
    store: RunStore, showing: Showing, presenter: Presenter
) -> AsyncIterator[Display]:
    display = Display(store, showing, presenter)
    task = asyncio.create_task(display.run())
    try:
        yield display
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def all_shown(database: Database) -> None:
    query = select(runs.c.id).where(
        or_(runs.c.shown_version < runs.c.version, runs.c.shown_by.is_not(None))
    )

    async def nothing_behind() -> Any:
        async with database.read() as connection:
            return (await connection.execute(query)).first() is None

    await until(nothing_behind, "nothing is behind")


async def change(database: Database, run: Run) -> None:
    """As after every step that begins or ends."""
    async with database.write() as connection:
        await connection.execute(
            update(runs).where(runs.c.id == run.id).values(version=runs.c.version + 1)
        )


async def cancel(store: RunStore, run: Run) -> None:
    await store.transition(run.id, {RunState.AWAITING}, RunState.CANCELLED, "U1")


async def test_what_is_behind_at_the_start_is_shown(
    store: RunStore, showing: Showing, database: Database, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    presenter = Presenter()
    async with displaying(store, showing, presenter):
        await all_shown(database)
    assert presenter.shown == [(run.id, 1, RunState.AWAITING)]
    assert (await store.get(run.id)).message == "5.0"


async def test_a_change_is_shown_when_it_is_told_of(
    store: RunStore, showing: Showing, database: Database, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    presenter = Presenter()
    async with displaying(store, showing, presenter) as display:
        await all_shown(database)
        await cancel(store, run)
        display.touch()
        await all_shown(database)
    assert presenter.shown[-1] == (run.id, 2, RunState.CANCELLED)
    assert len(presenter.shown) == 2


async def test_many_changes_while_slack_is_slow_become_one_message(
    store: RunStore, showing: Showing, database: Database, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    presenter = Presenter()
    async with displaying(store, showing, presenter) as display:
        await all_shown(database)
        presenter.gate.clear()
        for _ in range(4):
            await change(database, run)
            display.touch()
        await cancel(store, run)
        display.touch()
        presenter.gate.set()
        await all_shown(database)
    assert presenter.shown[-1] == (run.id, 6, RunState.CANCELLED)
    assert len(presenter.shown) <= 3


async def test_what_could_not_be_shown_is_tried_again(
    store: RunStore,
    showing: Showing,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.workflows.display._RETRY_S", 0.05)
    run, other = await new_run(tmp_path), await new_run(tmp_path, "bbbbbbbbbbbb")
    presenter = Presenter()
    presenter.failures = 3
    await store.create(run)
    await store.create(other)
    async with displaying(store, showing, presenter):
        await all_shown(database)
    assert sorted(run_id for run_id, _, _ in presenter.shown) == [run.id, other.id]


async def test_a_change_during_the_showing_is_shown_after_it(
    store: RunStore, showing: Showing, database: Database, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)

    class Changing(Presenter):
        async def present(self, run: Run) -> PostedMessage:
            posted = await super().present(run)
            if run.version == 1:
                await cancel(store, run)
            return posted

    presenter = Changing()
    async with displaying(store, showing, presenter):
        await until(lambda: len(presenter.shown) == 2, "both versions are shown")
        await all_shown(database)
    assert [version for _, version, _ in presenter.shown] == [1, 2]


async def test_a_run_that_cannot_be_read_keeps_no_other_from_being_shown(
    store: RunStore,
    showing: Showing,
    database: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, healthy = await new_run(tmp_path), await new_run(tmp_path, "bbbbbbbbbbbb")
    await store.create(broken)
    async with database.write() as connection:
        await connection.execute(update(runs).values(plan={"steps": []}))
    await store.create(healthy)
    presenter = Presenter()
    async with displaying(store, showing, presenter):
        await all_shown(database)
    assert [run_id for run_id, _, _ in presenter.shown] == [healthy.id]
    assert f"run {broken.id} is not shown any more" in caplog.text


async def test_two_replicas_never_show_one_run_at_once_and_the_newest_version_stays(
    store: RunStore, database: Database, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    in_hand, most, stands = 0, 0, 0

    class Slow(Presenter):
        async def present(self, run: Run) -> PostedMessage:
            nonlocal in_hand, most, stands
            in_hand += 1
            most = max(most, in_hand)
            await asyncio.sleep(random.uniform(0, 0.01))
            stands = run.version
            in_hand -= 1
            return await super().present(run)

    a, b = Slow(), Slow()
    async with (
        displaying(store, Showing(database, "a"), a) as first,
        displaying(store, Showing(database, "b"), b) as second,
    ):
        for display, presenter in ((first, a), (second, b)):
            while not presenter.shown:  # both do show it
                await all_shown(database)
                await change(database, run)
                display.touch()
        for _ in range(30):
            await change(database, run)
            first.touch()
            second.touch()
        await all_shown(database)
    assert most == 1
    assert stands == (await store.get(run.id)).version


async def test_a_message_that_a_replica_updates_after_its_death_is_updated_again(
    store: RunStore, database: Database, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    presenter = Presenter()
    late, living = Showing(database, "late"), Showing(database, "living")
    assert await late.claim(5) == [run.id]
    assert await living.claim(5) == []
    await living.release_dead()
    await cancel(store, run)
    async with displaying(store, living, presenter):
        await all_shown(database)
        place = Place(channel="C1", thread="5.0")
        await late.shown(run.id, run.version, place, "5.0")  # its update has come through now
        await until(lambda: len(presenter.shown) == 2, "it is shown again")
        await all_shown(database)
    assert presenter.shown[-1] == (run.id, 2, RunState.CANCELLED)


async def test_a_replica_that_ends_in_the_middle_of_an_update_leaves_it_to_the_others(
    store: RunStore, database: Database, tmp_path: Path
) -> None:
    run = await new_run(tmp_path)
    await store.create(run)
    ending, presenter = Presenter(), Presenter()
    ending.gate.clear()
    late, living = Showing(database, "late"), Showing(database, "living")
    async with displaying(store, late, ending):
        await until(lambda: ending.asked, "it is in the middle of it")
        await living.release_dead()  # it is taken for dead, and does not know
        async with displaying(store, living, presenter):
            await all_shown(database)
    async with displaying(store, living, presenter):
        await all_shown(database)
    assert [version for _, version, _ in presenter.shown] == [1, 1]
