"""The clock: a planned moment is one firing, whoever fires it and whatever was off meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from core.automation import AISchedule
from core.errors import ConfigurationError
from core.store.database import Database
from core.store.inbox import SqlInbox
from core.store.tables import deliveries
from scheduler.clock import SOURCE, Clock
from tests.scheduler.schedules import book_of, schedule, store_of
from tests.support.until import until

NOW = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)  # a Tuesday


@pytest.fixture
def inbox(database: Database) -> SqlInbox:
    return SqlInbox(database, "test")


async def keys(database: Database) -> list[str]:
    """The keys of all firings that are kept."""
    async with database.read() as connection:
        found = await connection.scalars(select(deliveries.c.key))
        return sorted(found)


async def known(database: Database, *schedules: AISchedule) -> None:
    """Let the schedules have been there for a month."""
    await store_of(database).note(schedules, NOW - timedelta(days=30))


class Counting:
    """Passes on to the inbox and notes what it said."""

    def __init__(self, inbox: SqlInbox) -> None:
        self._inbox = inbox
        self.accepted: list[tuple[str, bool]] = []
        self.away = False

    async def accept(self, source: str, key: str, body: bytes, headers: Any) -> bool:
        if self.away:
            raise OperationalError("INSERT", {}, OSError("the database is away"))
        new = await self._inbox.accept(source, key, body, headers)
        self.accepted.append((key, new))
        return new


async def test_two_clocks_make_one_firing_of_each_moment(
    database: Database, inbox: SqlInbox
) -> None:
    often = schedule("often", "* * * * *")
    counting = Counting(inbox)
    clocks = [Clock(book_of(database, often), counting) for _ in range(2)]
    with time_machine.travel(NOW - timedelta(seconds=0.3)):
        for clock in clocks:
            await clock.start()
        await until(lambda: len(counting.accepted) == 2, "both have fired")
        for clock in clocks:
            clock.close()
    key = "often:2026-11-24T08:05:00+00:00"
    assert sorted(counting.accepted) == [(key, False), (key, True)]
    async with database.read() as connection:
        (found,) = await connection.execute(select(deliveries))
    assert found.source == SOURCE
    assert json.loads(found.body) == {"schedule": "often", "at": "2026-11-24T08:05:00+00:00"}


async def test_a_closed_clock_fires_no_more(database: Database, inbox: SqlInbox) -> None:
    often = schedule("often", "* * * * *")
    closed, running = Counting(inbox), Counting(inbox)
    first, second = (Clock(book_of(database, often), one) for one in (closed, running))
    first.close()
    with time_machine.travel(NOW - timedelta(seconds=0.3)):
        await first.start()
        await second.start()
        first.close()
        await until(lambda: running.accepted, "the other one has fired")
        second.close()
    assert closed.accepted == []


async def test_what_was_missed_is_made_up_for_at_the_start_once(
    database: Database, inbox: SqlInbox
) -> None:
    daily = schedule("daily", "0 8 * * *")
    strict = schedule("strict", "0 8 * * *", misfire="skip")
    await known(database, daily, strict)
    with time_machine.travel(NOW, tick=False):
        for _ in range(2):
            clock = Clock(book_of(database, daily, strict), inbox)
            await clock.start()
            clock.close()
    assert await keys(database) == ["daily:2026-11-24T08:00:00+00:00"]


async def test_a_schedule_that_is_new_or_has_new_times_makes_up_for_nothing(
    database: Database, inbox: SqlInbox
) -> None:
    changed = schedule("changed", "0 8 * * *")
    await known(database, schedule("changed", "0 9 * * *"))
    with time_machine.travel(NOW, tick=False):
        clock = Clock(book_of(database, changed, schedule("new", "0 8 * * *")), inbox)
        await clock.start()
        clock.close()
    assert await keys(database) == []


async def test_a_single_moment_fires_once_and_is_over(database: Database, inbox: SqlInbox) -> None:
    once = schedule("once", None, at="2026-11-24 09:05", timezone="Europe/Paris")
    counting = Counting(inbox)
    clock = Clock(book_of(database, once), counting)
    with time_machine.travel(NOW - timedelta(seconds=0.2)):
        await clock.start()
        await until(lambda: counting.accepted, "it has fired")
        clock.close()
    with time_machine.travel(NOW + timedelta(minutes=1)):
        clock = Clock(book_of(database, once), counting)
        await clock.start()
        clock.close()
    assert await keys(database) == ["once:2026-11-24T08:05:00+00:00"]


async def test_a_single_moment_that_was_missed_is_made_up_for(
    database: Database, inbox: SqlInbox
) -> None:
    once = schedule("once", None, at="2026-11-24 08:00")
    await known(database, once)
    with time_machine.travel(NOW, tick=False):
        clock = Clock(book_of(database, once), inbox)
        await clock.start()
        clock.close()
    assert await keys(database) == ["once:2026-11-24T08:00:00+00:00"]


async def test_a_paused_schedule_is_quiet_on_every_replica_at_once(
    database: Database, inbox: SqlInbox
) -> None:
    """Another replica has paused it just before the moment: nobody has heard of that yet."""
    often, other = schedule("often", "* * * * *"), schedule("other", "* * * * *")
    counting = Counting(inbox)
    clock = Clock(book_of(database, often, other), counting)
    with time_machine.travel(NOW - timedelta(seconds=0.3)):
        await clock.start()
        await store_of(database).pause("often", "U0ALICE", datetime.now(UTC))
        await until(lambda: counting.accepted, "the other one has fired")
        clock.close()
    assert await keys(database) == ["other:2026-11-24T08:05:00+00:00"]


async def test_what_was_missed_while_paused_is_not_made_up_for(
    database: Database, inbox: SqlInbox
) -> None:
    daily = schedule("daily", "0 8 * * *", misfire_grace="1h")
    await known(database, daily)
    store = store_of(database)
    await store.pause("daily", "U0ALICE", NOW - timedelta(minutes=30))
    await store.resume("daily", "U0ALICE", NOW)
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        clock = Clock(book_of(database, daily), inbox)
        await clock.start()
        clock.close()
    assert await keys(database) == []


async def test_a_pause_outlives_a_restart_and_a_file_can_begin_paused(
    database: Database, inbox: SqlInbox
) -> None:
    paused, quiet = schedule("paused", "0 8 * * *"), schedule("quiet", "0 8 * * *", paused=True)
    await known(database, paused, quiet)
    store = store_of(database)
    await store.pause("paused", "U0ALICE", NOW)
    await store.resume("quiet", "U0ALICE", NOW)
    book = book_of(database, paused, quiet)
    await book.open(NOW)
    assert book.get("paused").entry.paused
    assert not book.get("quiet").entry.paused


async def test_one_that_is_added_elsewhere_fires_within_seconds(
    database: Database, inbox: SqlInbox
) -> None:
    """Also where its moment comes before this replica has heard of it."""
    counting = Counting(inbox)
    clock = Clock(book_of(database), counting)
    with time_machine.travel(NOW):
        await clock.start()
        now = datetime.now(UTC)
        at = (now - timedelta(seconds=1)).replace(tzinfo=None)
        soon = schedule("soon", None, at=at.isoformat())
        await store_of(database).add(soon, "U0ALICE", None, now - timedelta(seconds=2))
        await until(lambda: counting.accepted, "it has fired")
        clock.close()
    assert counting.accepted[0][0].startswith("soon:2026-11-24T08:0")


async def test_it_notices_what_somebody_else_has_read_from_the_book_first(
    database: Database, inbox: SqlInbox
) -> None:
    counting = Counting(inbox)
    book = book_of(database)
    clock = Clock(book, counting)
    with time_machine.travel(NOW - timedelta(seconds=0.5)):
        await clock.start()
        await store_of(database).add(schedule("added", "5 8 * * *"), "U0ALICE", None, NOW)
        await book.refresh()
        await until(lambda: counting.accepted, "it has fired")
        clock.close()
    assert await keys(database) == ["added:2026-11-24T08:05:00+00:00"]


async def test_a_firing_that_finds_no_database_comes_when_there_is_one_again(
    database: Database, inbox: SqlInbox
) -> None:
    counting = Counting(inbox)
    clock = Clock(book_of(database, schedule("daily", "5 8 * * *")), counting)
    with time_machine.travel(NOW - timedelta(seconds=0.2)):
        counting.away = True
        await clock.start()
        await until(lambda: datetime.now(UTC) > NOW + timedelta(seconds=0.5), "it could not fire")
        assert counting.accepted == []
        counting.away = False
        await until(lambda: counting.accepted, "it has fired")
        clock.close()
    assert counting.accepted == [("daily:2026-11-24T08:05:00+00:00", True)]


def test_a_line_that_is_no_cron_line_is_an_error_before_anything_starts(
    database: Database,
) -> None:
    with pytest.raises(ConfigurationError, match=r"schedules/daily\.yaml: cron"):
        book_of(database, schedule("daily", "99 8 * * *"))
