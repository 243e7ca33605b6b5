"""Answers that grow in a thread, as far as Slack can; whole messages where it cannot.

Slack ends a stream about five minutes after its start (python-slack-sdk issue 1859) and allows
about 100 appends a minute for the whole workspace: so text is sent in batches, and a stream is
followed by another in time. https://docs.slack.dev/reference/methods/chat.startStream
"""

from __future__ import annotations

import logging
import time

from slack_sdk.models.messages.chunk import BlocksChunk, Chunk, MarkdownTextChunk
from slack_sdk.web.async_client import AsyncWebClient

from bot.blocks.layout import Json, total
from bot.slack.client import refusal, slack_errors, unrepeated
from bot.slack.escaping import LinkPolicy, StreamNeutraliser
from bot.slack.fitting import fitted
from core.ports import PresentationError
from core.records import Place

_BATCH_S = 1.2
_BATCH_CHARACTERS = 600
_ROLL_OVER_S = 240.0
_MESSAGE_CHARACTERS = 11_000
_ENDED = "message_not_in_streaming_state"
_log = logging.getLogger(__name__)


class StreamRefusedError(Exception):
    """Slack streams nothing here; the answer is posted when it is whole."""


class AnswerStream:
    """One answer in a thread.

    Args:
        place: with a thread.
        user, team: whom it answers; channels require it.
        links: which links stay links.
        roll_over_s: seconds after which a new message goes on.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        place: Place,
        user: str,
        team: str,
        links: LinkPolicy,
        roll_over_s: float = _ROLL_OVER_S,
    ) -> None:
        self._client = unrepeated(client)
        self._place = place
        self._user = user
        self._team = team
        self._roll_over_s = roll_over_s
        self._neutraliser = StreamNeutraliser(links)
        self._unsent = ""
        self._ts: str | None = None
        self._started = 0.0
        self._flushed = 0.0
        self._sent = 0
        self._began = False

    async def write(self, markdown: str) -> None:
        """More text of a model or the like; sent when there is enough of it.

        Raises:
            StreamRefusedError: Slack refuses to stream.
            PresentationError: Slack cannot be reached.
        """
        self._unsent += self._neutraliser.feed(markdown)
        await self._flush(forced=False)

    async def show(self, blocks: list[Json]) -> None:
        """Blocks, at once, below what has been written. Raises as `write`."""
        await self._flush(forced=True)
        if blocks:
            await self._send(BlocksChunk(blocks=fitted(blocks)), total(blocks))

    async def finish(self, blocks: list[Json]) -> None:
        """The end, with blocks below. Raises as `write`."""
        self._unsent += self._neutraliser.close()
        await self.show(blocks)
        await self._stop()

    async def abandon(self) -> None:
        """End it as it is; what was not sent yet is dropped. Raises as `write`."""
        await self._stop()

    async def _flush(self, forced: bool) -> None:
        now = time.monotonic()
        enough = len(self._unsent) >= _BATCH_CHARACTERS or now - self._flushed >= _BATCH_S
        if not self._unsent.strip() or not (forced or enough):
            return
        while self._unsent:
            part, rest = self._unsent[:_MESSAGE_CHARACTERS], self._unsent[_MESSAGE_CHARACTERS:]
            await self._send(MarkdownTextChunk(text=part), len(part))
            self._unsent = rest
        self._flushed = now

    async def _send(self, chunk: Chunk, size: int) -> None:
        late = time.monotonic() - self._started >= self._roll_over_s
        if self._ts and (late or self._sent + size > _MESSAGE_CHARACTERS):
            await self._stop()
        if self._ts is None or not await self._append(self._ts, chunk):
            await self._start(chunk)
        self._sent += size

    async def _start(self, chunk: Chunk) -> None:
        try:
            with slack_errors("start a stream"):
                answer = await self._client.chat_startStream(
                    channel=self._place.channel,
                    thread_ts=self._place.thread or "",
                    recipient_user_id=self._user,
                    recipient_team_id=self._team,
                    chunks=[chunk],
                )
        except PresentationError as error:
            if refusal(error) and not self._began:
                raise StreamRefusedError(str(error)) from error
            raise
        self._began = True
        self._ts = str(answer["ts"])
        self._started = time.monotonic()
        self._sent = 0

    async def _append(self, ts: str, chunk: Chunk) -> bool:
        """Whether the stream was still open."""
        try:
            with slack_errors("go on with a stream"):
                await self._client.chat_appendStream(
                    channel=self._place.channel, ts=ts, chunks=[chunk]
                )
        except PresentationError as error:
            if refusal(error) != _ENDED:
                raise
            _log.info("Slack ended the stream; another message goes on")
            return False
        return True

    async def _stop(self) -> None:
        if self._ts is None:
            return
        ts, self._ts = self._ts, None
        try:
            with slack_errors("end a stream"):
                await self._client.chat_stopStream(channel=self._place.channel, ts=ts)
        except PresentationError as error:
            if refusal(error) != _ENDED:
                raise
            _log.info("Slack had ended the stream before it was stopped")
