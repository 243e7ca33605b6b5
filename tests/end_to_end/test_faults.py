"""`kill -9` at random moments, while many runs are under way: nothing is lost or done twice.

On SQLite there is one process, on PostgreSQL there are three; one that is killed is started again
at once. The seed is printed; `COUNTERSIGN_TEST_SEED=N` draws the same again, and
`COUNTERSIGN_TEST_KILLS=N` is how many kills there are in all.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from core.store.database import Database
from core.store.tables import audit, deliveries, run_steps
from tests.support.cluster import Cluster, cluster
from tests.support.countersign import ALICE, BOB
from tests.support.faulty_work import HOSTS, FaultyWork
from tests.support.people import Asked, Kind, People
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("COUNTERSIGN_TEST_KILLS", "40"))
AT_ONCE = 12
LIVES_S = (0.3, 4.0)  # from one kill to the next
IN_START = 0.2  # of the kills of a single process come while it starts
SETTINGS = {"COUNTERSIGN_REPLICA_TIMEOUT": "5"}


class Killer:
    """Kills one replica after the other, and starts each again at once, as a supervisor does."""

    def __init__(self, replicas: Cluster, chance: random.Random) -> None:
        self._cluster = replicas
        self._chance = chance
        self.kills = 0
        self.gave_up = 0

    async def run(self, kills: int) -> None:
        alone = len(self._cluster.replicas) == 1
        while self.kills < kills:
            victim = self._chance.choice(list(self._cluster.replicas.values()))
            if alone and self._chance.random() > IN_START:
                await victim.ready()  # otherwise it would hardly ever come to its work
            await asyncio.sleep(self._chance.uniform(*LIVES_S))
            await self.supervise()
            await victim.kill()
            self.kills += 1
            await victim.start()

    async def supervise(self) -> None:
        """Start again those that have ended by themselves, because they were taken for dead."""
        for replica in self._cluster.replicas.values():
            if not replica.alive:
                lost = "another has taken over its work"
                assert lost in replica.said(), f"it ended:\n{replica.tail()}"
                self.gave_up += 1
                await replica.start()


async def live_through(
    replicas: Cluster, work: FaultyWork, database: Database, seed: int, kills: int
) -> People:
    """Ask, sign, deny, cancel and decide, while replicas die; until all runs have ended."""
    begun = asyncio.get_running_loop().time()
    chance = random.Random(seed)
    killer = Killer(replicas, chance)
    async with replicas.page(ALICE) as alice, replicas.page(BOB) as bob:
        people = People(alice, bob, work, random.Random(seed + 1))
        killing = asyncio.create_task(killer.run(kills))
        while not killing.done():
            while len(people.open) < AT_ONCE and not killing.done():
                if not await people.ask():
                    break
            await people.look()
            await asyncio.sleep(0.2)
        await killing
        killed_s = asyncio.get_running_loop().time() - begun

        async def all_ended() -> bool:
            await killer.supervise()
            await people.look()
            return not people.open and not await in_hand(database)

        await replicas.until(all_ended, f"all have ended; open: {people.open}", limit_s=120)
        kinds = Counter(asked.kind for asked in people.asked.values())
        ends = Counter(asked.ended for asked in people.asked.values())
        took_s = asyncio.get_running_loop().time() - begun
        print(
            f"seed {seed}: {killer.kills} kills in {killed_s:.0f} s, all ended after "
            f"{took_s:.0f} s, {len(people.asked)} runs "
            f"({', '.join(f'{count} {kind}' for kind, count in kinds.items())}; "
            f"{', '.join(f'{count} {end}' for end, count in ends.items())}), "
            f"{people.questions} times a person was asked whether a step was done, "
            f"{killer.gave_up} replicas ended because they were taken for dead"
        )
        for asked in people.asked.values():
            check_effects(work, asked, await people.told(asked))
    return people


def check_effects(work: FaultyWork, asked: Asked, told: int) -> None:
    """Each effect is there as often as it must be, and none that must not."""
    done = work.effects(asked.tag)
    counted = Counter(done)
    what = f"{asked}: {done}"
    assert all(count == 1 for count in counted.values()), f"an effect was had twice: {what}"
    assert told <= 1, f"told {told} times: {what}"
    forward = {"paid", "order", "settled", *(f"on-{host}" for host in HOSTS)}
    backward = {"unset", *(f"off-{host}" for host in HOSTS)}
    match asked.ended:
        case "Denied" | "Expired":
            assert not work.touched(asked.tag), f"a step was done without signature: {what}"
            assert told == 0, what
        case "Done":
            assert asked.kind not in {Kind.DENIED, Kind.UNDONE}, what
            assert set(done) == forward, what
            assert told == 1, what
            assert work.attempts(asked.tag) >= 3, what
            assert work.marked(asked.tag), what
        case "Failed":
            assert asked.kind is Kind.UNDONE, what
            assert set(done) == forward | backward | {"regret"}, what
            assert told == 0, what
            order = [effect for effect in done if effect in backward | {"regret"}]
            assert order[-2:] == ["unset", "regret"], f"not in reverse order: {what}"
        case "Cancelled":
            assert asked.kind is Kind.CANCELLED, what
            assert set(done) <= forward, what
        case other:
            pytest.fail(f"{other}: {what}")


async def in_hand(database: Database) -> int:
    """How many of the things that came in have not been worked on."""
    waiting = deliveries.c.state.in_(["received", "working"])
    async with database.read() as connection:
        return len((await connection.execute(select(deliveries.c.key).where(waiting))).all())


async def check_tables(database: Database, people: People) -> None:
    """The tables say the same as people saw, and the audit log says nothing else."""
    logged = select(audit.c.action, audit.c.subject).order_by(audit.c.sequence)
    async with database.read() as connection:
        entries = (await connection.execute(logged)).all()
        steps = (await connection.execute(select(run_steps.c.run_id, run_steps.c.state))).all()
        failed = select(deliveries.c.key, deliveries.c.reason).where(deliveries.c.state == "failed")
        given_up = (await connection.execute(failed)).all()
    assert given_up == [], "something that came in was given up"
    by_run = {asked.run_id: asked for asked in people.asked.values()}
    assert {run_id for run_id, _ in steps} == set(by_run), "each run was asked for by a person"
    over: dict[str, str] = {}
    for action, subject in entries:
        run_id = subject.partition("/")[0]
        if action in {"run.denied", "run.expired"}:
            over[run_id] = action
        elif run_id in over:
            assert not action.startswith(("step.", "run.running")), f"{action} after {over[run_id]}"
    for run_id, state in steps:
        if by_run[run_id].ended in {"Denied", "Expired"}:
            assert state == "pending", f"a step of {by_run[run_id]} is {state}"


@asynccontextmanager
async def started(
    folder: Path, names: tuple[str, ...], url: str | None
) -> AsyncIterator[tuple[Cluster, FaultyWork]]:
    """A cluster with the workflows, up."""
    async with cluster(folder, names, url, SETTINGS) as replicas:
        work = FaultyWork(replicas.home)
        await replicas.start()
        yield replicas, work


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_nothing_is_lost_or_done_twice_whatever_is_killed(
    kind: str, postgres: Postgres, tmp_path: Path
) -> None:
    seed = int(os.environ.get("COUNTERSIGN_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}")
    url = postgres.new_database() if kind == "postgresql" else None
    names = ("a", "b", "c") if url else ("a",)
    async with started(tmp_path, names, url) as (replicas, work):
        file = replicas.home / "data" / "countersign.db"
        database = Database(url or f"sqlite+aiosqlite:///{file}")
        try:
            people = await live_through(replicas, work, database, seed, KILLS // 2)
            await check_tables(database, people)
        finally:
            await database.close()
        assert "whole" in await replicas.command("audit", "verify")
    if url:
        postgres.drop(url)
