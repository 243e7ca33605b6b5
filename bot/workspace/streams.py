"""Streamed messages: parts that grow until the stream is stopped or Slack ends it.

Slack ends a stream about five minutes after its start, whatever comes in
(slackapi/python-slack-sdk issue 1859); so does the workspace.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ValidationError

from bot.workspace.block_check import checked_blocks
from bot.workspace.directory import Directory
from bot.workspace.errors import MethodError
from bot.workspace.ids import Clock
from bot.workspace.records import (
    BlocksPart,
    ChannelRecord,
    Json,
    MarkdownPart,
    MessageRecord,
    StreamPart,
    StreamState,
    TaskPart,
)
from bot.workspace.timeline import Timeline

_APPEND_LIMIT = 12_000
_TOTAL_LIMIT = 40_000


class Streams:
    """Starts, feeds and ends streamed messages.

    Args:
        lifetime: seconds after which a stream is ended by the workspace.
    """

    def __init__(
        self, timeline: Timeline, directory: Directory, clock: Clock, *, lifetime: float
    ) -> None:
        self._timeline = timeline
        self._directory = directory
        self._clock = clock
        self._lifetime = lifetime
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def resume(self) -> None:
        """Sets the timers of streams that were open when the workspace was stopped."""
        for message in self._timeline.storage.open_streams():
            self._set_timer(message)

    def close(self) -> None:
        """Drops the timers; streams stay open for `resume`."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def start(
        self, channel: ChannelRecord, thread_ts: str, mode: str, chunks: list[Json], **look: Any
    ) -> MessageRecord:
        """Posts a message that will grow.

        Args:
            mode: `timeline` or `plan`: how tasks are drawn.
            chunks: the first chunks, in Slack's shape; may be empty.
            look: `username`, `icon_emoji`, `icon_url`.

        Raises:
            MethodError: `invalid_arguments` (mode), `invalid_chunks` or `msg_too_long`.
        """
        if mode not in ("timeline", "plan"):
            raise MethodError("invalid_arguments", ["[ERROR] task_display_mode: timeline or plan"])
        state = _fed(StreamState(mode=mode, opened_at=self._clock()), chunks)
        message = self._timeline.post(
            channel,
            self._directory.bot_user,
            _text(state),
            bot_id=self._directory.bot.bot_id,
            thread_ts=thread_ts,
            blocks=tuple(_blocks(state)),
            stream=state,
            **look,
        )
        self._set_timer(message)
        return message

    def append(self, channel: str, ts: str, chunks: list[Json]) -> MessageRecord:
        """Feeds chunks to an open stream.

        Raises:
            MethodError: `message_not_found`, `message_not_in_streaming_state`, `invalid_chunks`
                or `msg_too_long`.
        """
        message, state = self._open(channel, ts)
        state = _fed(state, chunks)
        return self._store(message, state)

    def stop(
        self,
        channel: str,
        ts: str,
        chunks: list[Json],
        blocks: list[Json],
        metadata: Json | None,
    ) -> MessageRecord:
        """Feeds the last chunks and closes the stream; `blocks` come below all that was fed.

        Raises:
            MethodError: as `append`.
        """
        message, state = self._open(channel, ts)
        state = _fed(state, chunks)
        if blocks:
            part = BlocksPart(blocks=tuple(blocks))
            state = state.model_copy(update={"parts": (*state.parts, part)})
        return self._end(message, state, metadata=metadata)

    def end_thread(self, channel: str, thread_ts: str) -> list[str]:
        """Ends all open streams of a thread, as the Stop button does; their `ts`."""
        ended = []
        for message in self.open_in(channel, thread_ts):
            if message.stream is not None:
                self._end(message, message.stream)
                ended.append(message.ts)
        return ended

    def open_in(self, channel: str, thread_ts: str) -> list[MessageRecord]:
        """The messages of a thread that are streaming."""
        messages = (
            self._timeline.storage.message(of, ts)
            for of, ts in sorted(self._timers)
            if of == channel
        )
        return [message for message in messages if message and message.thread_ts == thread_ts]

    def _open(self, channel: str, ts: str) -> tuple[MessageRecord, StreamState]:
        message = self._timeline.get(channel, ts)
        if message.stream is None or not message.stream.open:
            raise MethodError("message_not_in_streaming_state")
        return message, message.stream

    def _store(self, message: MessageRecord, state: StreamState, **fields: Any) -> MessageRecord:
        return self._timeline.change(
            message,
            tell=False,
            stream=state,
            text=_text(state),
            blocks=tuple(_blocks(state)),
            **fields,
        )

    def _end(
        self, message: MessageRecord, state: StreamState, metadata: Json | None = None
    ) -> MessageRecord:
        timer = self._timers.pop((message.channel, message.ts), None)
        if timer is not None:
            timer.cancel()
        closed = state.model_copy(update={"open": False})
        return self._store(message, closed, metadata=metadata or message.metadata)

    def _set_timer(self, message: MessageRecord) -> None:
        if message.stream is None:
            return
        left = message.stream.opened_at + self._lifetime - self._clock()
        key = (message.channel, message.ts)
        self._timers[key] = asyncio.get_running_loop().call_later(
            max(0.0, left), self._expire, *key
        )

    def _expire(self, channel: str, ts: str) -> None:
        self._timers.pop((channel, ts), None)
        message = self._timeline.storage.message(channel, ts)
        if message is not None and message.stream is not None and message.stream.open:
            self._end(message, message.stream)


