"""What comes in is committed in groups, before other writes, and each row for itself if need be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from core.store.arrival import Arrival, Key
from core.store.arrivals import Arrivals
from core.store.database import Database
from core.store.statements import Statements
from core.store.tables import deliveries
from tests.support.postgres import Postgres


def row(key: str, **other: Any) -> Arrival:
    made = Arrival("slack", key, "", "{}", b"body", datetime.now(UTC))
    return made._replace(**other)


async def stored(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(deliveries)) or 0)


async def test_forty_at_once_are_all_kept_in_a_few_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    turn = database.turn

    def counting(**how: bool) -> AbstractAsyncContextManager[None]:
        groups.append(1)
        return turn(**how)

    monkeypatch.setattr(database, "turn", counting)
    arrivals = Arrivals(database)
    kept = await asyncio.gather(*(arrivals.keep(row(f"k{n}")) for n in range(40)))
    assert kept == [True] * 40
    assert await stored(database) == 40
    assert 1 <= len(groups) <= 5


async def test_a_group_with_old_ones_says_which_are_new_and_takes_up_what_failed(
    database: Database,
) -> None:
    arrivals = Arrivals(database)
    for key in ("done", "failed"):
        assert await arrivals.keep(row(key))
    async with database.write() as connection:
        failed = update(deliveries).where(deliveries.c.key == "failed")
        await connection.execute(failed.values(state="failed"))
    together = ("first", "done", "failed", "first", "second")
    kept = await asyncio.gather(*(arrivals.keep(row(key)) for key in together))
    assert kept == [True, False, True, False, True]
    async with database.read() as connection:
        ordered = select(deliveries.c.key).order_by(deliveries.c.sequence)
        assert list(await connection.scalars(ordered)) == ["done", "first", "failed", "second"]


async def test_after_a_lost_connection_the_next_arrival_is_kept(
    request: pytest.FixtureRequest,
) -> None:
    server: Postgres = request.getfixturevalue("postgres")
    database = Database(server.new_database())
    await database.open()
    arrivals = Arrivals(database)
    assert await arrivals.keep(row("before"))
    async with database.write() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        ended = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        assert (await connection.execute(ended)).scalars().all() != []
    kept = await asyncio.gather(
        *(arrivals.keep(row(f"k{n}")) for n in range(3)), return_exceptions=True
    )
    assert all(one is True or isinstance(one, SQLAlchemyError) for one in kept), kept
    assert await arrivals.keep(row("after"))
    await database.close()
    server.drop(database.url.render_as_string(hide_password=False))


async def test_more_than_a_group_takes_are_all_kept(database: Database) -> None:
    arrivals = Arrivals(database)
    kept = await asyncio.gather(*(arrivals.keep(row(f"k{n}")) for n in range(250)))
    assert kept == [True] * 250
    assert await stored(database) == 250


async def test_a_row_that_cannot_be_stored_fails_alone(database: Database) -> None:
    arrivals = Arrivals(database)
    results = await asyncio.gather(
        arrivals.keep(row("good")),
        arrivals.keep(row("bad", subject=None)),
        arrivals.keep(row("good")),
        arrivals.keep(row("better")),
        return_exceptions=True,
    )
    assert isinstance(results[1], SQLAlchemyError)
    assert {results[0], results[2]} == {False, True}
    assert results[3] is True
    assert await stored(database) == 2


async def test_one_sender_that_goes_away_takes_nobody_along(database: Database) -> None:
    arrivals = Arrivals(database)
    leaving, staying = (asyncio.create_task(arrivals.keep(row(key))) for key in ("a", "b"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await stored(database) == 2


async def test_an_arrival_does_not_queue_behind_the_writers(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL has many writers at a time")
    ended: list[str] = []
    arrivals = Arrivals(database)
    await asyncio.gather(*(arrivals.keep(row(f"before {n}")) for n in range(2)))  # connected

    async def write(name: str) -> None:
        async with database.write():
            ended.append(name)

    async def arrive() -> None:
        await arrivals.keep(row("k"))
        ended.append("arrival")

    async with database.write():
        writers = [asyncio.create_task(write(f"writer {n}")) for n in range(10)]
        await asyncio.sleep(0)
        arrival = asyncio.create_task(arrive())
        await asyncio.sleep(0)
    await asyncio.gather(arrival, *writers)
    assert ended.index("arrival") <= 2
    assert len(ended) == 11


async def test_many_that_wait_for_sqlite_are_written_by_halves(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop answers one half while the database's thread writes the other."""
    groups: list[int] = []
    arrivals = Arrivals(database)
    insert = arrivals._insert

    async def counting(connection: Statements, group: Sequence[Arrival]) -> set[Key]:
        groups.append(len(group))
        return await insert(connection, group)

    monkeypatch.setattr(arrivals, "_insert", counting)
    assert all(await asyncio.gather(*(arrivals.keep(row(f"k{n}")) for n in range(160))))
    assert groups == ([80, 40, 32, 8] if database.is_sqlite else [160])
