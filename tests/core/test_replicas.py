"""Replicas: who is alive, who is taken for dead, and what the living take over from the dead."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, update
from sqlalchemy.exc import DBAPIError

from bot.replicas import ReplicaResponder
from core.errors import ConfigurationError
from core.replicas import Replica, ReplicaLostError, only_process
from core.store.database import _SESSION, Database
from core.store.inbox import SqlInbox
from core.store.showing import Showing
from core.store.tables import replicas
from core.takeover import Takeover
from tests.support.until import until

TIMEOUT = timedelta(seconds=1)


@pytest.fixture
def shared(database: Database) -> Database:
    """Several processes are at work on PostgreSQL only."""
    if database.is_sqlite:
        pytest.skip("one process")
    return database


@asynccontextmanager
async def alive(database: Database, name: str) -> AsyncIterator[Replica]:
    """A replica that gives signs of life until this is left, and then is silent."""
    replica = Replica(database, name, TIMEOUT)
    await replica.join()
    task = asyncio.create_task(replica.live())
    try:
        yield replica
    finally:
        task.cancel()
        await asyncio.wait({task})


async def ids(replica: Replica) -> list[str]:
    return [status.id for status in await replica.alive()]


async def test_replicas_of_one_name_are_told_apart(shared: Database) -> None:
    async with alive(shared, "a") as one, alive(shared, "a") as two:
        assert one.id != two.id
        assert await ids(one) == [one.id, two.id]
        assert [status.name for status in await one.alive()] == ["a", "a"]


async def test_the_status_names_the_living(shared: Database) -> None:
    async with alive(shared, "a") as one, alive(shared, "b") as two, alive(shared, "c") as gone:
        await gone.leave()
        said = await ReplicaResponder(two).respond("health")
    assert said == f"{two.id} (this one), {one.id}"


async def test_a_silent_one_is_buried_after_the_timeout_and_not_before(shared: Database) -> None:
    async with alive(shared, "a") as living:
        async with alive(shared, "b") as silent:
            await asyncio.sleep(TIMEOUT.total_seconds() * 1.3)  # both have lived undisturbed
            assert await living.bury() == []
        begun = asyncio.get_running_loop().time()

        async def buried() -> bool:
            return await living.bury() == [silent.id]

        await until(buried, "b is buried")
        waited_s = asyncio.get_running_loop().time() - begun
        assert waited_s > 0.7 * TIMEOUT.total_seconds()
        assert await ids(living) == [living.id]


async def test_who_has_just_come_or_was_away_judges_nobody(shared: Database) -> None:
    silent = Replica(shared, "silent", TIMEOUT)
    await silent.join()
    await asyncio.sleep(TIMEOUT.total_seconds() * 1.2)
    async with alive(shared, "new") as new:
        assert await new.bury() == [], "it does not know yet whether the database was away"

        async def buried() -> bool:
            return await new.bury() == [silent.id]

        await until(buried, "the silent one is buried once the new one has lived long enough")


async def test_one_that_leaves_is_dead_at_once(shared: Database) -> None:
    async with alive(shared, "a") as a, alive(shared, "b") as b:
        await b.leave()
        assert await a.bury() == [b.id]
        await a.taken_over([b.id])
        assert await a.bury() == []
        await b.leave()  # it did not know, and has begun something more
        assert await a.bury() == [b.id]


async def test_one_that_was_taken_for_dead_ends(shared: Database) -> None:
    replica = Replica(shared, "paused", TIMEOUT)
    await replica.join()
    async with shared.write() as connection:
        await connection.execute(update(replicas).values(dead_at=replicas.c.seen_at))
    with pytest.raises(ReplicaLostError, match="COUNTERSIGN_REPLICA_TIMEOUT"):
        async with asyncio.timeout(5):
            await replica.live()
    await replica.leave()
    async with alive(shared, "other") as other:
        assert await other.bury() == [replica.id], "what it began in the meantime is looked at"


async def test_one_that_cannot_reach_the_database_ends_before_others_take_over(
    shared: Database,
) -> None:
    replica = Replica(shared, "cut off", TIMEOUT)
    await replica.join()
    async with shared.write() as connection:
        await connection.execute(update(replicas).values(name="held"))  # its beats wait for this
        begun = asyncio.get_running_loop().time()
        with pytest.raises(ReplicaLostError, match="could not reach the database"):
            async with asyncio.timeout(5):
                await replica.live()
        assert asyncio.get_running_loop().time() - begun < TIMEOUT.total_seconds() * 1.2


async def test_a_suspended_process_does_not_hold_its_locks(
    shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_SESSION, "idle_in_transaction_session_timeout", "300")
    replica = Replica(shared, "a", TIMEOUT)
    await replica.join()
    url = shared.url.render_as_string(hide_password=False)
    suspended = Database(url)
    engine = create_engine(suspended.sync_url)  # as the engine of the runs connects
    try:
        with engine.connect() as held, pytest.raises(DBAPIError):  # noqa: PT012
            held.execute(update(replicas).values(name="held"))
            async with asyncio.timeout(5):
                await replica.leave()
            held.execute(update(replicas).values(name="held"))
        with pytest.raises(DBAPIError):  # noqa: PT012
            async with suspended.write() as connection:
                await connection.execute(update(replicas).values(name="held"))
                async with asyncio.timeout(5):
                    await replica.leave()
                await connection.execute(update(replicas).values(name="held"))
    finally:
        engine.dispose()
        await suspended.close()


async def test_on_sqlite_all_others_are_dead_at_the_start(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("for one process")
    before = Replica(database, "local", TIMEOUT)
    await before.join()
    now = Replica(database, "local", TIMEOUT)
    await now.join()
    await now.live()  # returns: nobody needs to know
    assert await now.bury() == [before.id]
    assert await ids(now) == [now.id]


async def test_on_sqlite_a_second_process_is_refused_until_the_first_has_died(
    tmp_path: Path,
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'countersign.db'}"
    script = (
        "import time; from core.replicas import only_process; "
        "from core.store.database import Database\n"
        f"with only_process(Database({url!r})): print('held', flush=True); time.sleep(60)"
    )
    first = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(ConfigurationError, match="COUNTERSIGN_HOME"),
            only_process(Database(url)),
        ):
            pass
    finally:
        first.kill()
        first.wait(10)
    with only_process(Database(url)):
        pass


async def test_the_dead_are_looked_at_again_for_a_day_and_then_forgotten(
    database: Database,
) -> None:
    dead = Replica(database, "dead", TIMEOUT)
    await dead.join()
    await dead.leave()
    async with alive(database, "living") as living:
        await living.taken_over(await living.bury())
        for ago, found in ((timedelta(hours=23), [dead.id]), (timedelta(hours=25), [])):
            moved = {"dead_at": datetime.now(UTC) - ago, "taken_at": datetime.now(UTC) - ago}
            async with database.write() as connection:
                await connection.execute(
                    update(replicas).where(replicas.c.id == dead.id).values(moved)
                )
            await living.taken_over([])
            assert await living.bury() == found


class Recovered:
    """Notes whose runs were taken over."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def __call__(self, ids: list[str]) -> None:
        self.ids += ids