def markdown_chunk(text: str) -> Json:
    """The chunk that `markdown_text` stands for."""
    return {"type": "markdown_text", "text": text}


def _fed(state: StreamState, chunks: list[Json]) -> StreamState:
    for chunk in chunks:
        state = _fed_one(state, chunk)
    if len(_text(state)) > _TOTAL_LIMIT:
        raise MethodError("msg_too_long")
    return state


def _fed_one(state: StreamState, chunk: Json) -> StreamState:
    match chunk:
        case {"type": "markdown_text", "text": str(text)}:
            if len(text) > _APPEND_LIMIT:
                raise MethodError("msg_too_long")
            return state.model_copy(update={"parts": _with_markdown(state.parts, text)})
        case {"type": "plan_update", "title": str(title)}:
            return state.model_copy(update={"plan_title": title})
        case {"type": "task_update"}:
            return state.model_copy(update={"parts": _with_task(state.parts, chunk)})
        case {"type": "blocks", "blocks": list(blocks)}:
            part = BlocksPart(blocks=tuple(checked_blocks(blocks, "message")))
            return state.model_copy(update={"parts": (*state.parts, part)})
    raise MethodError("invalid_chunks", [f"[ERROR] chunk {str(chunk)[:200]}"])


def _with_markdown(parts: tuple[StreamPart, ...], text: str) -> tuple[StreamPart, ...]:
    last = parts[-1] if parts else None
    if isinstance(last, MarkdownPart):
        return (*parts[:-1], MarkdownPart(text=last.text + text))
    return (*parts, MarkdownPart(text=text))


def _with_task(parts: tuple[StreamPart, ...], chunk: Json) -> tuple[StreamPart, ...]:
    fields = {key: value for key, value in chunk.items() if key != "type" and value is not None}
    for index, part in enumerate(parts):
        if isinstance(part, TaskPart) and part.id == fields.get("id"):
            # An update leaves alone what it does not name.
            task = _task({**part.model_dump(exclude={"kind"}), **fields})
            return (*parts[:index], task, *parts[index + 1 :])
    return (*parts, _task(fields))


def _task(fields: Json) -> TaskPart:
    try:
        return TaskPart.model_validate(fields)
    except ValidationError as error:
        raise MethodError("invalid_chunks", [f"[ERROR] task_update: {error}"]) from error


def _text(state: StreamState) -> str:
    return "".join(part.text for part in state.parts if isinstance(part, MarkdownPart))


def _blocks(state: StreamState) -> list[Json]:
    tasks = [part for part in state.parts if isinstance(part, TaskPart)]
    blocks: list[Json] = []
    plan_drawn = False
    for index, part in enumerate(state.parts):
        if isinstance(part, MarkdownPart):
            if part.text.strip():
                blocks.append({"type": "markdown", "block_id": f"s{index}", "text": part.text})
        elif isinstance(part, BlocksPart):
            blocks.extend(part.blocks)
        elif state.mode == "timeline":
            blocks.append(_task_card(part) | {"block_id": f"s{index}"})
        elif not plan_drawn:
            plan_drawn = True
            blocks.append(
                {
                    "type": "plan",
                    "block_id": f"s{index}",
                    "title": state.plan_title or "Plan",
                    "tasks": [_task_card(task) for task in tasks],
                }
            )
    return blocks


def _task_card(task: TaskPart) -> Json:
    card: Json = {
        "type": "task_card",
        "task_id": task.id,
        "title": task.title,
        "status": task.status,
    }
    for name, text in (("details", task.details), ("output", task.output)):
        if text:
            section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
            card[name] = {"type": "rich_text", "elements": [section]}
    if task.sources:
        card["sources"] = list(task.sources)
    return card
