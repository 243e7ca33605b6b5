"""The inbox's workers: each delivery is handled until it is done, or kept with the reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta

from core.errors import CountersignError
from core.inbox import Delivery, Handler
from core.ports import PresentationError
from core.store.inbox import SqlInbox

_POLL_S = 1.0  # what another replica has accepted and has no hand free for
_ATTEMPTS = 5
_ATTEMPTS_TO_POST = 100  # for half a day: Slack may be away for hours
_LONGEST_PAUSE_S = 600
_log = logging.getLogger(__name__)


class InboxWorker:
    """Handles deliveries, several at a time.

    Args:
        handlers: for each kind of source its handler; the kind is what stands before a colon.
        concurrency: how many deliveries are in hand at once.
    """

    def __init__(self, inbox: SqlInbox, handlers: Mapping[str, Handler], concurrency: int) -> None:
        self._inbox = inbox
        self._handlers = dict(handlers)
        self._concurrency = concurrency
        self._arrived = asyncio.Event()

    def handle(self, kind: str, handler: Handler) -> None:
        """Add a handler before `run`, for one that itself needs to put things into the inbox."""
        self._handlers[kind] = handler

    async def accept(
        self, source: str, key: str, body: bytes, headers: Mapping[str, str], subject: str = ""
    ) -> bool:
        """`Inbox.accept`, and wake the workers."""
        new = await self._inbox.accept(source, key, body, headers, subject)
        if new:
            self._arrived.set()
        return new

    async def waiting(self) -> Mapping[str, int]:
        """`Backlog.waiting`."""
        return await self._inbox.waiting()

    async def run(self) -> None:
        """Work for ever; cancel to stop. What is in hand then is handled again, by whoever takes
        over from this replica."""
        in_hand: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                self._arrived.clear()
                room = self._concurrency - len(in_hand)
                claimed = await self._inbox.claim(room, self._handlers) if room else []
                for delivery in claimed:
                    task = group.create_task(self._handle(delivery))
                    in_hand.add(task)
                    task.add_done_callback(in_hand.discard)
                    task.add_done_callback(lambda _: self._arrived.set())
                if not claimed:
                    await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_POLL_S):
                await self._arrived.wait()
        except TimeoutError:
            return

    async def _handle(self, delivery: Delivery) -> None:
        what = f"{delivery.source} {delivery.key}"
        # Gathered, so that a bug in one handler is a failed delivery and not the end of the rest.
        (error,) = await asyncio.gather(
            self._handler(delivery.source)(delivery), return_exceptions=True
        )
        if error is None:
            await self._inbox.finish(delivery)
        elif isinstance(error, PresentationError):
            _log.warning("%s is tried again: %s", what, error)
            await self._again(delivery, what, str(error), _ATTEMPTS_TO_POST)
        elif isinstance(error, CountersignError):
            _log.warning("%s cannot be processed and is kept: %s", what, error)
            await self._inbox.give_up(delivery, str(error))
        else:
            _log.error("%s failed", what, exc_info=error)
            await self._again(delivery, what, f"{type(error).__name__}: {error}", _ATTEMPTS)

    async def _again(self, delivery: Delivery, what: str, reason: str, most: int) -> None:
        if delivery.attempts + 1 >= most:
            _log.error("%s failed %d times and is kept: %s", what, most, reason)
            await self._inbox.give_up(delivery, reason)
            return
        pause_s = min(2.0**delivery.attempts, _LONGEST_PAUSE_S)
        await self._inbox.retry(delivery, reason, timedelta(seconds=pause_s))

    def _handler(self, source: str) -> Handler:
        return self._handlers[source.split(":", 1)[0]]
