"""A generated summary, sentence by sentence; only what its sources cover is let through."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from bot.assistants.events import Waiting
from bot.assistants.grounding import Sources
from bot.assistants.sentences import SentenceBuffer, is_whole
from core.services.ai import (
    AIOrchestratorClient,
    ChatChunk,
    ChatRequest,
    DeadlineExceededError,
    OrchestratorBusyError,
    OrchestratorError,
    OrchestratorUnavailableError,
)

logger = logging.getLogger(__name__)

MAX_TOKENS = 160
MAX_SENTENCES = 4
MAX_LEFT_OUT = 6
"""So many sentences that are not covered end the generation: a small model only repeats itself."""
DEADLINE_S = 90.0


async def grounded_sentences(
    orchestrator: AIOrchestratorClient, request: ChatRequest, sources: Sources
) -> AsyncGenerator[str | Waiting, None]:
    """Generate, and give each sentence that `sources` cover, at most `MAX_SENTENCES`.

    Before them come the request's places in the model's queue, where it waits.

    Closing the generator, or enough sentences, cancels the generation in the server.

    Raises:
        OrchestratorError: the model cannot answer; sentences may have come before.
    """
    buffer = SentenceBuffer()
    given: set[str] = set()
    left_out = 0
    # The protocol says iterator; that closing it cancels makes it a generator.
    chunks = cast("AsyncGenerator[ChatChunk, None]", orchestrator.stream(request))
    async with aclosing(chunks):
        async for chunk in chunks:
            if chunk.place is not None:
                yield Waiting(place=chunk.place)
                continue
            ended = chunk.finish_reason is not None
            for sentence in [*buffer.add(chunk.text), *([buffer.rest()] if ended else [])]:
                if _passes(sentence, sources, given):
                    given.add(sentence.casefold())
                    yield sentence
                else:
                    left_out += 1
            if ended or len(given) >= MAX_SENTENCES or left_out >= MAX_LEFT_OUT:
                return


def _passes(sentence: str, sources: Sources, given: set[str]) -> bool:
    if not is_whole(sentence) or sentence.casefold() in given:
        return False
    if problem := sources.unsupported(sentence):
        logger.info("A generated sentence was left out: no source has %r", problem[:200])
        return False
    return True


def why_missing(error: OrchestratorError, begun: bool = False) -> str:
    """One sentence for people, without what only an administrator needs (that is in the log)."""
    if isinstance(error, OrchestratorBusyError):
        reason = "the model has too many requests at the moment, try again in a minute"
    elif isinstance(error, DeadlineExceededError):
        reason = f"the model did not finish within {DEADLINE_S:.0f} seconds"
    elif isinstance(error, OrchestratorUnavailableError):
        reason = "the model server is not reachable at the moment"
    else:
        reason = "the model server refused the request, its log says why"
    lacks = "The summary is not complete" if begun else "There is no summary"
    return f"{lacks}: {reason}."
