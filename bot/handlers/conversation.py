"""Questions: who answers, the passages at once, then the text as it is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

from bot.assistants.events import Question, Waiting
from bot.assistants.memory import Utterance, conversation
from bot.assistants.panel import ALL, minutes
from bot.handlers.writing import AnswerWriter
from bot.services import BotServices
from bot.slack.client import payload, slack_errors
from bot.slack.incoming import typed, without_mention
from core.ports import PresentationError
from core.records import Place
from core.services.ai import ChatMessage

T = TypeVar("T")

_AT_WORK = "is looking into it…"
_HISTORY = 30
_QUESTION_CHARACTERS = 12_000
_log = logging.getLogger(__name__)


class StoppedByPersonError(Exception):
    """Somebody pressed Stop; no answer is wanted any more."""


class Conversation:
    """Answers questions in threads."""

    def __init__(self, services: BotServices) -> None:
        self._services = services
        self._running: dict[tuple[str, str], asyncio.Event] = {}

    async def respond(
        self,
        key: str,
        user: str,
        place: Place,
        text: str,
        assistant: str | None = None,
        newest: str | None = None,
    ) -> None:
        """Answer in a thread, once.

        Args:
            key: of the delivery.
            place: with a thread.
            assistant: id of the persona that was asked for, or `all`.
            newest: `ts` of the question itself where the thread has earlier messages.

        Raises:
            CountersignError: it could not be answered.
        """
        key = f"answer:{key}"
        if await self._services.messenger.posted(key):
            return  # answered before a crash
        if assistant == ALL:
            await self._ask_all(key, place, text[:_QUESTION_CHARACTERS])
            return
        async with self._at_work(place) as stopped:
            question = Question(
                user=user,
                text=text[:_QUESTION_CHARACTERS],
                place=place,
                assistant=assistant,
                history=await self._history(place, newest) if newest else (),
            )
            me = await self._services.directory.me()
            writer = AnswerWriter(self._services, key, place, user, me.team)
            finished = False
            try:
                await self._write(question, writer, stopped)
                finished = True
            except StoppedByPersonError:
                _log.info("an answer in %s was stopped", place.channel)
            finally:
                if not finished:
                    await writer.abandon()

    def stop(self, place: Place) -> None:
        """Stop what is being written in a thread by this process."""
        if place.thread and (event := self._running.get((place.channel, place.thread))):
            event.set()

    async def _ask_all(self, key: str, place: Place, text: str) -> None:
        """Every assistant's answer in one message; who has none is named with the reason."""
        panel = self._services.panel
        async with self._at_work(place) as stopped:
            try:
                broadcast = await _unless(stopped, panel.broadcast(text, panel.names))
            except StoppedByPersonError:
                _log.info("a question to all in %s was stopped", place.channel)
                return
            said = minutes(broadcast, self._services.state.assistants)
            await self._services.messenger.say(place, said, key)

    async def _write(self, question: Question, writer: AnswerWriter, stop: asyncio.Event) -> None:
        waited = False
        async with aclosing(self._services.assistants.respond(question)) as events:
            while True:
                try:
                    event = await _unless(stop, anext(events))
                except StopAsyncIteration:
                    break
                if isinstance(event, Waiting):
                    busy = f"Busy: place {event.place} in the queue"
                    await self._status(question.place, "processing", busy)
                elif waited:
                    await self._status(question.place, "processing", _AT_WORK)
                waited = isinstance(event, Waiting)
                await writer.take(event)
        await writer.finish()

    @asynccontextmanager
    async def _at_work(self, place: Place) -> AsyncIterator[asyncio.Event]:
        """Say that the thread is worked in, and listen for Stop."""
        where = (place.channel, place.thread or "")
        stop = asyncio.Event()
        self._running[where] = stop
        await self._status(place, "processing", _AT_WORK)
        try:
            yield stop
        finally:
            if self._running.get(where) is stop:
                del self._running[where]
            await self._status(place, "active", "")

    async def _status(self, place: Place, session: str, words: str) -> None:
        """The thread's status; an answer does not fail for it."""
        client = self._services.client
        thread = place.thread or ""
        try:
            with slack_errors("show a status"):
                await client.agents_sessions_setStatus(
                    channel_id=place.channel, thread_ts=thread, status=session
                )
                await client.assistant_threads_setStatus(
                    channel_id=place.channel, thread_ts=thread, status=words
                )
        except PresentationError as error:
            _log.info("no status: %s", error)

    async def _history(self, place: Place, newest: str) -> tuple[ChatMessage, ...]:
        me = await self._services.directory.me()
        with slack_errors("read the thread"):
            answer = await self._services.client.conversations_replies(
                channel=place.channel, ts=place.thread or "", latest=newest, limit=_HISTORY
            )
        return conversation(
            Utterance(
                "assistant" if message.get("user") == me.user else "person",
                typed(without_mention(str(message.get("text") or ""), me.user)),
            )
            for message in payload(answer).get("messages", [])
            if message.get("ts") != newest
        )


async def _unless(stop: asyncio.Event, wanted: Awaitable[T]) -> T:
    """What `wanted` gives, or its end where `stop` is set first.

    Raises:
        StoppedByPersonError: `stop` was set.
    """
    work = asyncio.ensure_future(wanted)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise StoppedByPersonError
    finally:
        stopping.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
