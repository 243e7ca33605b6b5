"""Messages that `chat.scheduleMessage` put off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot.workspace.errors import MethodError
from bot.workspace.ids import Clock, new_id
from bot.workspace.records import Json, ScheduledRecord
from bot.workspace.storage import Storage

logger = logging.getLogger(__name__)

_FARTHEST = 120 * 86_400
Post = Callable[[Json], Awaitable[Json]]


class ScheduledMessages:
    """Keeps scheduled messages and posts them when their time has come, after restarts too."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._waiting = storage.all("scheduled", ScheduledRecord)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, post: Post) -> None:
        """Begins to post what is due; `post` gets the arguments of the call."""
        self._task = asyncio.get_running_loop().create_task(self._run(post))

    def close(self) -> None:
        """Stops posting; what waits is kept."""
        if self._task is not None:
            self._task.cancel()

    def add(self, channel: str, post_at: int, arguments: Json) -> ScheduledRecord:
        """Puts a message off.

        Raises:
            MethodError: `time_in_past` or `time_too_far`.
        """
        now = self._clock()
        if post_at <= now:
            raise MethodError("time_in_past")
        if post_at > now + _FARTHEST:
            raise MethodError("time_too_far")
        record = ScheduledRecord(
            id=new_id("Q"), channel=channel, post_at=post_at, arguments=arguments
        )
        self._storage.put("scheduled", record.id, record)
        self._waiting[record.id] = record
        self._changed.set()
        return record

    async def _run(self, post: Post) -> None:
        while True:
            self._changed.clear()
            for record in sorted(self._waiting.values(), key=lambda item: item.post_at):
                if record.post_at <= self._clock():
                    # Forgotten first: twice is worse than, at a crash, not at all.
                    del self._waiting[record.id]
                    self._storage.delete("scheduled", record.id)
                    try:
                        await post(record.arguments)
                    except MethodError as error:
                        logger.warning("Scheduled message %s not posted: %s", record.id, error.code)
            next_at = min((item.post_at for item in self._waiting.values()), default=None)
            left = None if next_at is None else max(0.0, next_at - self._clock())
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                continue
