"""What the bot says about a thread: its status line, its session, its suggested prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from bot.workspace.directory import Directory
from bot.workspace.ids import Clock
from bot.workspace.live import LiveHub
from bot.workspace.page_records import Prompt, SuggestedPrompts, ThreadStatus
from bot.workspace.protocol import PromptsChanged, StatusChanged
from bot.workspace.records import PromptsRecord, ThreadRecord
from bot.workspace.storage import Storage

STATUS_SECONDS = 120.0
"""Slack takes a status away after two minutes without a message."""

SessionStatus = Literal["processing", "active", "suspended", "closed"]


class Agents:
    """Threads that the bot works in.

    Args:
        streaming: whether a thread has an open stream (then it can be stopped).
    """

    def __init__(
        self,
        storage: Storage,
        directory: Directory,
        live: LiveHub,
        clock: Clock,
        streaming: Callable[[str, str], bool],
    ) -> None:
        self._storage = storage
        self._directory = directory
        self._live = live
        self._clock = clock
        self._streaming = streaming
        self._threads = storage.all("thread", ThreadRecord)
        self._prompts = storage.all("prompts", PromptsRecord)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def close(self) -> None:
        """Drops the timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def set_status(
        self, channel: str, thread_ts: str, status: str, loading_messages: tuple[str, ...]
    ) -> None:
        """Shows a status line; an empty one takes it away."""
        self._change(
            channel,
            thread_ts,
            status=status,
            loading_messages=loading_messages,
            status_at=self._clock(),
        )
        key = _key(channel, thread_ts)
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if status:
            self._timers[key] = asyncio.get_running_loop().call_later(
                STATUS_SECONDS, self.clear_status, channel, thread_ts
            )

    def clear_status(self, channel: str, thread_ts: str) -> None:
        """Takes the status line away, as a message of the bot in the thread does."""
        if timer := self._timers.pop(_key(channel, thread_ts), None):
            timer.cancel()
        if self._thread(channel, thread_ts).status:
            self._change(channel, thread_ts, status="", loading_messages=())

    def set_session(
        self, channel: str, thread_ts: str, session: SessionStatus, title: str | None = None
    ) -> ThreadRecord:
        """Opens or changes a session; `title` counts only when it is opened."""
        before = self._thread(channel, thread_ts)
        fields: dict[str, Any] = {"session": session}
        if title and before.session is None:
            fields["title"] = title
        return self._change(channel, thread_ts, **fields)

    def rename(self, channel: str, thread_ts: str, title: str) -> None:
        """Gives the thread's session another title."""
        self._change(channel, thread_ts, title=title)

    def has_session(self, channel: str, thread_ts: str) -> bool:
        """Whether a session was opened in the thread."""
        return self._thread(channel, thread_ts).session is not None

    def refresh(self, channel: str, thread_ts: str) -> None:
        """Shows the thread's state again, after a stream began or ended in it."""
        self._show(self._thread(channel, thread_ts))

    def suggest(
        self, channel: str, thread_ts: str | None, title: str, prompts: list[dict[str, str]]
    ) -> None:
        """Shows prompts in a thread or a whole direct message."""
        record = PromptsRecord(
            channel=channel, thread_ts=thread_ts, title=title, prompts=tuple(prompts)
        )
        key = _key(channel, thread_ts or "")
        self._prompts[key] = record
        self._storage.put("prompts", key, record)
        self._live.publish(
            PromptsChanged(prompts=_page_prompts(record)), self._directory.channels[channel].members
        )

    # --- pages ---

    def statuses(self, channels: set[str]) -> list[ThreadStatus]:
        """The threads of these channels about which there is something to show."""
        found = (
            self.status(thread.channel, thread.thread_ts)
            for thread in self._threads.values()
            if thread.channel in channels
        )
        return [item for item in found if item.status or item.stoppable or item.session]

    def status(self, channel: str, thread_ts: str) -> ThreadStatus:
        """One thread as pages draw it."""
        thread = self._thread(channel, thread_ts)
        fresh = self._clock() - thread.status_at < STATUS_SECONDS
        return ThreadStatus(
            channel=channel,
            thread_ts=thread_ts,
            status=thread.status if fresh else "",
            loading_messages=list(thread.loading_messages) if fresh else [],
            session=thread.session,
            title=thread.title,
            stoppable=thread.session == "processing" or self._streaming(channel, thread_ts),
        )

    def prompts(self, channels: set[str]) -> list[SuggestedPrompts]:
        """The suggested prompts in these channels."""
        return [_page_prompts(item) for item in self._prompts.values() if item.channel in channels]

    def _thread(self, channel: str, thread_ts: str) -> ThreadRecord:
        known = self._threads.get(_key(channel, thread_ts))
        return known or ThreadRecord(channel=channel, thread_ts=thread_ts)

    def _change(self, channel: str, thread_ts: str, **fields: Any) -> ThreadRecord:
        thread = self._thread(channel, thread_ts).model_copy(update=fields)
        key = _key(channel, thread_ts)
        self._threads[key] = thread
        self._storage.put("thread", key, thread)
        self._show(thread)
        return thread

    def _show(self, thread: ThreadRecord) -> None:
        self._live.publish(
            StatusChanged(status=self.status(thread.channel, thread.thread_ts)),
            self._directory.channels[thread.channel].members,
        )


def _key(channel: str, thread_ts: str) -> str:
    return f"{channel}:{thread_ts}"


def _page_prompts(record: PromptsRecord) -> SuggestedPrompts:
    return SuggestedPrompts(
        channel=record.channel,
        thread_ts=record.thread_ts,
        title=record.title,
        prompts=[Prompt(title=item["title"], message=item["message"]) for item in record.prompts],
    )
