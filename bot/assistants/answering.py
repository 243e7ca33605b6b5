"""Answers from the runbooks: passages first, then a summary of which every sentence is checked."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from bot.assistants.chat_models import ChatModels
from bot.assistants.events import Delta, Finished, Quoted, Waiting
from bot.assistants.grounding import Sources
from bot.assistants.memory import last_question, within_budget
from bot.assistants.prompts import summary_prompt
from bot.assistants.summary import DEADLINE_S, MAX_TOKENS, grounded_sentences, why_missing
from core.knowledge import Passage
from core.services.ai import AIOrchestratorClient, ChatMessage, ChatRequest, OrchestratorError
from core.state import AIAssistant

logger = logging.getLogger(__name__)

PASSAGES = 3

NOTHING_FOUND = (
    "I found nothing about this in the runbooks, so I have no answer to it. "
    "Other words may help: the alert's name, the service, the error message."
)
NOT_COVERED = "There is no summary: what the model wrote was not covered by the passages."


class Knowledge(Protocol):
    """What answers need of `core.knowledge.KnowledgeBase`."""

    async def search(self, query: str, limit: int = 3) -> list[Passage]:
        """Find passages, best first; none where nothing is relevant."""
        ...


class Answerer:
    """Answers questions from a knowledge base, and from nothing else."""

    def __init__(
        self, orchestrator: AIOrchestratorClient, models: ChatModels, knowledge: Knowledge
    ) -> None:
        self._orchestrator = orchestrator
        self._models = models
        self._knowledge = knowledge

    async def answer(
        self, assistant: AIAssistant, text: str, history: Sequence[ChatMessage], started: float
    ) -> AsyncGenerator[Quoted | Waiting | Delta | Finished, None]:
        """Give the passages, the summary and the end.

        Args:
            text: the question.
            history: earlier turns, oldest first; cut to the budget here.
            started: `time.monotonic()` when the question came.
        """
        passages = await self._find(text, history)
        if not passages:
            yield Delta(text=NOTHING_FOUND)
            yield Finished(model="", seconds=time.monotonic() - started)
            return
        yield Quoted(passages=passages)
        model, written, note = "", False, ""
        try:
            speaker = await self._models.of(assistant)
            verbatim = not speaker.calls_tools
            texts = (text_of(passage) for passage in passages)
            sources = Sources(texts, text, verbatim=verbatim)
            remembered = within_budget(history)
            request = ChatRequest(
                messages=summary_prompt(assistant, text, passages, remembered, verbatim=verbatim),
                model=speaker.name,
                max_tokens=MAX_TOKENS,
                deadline_s=DEADLINE_S,
            )
            async with aclosing(
                grounded_sentences(self._orchestrator, request, sources)
            ) as sentences:
                async for sentence in sentences:
                    if isinstance(sentence, Waiting):
                        yield sentence
                        continue
                    yield Delta(text=f" {sentence}" if written else sentence)
                    model, written = speaker.name, True
        except OrchestratorError as error:
            logger.warning("No whole summary for a question to %s: %s", assistant.id, error)
            note = why_missing(error, begun=written)
        if not written and not note:
            note = NOT_COVERED
        if note:
            yield Delta(text=f"\n{note}" if written else note)
        yield Finished(model=model, seconds=time.monotonic() - started)

    async def _find(self, text: str, history: Sequence[ChatMessage]) -> tuple[Passage, ...]:
        """A follow-up such as "and how do I check that?" is read with the question before it."""
        found = await self._knowledge.search(text, PASSAGES)
        if not found and (before := last_question(history)):
            found = await self._knowledge.search(f"{before} {text}", PASSAGES)
        return tuple(found)


def text_of(passage: Passage) -> str:
    """A passage as a source: its headings and its text."""
    return "\n".join((passage.title, *passage.heading_path, passage.text))
