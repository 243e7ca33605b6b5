"""A thousand schedules on three replicas through a change of the clocks: each fires once.

The replicas are processes on one PostgreSQL, their time is simulated and goes on a minute at a
time. One of them is killed in the middle of firing, again and again, and started anew later.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from core.store.database import Database
from core.store.tables import deliveries
from tests.scheduler.oracle import CHANGES, HOURS, MOST_JITTER, Sample, expected, samples
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

AWAY = 25
"""Minutes for which a killed replica is away."""
SEED = int(os.environ.get("COUNTERSIGN_TEST_SEED", "20261025"))


class Replica:
    """A clock in a process of its own."""

    def __init__(self, url: str, schedules: Path) -> None:
        self._arguments = (url, str(schedules))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None

    async def start(self, now: datetime) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.scheduler.replica", *self._arguments, now.isoformat()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await self._says("ready")

    def move(self, now: datetime) -> None:
        """Let it be `now` there."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{now.isoformat()}\n".encode())

    async def moved(self, now: datetime) -> None:
        await self._says(f"done {now.isoformat()}")

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        self._process = None

    async def _says(self, words: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(120):
            line = await self._process.stdout.readline()
        assert line.decode().strip() == words


@pytest.fixture
async def shared(postgres: Postgres) -> AsyncIterator[Database]:
    url = postgres.new_database()
    database = Database(url)
    await database.open()
    yield database
    await database.close()
    postgres.drop(url)


@pytest.mark.parametrize(("begin", "zones"), CHANGES)
async def test_each_expected_firing_comes_exactly_once(
    shared: Database, tmp_path: Path, begin: str, zones: list[str]
) -> None:
    start = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    end = start + timedelta(hours=HOURS)
    known = samples(1000, zones, start, SEED)
    assert _changes(zones, start, end), "the clocks are changed in this time"
    file = tmp_path / "schedules.json"
    file.write_text(json.dumps([sample.fields for sample in known]))
    url = shared.url.render_as_string(hide_password=False)
    replicas = [Replica(url, file) for _ in range(3)]
    for replica in replicas:
        await replica.start(start)

    kills = await _let_time_pass(replicas, start, end)
    for replica in replicas:
        if replica.alive:
            await replica.kill()

    wanted = {
        (sample.id, moment)
        for sample in known
        if not sample.fields.get("paused")
        for moment in expected(sample, start, _until(sample, end))
    }
    found = await _fired(shared, known, end)
    print(f"seed {SEED}: {len(wanted)} firings of {len(known)} schedules, {kills} kills")
    assert len(wanted) > 2000, "they are not idle"
    assert found - wanted == set(), "no firing that was not expected"
    assert wanted - found == set(), "no expected firing is missing"


async def _let_time_pass(replicas: list[Replica], start: datetime, end: datetime) -> int:
    """Go on minute by minute; every hour a replica is killed while it fires."""
    draw = random.Random(SEED)
    kills = 0
    back: dict[int, datetime] = {}
    now = start.replace(second=0) + timedelta(minutes=1)
    while now <= end:
        running = [replica for replica in replicas if replica.alive]
        for replica in running:
            replica.move(now)
        if now.minute == 0:
            victim = draw.randrange(3)
            if replicas[victim].alive:
                await asyncio.sleep(draw.uniform(0, 0.1))
                await replicas[victim].kill()
                running.remove(replicas[victim])
                back[victim] = now + timedelta(minutes=AWAY)
                kills += 1
        for replica in running:
            await replica.moved(now)
        for number in [n for n, moment in back.items() if moment <= now]:
            del back[number]
            await replicas[number].start(now)
        now += timedelta(minutes=1)
    return kills


def _until(sample: Sample, end: datetime) -> datetime:
    """Up to when it is known to have fired; jitter may put off the last moments beyond the end."""
    return end.replace(second=0) - (MOST_JITTER if "jitter" in sample.fields else timedelta(0))


async def _fired(
    database: Database, known: list[Sample], end: datetime
) -> set[tuple[str, datetime]]:
    limits = {sample.id: _until(sample, end) for sample in known}
    async with database.read() as connection:
        rows = (await connection.execute(select(deliveries.c.key, deliveries.c.body))).all()
    fired: list[dict[str, Any]] = [json.loads(row.body) for row in rows]
    firings = [(one["schedule"], datetime.fromisoformat(one["at"])) for one in fired]
    assert len(set(firings)) == len(firings), "no moment has two firings"
    return {(id_, moment) for id_, moment in firings if moment <= limits[id_]}


def _changes(zones: list[str], start: datetime, end: datetime) -> bool:
    offsets = [
        [moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in (start, end)] for zone in zones
    ]
    return any(before != after for before, after in offsets)
