"""The inbox: what came in is there once, is handed to one worker at a time, and is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from sqlalchemy import select

from core.inbox import Delivery
from core.replicas import Replica
from core.store.database import Database
from core.store.inbox import SqlInbox
from core.store.tables import deliveries


@pytest.fixture
def inbox(database: Database) -> SqlInbox:
    return SqlInbox(database)


class Clock:
    """The inbox's clock, which a test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self, tz: tzinfo) -> datetime:
        return datetime.now(tz) + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("core.store.inbox.datetime", made)
    return made


async def row(database: Database, key: str) -> Any:
    async with database.read() as connection:
        found = await connection.execute(select(deliveries).where(deliveries.c.key == key))
    return found.one()


async def alive(database: Database, name: str) -> Replica:
    replica = Replica(database, name, timedelta(seconds=30))
    await replica.join()
    return replica


async def accept(inbox: SqlInbox, *keys: str, source: str = "webhook:github") -> None:
    for key in keys:
        assert await inbox.accept(source, key, b"body", {})


def keys(claimed: list[Delivery]) -> list[str]:
    return [delivery.key for delivery in claimed]


async def test_what_was_accepted_comes_out_as_it_went_in(inbox: SqlInbox) -> None:
    body = bytes(range(256))
    before = datetime.now(UTC)
    assert await inbox.accept("webhook:github", "d-1", body, {"x-event": "push"})
    (delivery,) = await inbox.claim(10, ["webhook"])
    assert delivery.body == body
    assert (delivery.source, delivery.key) == ("webhook:github", "d-1")
    assert (delivery.headers, delivery.attempts) == ({"x-event": "push"}, 0)
    assert before <= delivery.received_at <= datetime.now(UTC)


async def test_of_fifty_at_once_with_one_key_one_is_new(inbox: SqlInbox) -> None:
    results = await asyncio.gather(
        *(inbox.accept("webhook:github", "same", str(n).encode(), {}) for n in range(50))
    )
    assert sorted(results) == [False] * 49 + [True]
    assert len(await inbox.claim(100, ["webhook"])) == 1


async def test_a_key_is_unique_within_its_source_only(inbox: SqlInbox) -> None:
    await accept(inbox, "1")
    assert await inbox.accept("webhook:gitlab", "1", b"", {})
    assert not await inbox.accept("webhook:github", "1", b"other", {})


async def test_deliveries_are_claimed_oldest_first_of_the_asked_kinds_and_no_more_than_asked(
    inbox: SqlInbox,
) -> None:
    await accept(inbox, "a", "b", "c")
    await accept(inbox, "s", source="slack")
    assert keys(await inbox.claim(2, ["webhook"])) == ["a", "b"]
    assert keys(await inbox.claim(10, ["webhook", "schedule"])) == ["c"]
    assert keys(await inbox.claim(10, ["slack"])) == ["s"]


async def test_workers_at_once_never_get_the_same_delivery(inbox: SqlInbox) -> None:
    await accept(inbox, *(f"d{n}" for n in range(30)))
    claims = await asyncio.gather(*(inbox.claim(4, ["webhook"]) for _ in range(10)))
    got = [key for claimed in claims for key in keys(claimed)]
    while claimed := await inbox.claim(4, ["webhook"]):
        got += keys(claimed)
    assert sorted(got) == sorted(f"d{n}" for n in range(30))


async def test_what_is_done_never_comes_again(inbox: SqlInbox, clock: Clock) -> None:
    await accept(inbox, "done")
    (delivery,) = await inbox.claim(1, ["webhook"])
    await inbox.finish(delivery)
    clock.ahead = timedelta(days=1)
    assert await inbox.claim(1, ["webhook"]) == []
    assert not await inbox.accept("webhook:github", "done", b"", {}), "a replay is no new one"


async def test_what_failed_for_good_is_worked_on_again_when_its_sender_delivers_it_again(
    inbox: SqlInbox,
) -> None:
    await accept(inbox, "gone", "fine")
    for delivery in await inbox.claim(2, ["webhook"]):
        await (inbox.finish if delivery.key == "fine" else _give_up(inbox))(delivery)
    assert await inbox.accept("webhook:github", "gone", b"again", {})
    assert not await inbox.accept("webhook:github", "gone", b"twice", {})
    assert not await inbox.accept("webhook:github", "fine", b"again", {})
    (delivery,) = await inbox.claim(2, ["webhook"])
    assert (delivery.key, delivery.body, delivery.attempts) == ("gone", b"again", 0)


def _give_up(inbox: SqlInbox) -> Callable[[Delivery], Awaitable[None]]:
    return lambda delivery: inbox.give_up(delivery, "its integration is gone")


async def test_what_a_living_replica_has_in_hand_stays_there_however_long_it_takes(
    database: Database, clock: Clock
) -> None:
    replica = await alive(database, "a")
    mine, other = SqlInbox(database, replica.id), SqlInbox(database, "b")
    await accept(mine, "long")
    await mine.claim(1, ["webhook"])
    clock.ahead = timedelta(days=1)
    await other.release_dead()
    assert await other.claim(1, ["webhook"]) == []


async def test_what_a_dead_replica_had_in_hand_is_due_at_once(database: Database) -> None:
    replica = await alive(database, "a")
    dead, other = SqlInbox(database, replica.id), SqlInbox(database, "b")
    await accept(dead, "a", "b", "c")
    first, second, _ = await dead.claim(3, ["webhook"])
    await dead.finish(first)
    await dead.give_up(second, "cannot be read")
    await replica.leave()
    await other.release_dead()
    assert keys(await other.claim(3, ["webhook"])) == ["c"]


async def test_a_replica_that_was_thought_dead_changes_nothing_that_another_has_taken_over(
    database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    late, other = SqlInbox(database, "late"), SqlInbox(database, (await alive(database, "b")).id)
    await accept(late, "d")
    (delivery,) = await late.claim(1, ["webhook"])
    await other.release_dead()
    (taken,) = await other.claim(1, ["webhook"])
    await late.finish(delivery)
    await late.retry(delivery, "late", timedelta(0))
    await late.give_up(delivery, "late")
    assert (await row(database, "d")).state == "working"
    assert "d was taken over by another" in caplog.text
    await other.finish(taken)
    assert (await row(database, "d")).state == "done"


async def test_what_failed_is_due_again_after_the_delay_and_counts_its_attempts(
    inbox: SqlInbox, clock: Clock, database: Database
) -> None:
    await accept(inbox, "later")
    (delivery,) = await inbox.claim(1, ["webhook"])
    await inbox.retry(delivery, "Slack was away", timedelta(seconds=60))
    assert await inbox.claim(1, ["webhook"]) == []
    assert (await row(database, "later")).reason == "Slack was away"
    clock.ahead = timedelta(seconds=61)
    (again,) = await inbox.claim(1, ["webhook"])
    assert again.attempts == 1


async def test_what_is_given_up_stays_with_its_reason(
    inbox: SqlInbox, clock: Clock, database: Database
) -> None:
    await accept(inbox, "bad")
    (delivery,) = await inbox.claim(1, ["webhook"])
    await inbox.give_up(delivery, "no JSON: \x00 " + "x" * 5000)
    clock.ahead = timedelta(days=1)
    assert await inbox.claim(1, ["webhook"]) == []
    kept = await row(database, "bad")
    assert (kept.state, kept.body) == ("failed", b"body")
    assert kept.reason.startswith("no JSON: \ufffd x")
    assert len(kept.reason) == 2000