async def test_the_living_take_over_deliveries_displays_and_runs_of_the_dead(
    database: Database,
) -> None:
    dead = Replica(database, "dead", TIMEOUT)
    await dead.join()
    held = SqlInbox(database, dead.id)
    await held.accept("webhook:x", "d", b"", {})
    await held.claim(1, ["webhook"])
    await dead.leave()
    async with alive(database, "living") as living:
        inbox, recovered = SqlInbox(database, living.id), Recovered()
        takeover = Takeover(living, inbox, Showing(database, living.id), recovered)
        await takeover.look()
        assert recovered.ids == [dead.id]
        assert [d.key for d in await inbox.claim(1, ["webhook"])] == ["d"]
        await takeover.look()
        assert recovered.ids == [dead.id], "once"
        assert await inbox.claim(1, ["webhook"]) == []


async def test_a_takeover_that_was_cut_off_is_done_by_the_next(shared: Database) -> None:
    async def cut_off(ids: list[str]) -> None:
        raise asyncio.CancelledError

    dead = Replica(shared, "dead", TIMEOUT)
    await dead.join()
    await dead.leave()
    async with alive(shared, "one") as one, alive(shared, "two") as two:
        showing = Showing(shared, one.id)
        with pytest.raises(asyncio.CancelledError):
            await Takeover(one, SqlInbox(shared, one.id), showing, cut_off).look()
        recovered = Recovered()
        await Takeover(two, SqlInbox(shared, two.id), showing, recovered).look()
    assert recovered.ids == [dead.id]
