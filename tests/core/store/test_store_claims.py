"""Locks and rates are taken by one run, whichever replica lets it begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from core.security.audit import AuditLog
from core.store.database import Database
from core.store.other_runs import OtherRuns
from core.store.runs import RunStore, Start
from core.store.tables import runs
from core.workflows.guardrails import Claims, Rate
from core.workflows.run import RunState
from tests.core.workflows.parts import new_run

NOTHING = Claims()


def store(database: Database) -> RunStore:
    return RunStore(database, AuditLog(database))


@pytest.fixture
def approved(database: Database, tmp_path: Path) -> Callable[[str], Awaitable[str]]:
    """Makes runs that may begin."""

    async def make(run_id: str) -> str:
        run = await new_run(tmp_path, run_id, state=RunState.APPROVED)
        assert await store(database).create(run)
        return run_id

    return make


def start(run_id: str, claims: Claims = NOTHING, *targets: str) -> Start:
    return Start(run_id, "sha256:0", targets, claims, ())


@asynccontextmanager
async def replicas(database: Database, count: int) -> AsyncIterator[list[RunStore]]:
    """As many stores with connections of their own; on SQLite there is one process, so one."""
    if database.is_sqlite:
        yield [store(database)] * count
        return
    url = database.url.render_as_string(hide_password=False)
    others = [Database(url) for _ in range(count)]
    for other in others:
        async with other.write():  # connected, so that nobody is late
            pass
    yield [store(other) for other in others]
    for other in others:
        await other.close()


@pytest.mark.parametrize("many", [3, 12])
async def test_of_many_that_want_a_lock_at_once_one_has_it(
    database: Database, approved: Callable[[str], Awaitable[str]], many: int
) -> None:
    """Each wants the locks of its neighbours too, in both orders: nobody waits for ever."""
    ids = [await approved(f"run{number:09}") for number in range(many)]
    both = (Claims(locks=("target:a", "target:b")), Claims(locks=("target:b", "target:a")))
    async with replicas(database, 3) as stores, asyncio.timeout(30):
        begun = await asyncio.gather(
            *(
                stores[number % 3].begin(start(run_id, both[number % 2]))
                for number, run_id in enumerate(ids)
            )
        )
    (winner,) = [run_id for run_id, one in zip(ids, begun, strict=True) if one.epoch is not None]
    assert {one.conflict for one in begun if one.epoch is None} == {
        f"The lock target:a is held by run {winner}."
    }
    assert await OtherRuns(database).lock_holder("somebody", "target:b") == winner
    assert await OtherRuns(database).lock_holder(winner, "target:b") is None, "not by another"
    assert await OtherRuns(database).lock_holder("somebody", "target:c") is None


async def test_of_many_that_want_the_last_places_of_a_rate_so_many_have_them(
    database: Database, approved: Callable[[str], Awaitable[str]]
) -> None:
    ids = [await approved(f"run{number:09}") for number in range(12)]
    claims = Claims(rates=(Rate(workflow=None, target="web-1", limit=3, per_s=3600),))
    async with replicas(database, 3) as stores, asyncio.timeout(30):
        begun = await asyncio.gather(
            *(
                stores[number % 3].begin(start(run_id, claims, "web-1"))
                for number, run_id in enumerate(ids)
            )
        )
    assert sum(one.epoch is not None for one in begun) == 3
    seen = await OtherRuns(database).begun("somebody", _hour_ago(), target="web-1")
    assert len(seen) == 3
    assert await OtherRuns(database).begun("somebody", _hour_ago(), target="web-2") == []


async def test_a_run_that_is_tried_again_does_not_stand_in_its_own_way(
    database: Database, approved: Callable[[str], Awaitable[str]]
) -> None:
    run_id = await approved("run000000000")
    claims = Claims(rates=(Rate(workflow="note", target=None, limit=1, per_s=3600),))
    assert (await store(database).begin(start(run_id, claims))).epoch is not None
    async with database.write() as connection:
        await connection.execute(update(runs).values(state=str(RunState.APPROVED)))
    assert (await store(database).begin(start(run_id, claims))).epoch is not None
    other = await approved("run000000001")
    held_back = await store(database).begin(start(other, claims))
    assert held_back.conflict == "1 runs of note have begun in the last 3600 s."


async def test_what_others_have_begun_is_told_oldest_first_without_the_one_who_asks(
    database: Database, approved: Callable[[str], Awaitable[str]]
) -> None:
    ids = [await approved(f"run{number:09}") for number in range(4)]
    for number, run_id in enumerate(ids[:3]):
        await store(database).begin(start(run_id))
        moment = datetime.now(UTC) - timedelta(minutes=10 * number)
        async with database.write() as connection:
            await connection.execute(
                update(runs).where(runs.c.id == run_id).values(begun_at=moment)
            )
    others = OtherRuns(database)
    assert [one.run_id for one in await others.begun("", _hour_ago())] == ids[2::-1]
    assert [one.run_id for one in await others.begun(ids[1], _hour_ago())] == [ids[2], ids[0]]
    recent = datetime.now(UTC) - timedelta(minutes=15)
    assert [one.run_id for one in await others.begun("", recent, "note")] == [ids[1], ids[0]]
    assert await others.begun("", _hour_ago(), "other") == []


def _hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)
