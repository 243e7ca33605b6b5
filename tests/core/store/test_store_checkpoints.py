"""SQLite's log is copied back beside those who write, and then begun anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core.store.arrival import Arrival
from core.store.arrivals import Arrivals
from core.store.checkpoints import Checkpoints, checkpoint
from core.store.database import Database
from core.store.tables import deliveries
from tests.support.until import until


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'countersign.db'}")
    await database.open()
    yield database
    await database.close()


def log_of(database: Database) -> Path:
    return Path(f"{database.url.database}-wal")


async def keep(arrivals: Arrivals, run: str, number: int) -> None:
    """So many deliveries of 20 kB, at once."""
    rows = [
        Arrival("slack", f"{run} {n}", "", "{}", b"x" * 20_000, datetime.now(UTC))
        for n in range(number)
    ]
    assert all(await asyncio.gather(*(arrivals.keep(row) for row in rows)))


async def stored(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(deliveries)) or 0)


async def test_after_a_checkpoint_the_log_is_written_from_its_beginning(sqlite: Database) -> None:
    arrivals = Arrivals(sqlite)
    await keep(arrivals, "first", 50)
    size = log_of(sqlite).stat().st_size
    assert size > 50 * 20_000
    await checkpoint(sqlite)
    await keep(arrivals, "second", 40)
    assert log_of(sqlite).stat().st_size == size
    assert await stored(sqlite) == 90


async def test_deliveries_are_kept_while_the_log_is_copied(sqlite: Database) -> None:
    arrivals = Arrivals(sqlite)
    await keep(arrivals, "before", 300)
    copying = asyncio.create_task(checkpoint(sqlite))
    await asyncio.gather(*(keep(arrivals, f"meanwhile {n}", 30) for n in range(5)))
    await copying
    assert await stored(sqlite) == 450


async def test_it_begins_when_enough_is_written_and_one_at_a_time(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Database] = []
    go_on = asyncio.Event()

    async def counted(database: Database) -> None:
        begun.append(database)
        await go_on.wait()

    monkeypatch.setattr("core.store.checkpoints.checkpoint", counted)
    checkpoints = Checkpoints(sqlite, after_bytes=1000)
    checkpoints.wrote(999)
    await asyncio.sleep(0)
    assert begun == []
    checkpoints.wrote(1)
    checkpoints.wrote(5000)
    await until(lambda: bool(begun), "a checkpoint begins")
    go_on.set()
    checkpoints.wrote(1)
    await sqlite.close()
    assert begun == [sqlite]


async def test_the_database_is_closed_after_it(sqlite: Database, tmp_path: Path) -> None:
    await keep(Arrivals(sqlite), "run", 50)
    Checkpoints(sqlite, after_bytes=1).wrote(1)
    await sqlite.close()
    # Who closes the last connection removes the log.
    assert [file.name for file in tmp_path.glob("*.db*")] == ["countersign.db"]


async def test_a_checkpoint_that_fails_is_said_and_the_next_is_tried(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("core.store.checkpoints._COPY", "PRAGMA wal_checkpoint(")
    checkpoints = Checkpoints(sqlite, after_bytes=1)
    with caplog.at_level(logging.WARNING, "core.store.checkpoints"):
        checkpoints.wrote(1)
        await until(lambda: len(caplog.records) == 1, "a warning")
        checkpoints.wrote(1)
        await until(lambda: len(caplog.records) == 2, "another warning")
    assert "could not be copied back" in caplog.text


async def test_postgresql_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("core.store.checkpoints.checkpoint")
    database = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    Checkpoints(database, after_bytes=1).wrote(10**9)
    await database.close()
