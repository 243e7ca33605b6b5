"""Deliveries of one subject are worked on one at a time, in the order of their arrival, however
many replicas work; what has failed for good stops nobody."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select, text

from core.inbox import Delivery
from core.replicas import Replica
from core.store.database import Database
from core.store.inbox import SqlInbox
from core.store.schema import migrate
from core.store.tables import deliveries
from tests.support.postgres import Postgres

SOURCE = "webhook:github"
KINDS = ["webhook"]


@pytest.fixture
def inbox(database: Database) -> SqlInbox:
    return SqlInbox(database)


async def accept(inbox: SqlInbox, subject: str, *keys: str, source: str = SOURCE) -> None:
    for key in keys:
        assert await inbox.accept(source, key, b"body", {}, subject)


async def claimed(inbox: SqlInbox) -> list[str]:
    return [delivery.key for delivery in await inbox.claim(10, KINDS)]


async def test_the_second_waits_until_the_first_is_done(inbox: SqlInbox) -> None:
    await accept(inbox, "pull/1", "opened", "merged")
    (first,) = await inbox.claim(10, KINDS)
    assert first.key == "opened"
    assert await claimed(inbox) == []
    await inbox.finish(first)
    assert await claimed(inbox) == ["merged"]


async def test_other_subjects_and_sources_do_not_wait(inbox: SqlInbox) -> None:
    await accept(inbox, "pull/1", "a1", "a2")
    await accept(inbox, "pull/2", "b1")
    await accept(inbox, "pull/1", "c1", source="webhook:gitlab")
    await accept(inbox, "", "free1", "free2")
    assert await claimed(inbox) == ["a1", "b1", "c1", "free1", "free2"]


async def test_the_next_waits_while_the_first_is_to_be_tried_again(inbox: SqlInbox) -> None:
    await accept(inbox, "pull/1", "first", "second")
    (first,) = await inbox.claim(10, KINDS)
    await inbox.retry(first, "Slack was away", timedelta(hours=1))
    assert await claimed(inbox) == []


async def test_one_that_failed_for_good_stops_nobody_and_comes_last_when_it_is_sent_again(
    inbox: SqlInbox,
) -> None:
    await accept(inbox, "pull/1", "bad", "second")
    (bad,) = await inbox.claim(10, KINDS)
    await inbox.give_up(bad, "cannot be read")
    await accept(inbox, "pull/1", "bad")
    (second,) = await inbox.claim(10, KINDS)
    assert second.key == "second"
    await inbox.finish(second)
    assert await claimed(inbox) == ["bad"]


async def test_what_a_dead_replica_had_in_hand_comes_before_what_arrived_after_it(
    database: Database,
) -> None:
    replica = Replica(database, "a", timedelta(seconds=30))
    await replica.join()
    dead, other = SqlInbox(database, replica.id), SqlInbox(database, "b")
    await accept(dead, "pull/1", "first", "second")
    await dead.claim(10, KINDS)
    await replica.leave()
    assert await claimed(other) == []
    await other.release_dead()
    assert await claimed(other) == ["first"]


async def test_many_at_once_get_each_subject_in_its_order(database: Database) -> None:
    """Six workers with connections of their own claim while senders still send."""
    subjects, of_each = 5, 12
    sent: dict[str, list[str]] = defaultdict(list)
    seen: dict[str, list[str]] = defaultdict(list)
    in_hand: set[str] = set()
    inbox = SqlInbox(database)

    async def send() -> None:
        for number in range(of_each):
            for subject in map(str, range(subjects)):
                key = f"{subject}/{number}"
                sent[subject].append(key)
                await accept(inbox, subject, key)

    async def work() -> None:
        while sum(map(len, seen.values())) < subjects * of_each:
            for delivery in await inbox.claim(3, KINDS):
                subject = delivery.key.partition("/")[0]
                assert subject not in in_hand, "two of one subject are in hand"
                in_hand.add(subject)
                await asyncio.sleep(0)
                seen[subject].append(delivery.key)
                in_hand.discard(subject)
                await inbox.finish(delivery)

    async with asyncio.timeout(120):
        await asyncio.gather(send(), *(work() for _ in range(6)))
    assert seen == sent


async def test_those_of_one_group_keep_the_order_in_which_they_came(inbox: SqlInbox) -> None:
    keys = [f"k{number}" for number in range(50)]
    await asyncio.gather(*(inbox.accept(SOURCE, key, b"", {}, "one") for key in keys))
    got: list[str] = []
    while found := await inbox.claim(10, KINDS):
        (delivery,) = found
        got.append(delivery.key)
        await inbox.finish(delivery)
    assert got == keys


@pytest.mark.parametrize("subject", ["x" * 5000, "nul\x00", "lone \ud800", "💩" * 400])
async def test_no_subject_from_outside_keeps_a_delivery_from_being_stored(
    inbox: SqlInbox, subject: str
) -> None:
    await accept(inbox, subject, "1", "2")
    delivery: Delivery
    (delivery,) = await inbox.claim(10, KINDS)
    assert delivery.key == "1"


_BEFORE = text(
    "INSERT INTO deliveries (source, key, kind, headers, body, received_at, state, attempts,"
    " due_at, reason) VALUES ('webhook:github', :key, 'webhook', '{}', :body, :at, 'received', 0,"
    " :at, '')"
).bindparams(bindparam("at", type_=deliveries.c.received_at.type))


@pytest.fixture(params=["sqlite", "postgresql"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'older.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


async def test_what_waited_before_the_upgrade_is_numbered_by_its_time(older: str) -> None:
    database = Database(older)
    async with database.write() as connection:
        await connection.run_sync(lambda c: migrate(c, "0007"))
        for key, day in (("late", 2), ("early", 1), ("last", 3)):
            at = datetime(2026, 1, day, tzinfo=UTC)
            await connection.execute(_BEFORE, {"key": key, "at": at, "body": b"body"})
    await database.open()
    inbox = SqlInbox(database)
    await accept(inbox, "pull/1", "new")
    assert await claimed(inbox) == ["early", "late", "last", "new"]
    async with database.read() as connection:
        rows = await connection.execute(select(deliveries.c.key, deliveries.c.sequence))
        numbers = {row.key: row.sequence for row in rows}
    assert numbers["early"] < numbers["late"] < numbers["last"] < numbers["new"]
    await database.close()
