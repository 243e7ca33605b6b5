"""The inbox's workers: a delivery is handled until it is done, or kept with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from core.errors import InvalidRequestError
from core.inbox import Delivery
from core.ports import PresentationError
from core.store.database import Database
from core.store.inbox import SqlInbox
from core.store.tables import deliveries
from core.worker import InboxWorker
from tests.support.until import until


class Handler:
    """Handles what it can; `outcomes` says what happens to which key, attempt after attempt."""

    def __init__(self, **outcomes: list[BaseException]) -> None:
        self.outcomes = outcomes
        self.handled: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.in_hand = 0
        self.most = 0

    async def __call__(self, delivery: Delivery) -> None:
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        try:
            await self.gate.wait()
            if failures := self.outcomes.get(delivery.key):
                raise failures.pop(0)
            self.handled.append(delivery.key)
        finally:
            self.in_hand -= 1


@asynccontextmanager
async def working(
    database: Database, handler: Handler, concurrency: int = 4
) -> AsyncIterator[InboxWorker]:
    worker = InboxWorker(SqlInbox(database), {"webhook": handler}, concurrency)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), "nothing that a handler does ends the worker"


async def states(database: Database) -> dict[str, tuple[str, int, str]]:
    async with database.read() as connection:
        rows = await connection.execute(select(deliveries))
    return {row.key: (row.state, row.attempts, row.reason) for row in rows}


async def make_due(database: Database) -> None:
    """Let the time until the next attempt be over."""
    async with database.write() as connection:
        await connection.execute(update(deliveries).values(due_at=datetime(2020, 1, 1, tzinfo=UTC)))


@pytest.fixture(autouse=True)
def _polling_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.worker._POLL_S", 0.05)


async def reaches(database: Database, key: str, *wanted: Any) -> None:
    async def there() -> Any:
        return (await states(database))[key][: len(wanted)] == wanted

    await until(there, f"{key} is {wanted}")


async def test_what_arrives_is_handled_at_once(database: Database) -> None:
    handler = Handler()
    async with working(database, handler) as worker:
        assert await worker.accept("webhook:x", "a", b"", {})
        await reaches(database, "a", "done")
        assert not await worker.accept("webhook:x", "a", b"", {})
    assert handler.handled == ["a"]


async def test_a_bug_in_a_handler_stops_no_other_delivery_and_is_tried_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler(bad=[KeyError("a bug")])
    async with working(database, handler) as worker:
        for key in ("bad", "good"):
            await worker.accept("webhook:x", key, b"", {})
        await reaches(database, "good", "done")
        await reaches(database, "bad", "received", 1)
        await make_due(database)
        await reaches(database, "bad", "done", 1)
    assert "webhook:x bad failed" in caplog.text


async def test_a_message_that_could_not_be_posted_is_tried_again(database: Database) -> None:
    handler = Handler(late=[PresentationError("Slack is away")])
    async with working(database, handler) as worker:
        await worker.accept("webhook:x", "late", b"", {})
        await reaches(database, "late", "received", 1)
        await make_due(database)
        await reaches(database, "late", "done", 1, "Slack is away")
    assert handler.handled == ["late"]


async def test_what_can_never_be_processed_is_kept_with_the_reason_and_not_tried_again(
    database: Database,
) -> None:
    handler = Handler(wrong=[InvalidRequestError("it names no repository")])
    async with working(database, handler) as worker:
        await worker.accept("webhook:x", "wrong", b"", {})
        await reaches(database, "wrong", "failed", 1, "it names no repository")
    assert handler.handled == []


async def test_after_five_attempts_it_is_kept(database: Database) -> None:
    handler = Handler(bad=[KeyError("a bug")] * 9)
    async with working(database, handler) as worker:
        await worker.accept("webhook:x", "bad", b"", {})
        for attempt in range(1, 5):
            await reaches(database, "bad", "received", attempt)
            await make_due(database)
        await reaches(database, "bad", "failed", 5, "KeyError: 'a bug'")
    assert len(handler.outcomes["bad"]) == 4


async def test_what_cannot_be_posted_for_hours_is_tried_as_long(database: Database) -> None:
    handler = Handler(late=[PresentationError("Slack is away")] * 30)
    async with working(database, handler) as worker:
        await worker.accept("webhook:x", "late", b"", {})
        for attempt in range(1, 31):
            await reaches(database, "late", "received", attempt)
            await make_due(database)
        await reaches(database, "late", "done", 30)
    assert handler.handled == ["late"]


async def test_a_handler_that_cancels_itself_ends_its_delivery_only(database: Database) -> None:
    handler = Handler(odd=[asyncio.CancelledError()])
    async with working(database, handler) as worker:
        await worker.accept("webhook:x", "odd", b"", {})
        await reaches(database, "odd", "received", 1)
        await make_due(database)
        await reaches(database, "odd", "done", 1)


async def test_no_more_are_in_hand_than_allowed(database: Database) -> None:
    handler = Handler()
    handler.gate.clear()
    async with working(database, handler, concurrency=3) as worker:
        for number in range(10):
            await worker.accept("webhook:x", f"d{number}", b"", {})
        await until(lambda: handler.in_hand == 3, "three are in hand")
        handler.gate.set()
        await until(lambda: len(handler.handled) == 10, "all are handled")
    assert handler.most == 3
    assert sorted(handler.handled) == sorted(f"d{number}" for number in range(10))


async def test_what_was_in_hand_when_the_process_ended_is_handled_after_the_restart(
    database: Database,
) -> None:
    first, second = Handler(), Handler()
    first.gate.clear()
    async with working(database, first) as worker:
        await worker.accept("webhook:x", "cut", b"", {})
        await until(lambda: first.in_hand == 1, "it is in hand")
    await SqlInbox(database).release_dead()
    async with working(database, second):
        await reaches(database, "cut", "done")
    assert (first.handled, second.handled) == ([], ["cut"])


async def test_a_worker_takes_only_kinds_that_it_has_a_handler_for(database: Database) -> None:
    handler = Handler()
    inbox = SqlInbox(database)
    await inbox.accept("slack", "s", b"", {})
    async with working(database, handler) as worker:
        await worker.accept("webhook:x", "w", b"", {})
        await reaches(database, "w", "done")
        assert (await states(database))["s"][0] == "received"
