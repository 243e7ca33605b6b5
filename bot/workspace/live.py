"""Events for open pages: who is listening, and what they are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bot.workspace.page_records import Out

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

_BACKLOG = 1_000


class Listener:
    """One open page; iterate it for frames (JSON text). It ends when the page is too slow."""

    def __init__(self, user: str) -> None:
        self.user = user
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, frame: str) -> bool:
        """Queues a frame; False when the backlog is full and the listener was ended."""
        if self._frames.qsize() >= _BACKLOG:
            self.end()
            return False
        self._frames.put_nowait(frame)
        return True

    def end(self) -> None:
        """Ends the iteration after what is queued."""
        self._frames.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (frame := await self._frames.get()) is not None:
            yield frame


class LiveHub:
    """Sends events to the open pages of the users that they concern."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    @contextmanager
    def listening(self, user: str) -> Iterator[Listener]:
        """Registers a page for as long as the block runs."""
        listener = Listener(user)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def publish(self, event: Out, users: Iterable[str] | None = None) -> None:
        """Queues an event for the pages of these users; None means of everyone."""
        if not self._listeners:
            return
        frame = event.model_dump_json()
        wanted = None if users is None else frozenset(users)
        for listener in list(self._listeners):
            if (wanted is None or listener.user in wanted) and not listener.put(frame):
                logger.warning("A page of %s is too slow; it has to reconnect", listener.user)
                self._listeners.discard(listener)

    def close(self) -> None:
        """Ends all listeners."""
        for listener in self._listeners:
            listener.end()
