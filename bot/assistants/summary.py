"""A generated summary, sentence by sentence; only what its sources cover is let through."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

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
DEADLINE_S = 90.0


async def grounded_sentences(
    orchestrator: AIOrchestratorClient, request: ChatRequest, sources: Sources
) -> AsyncGenerator[str, None]:
    """Generate, and give each sentence that `sources` cover, at most `MAX_SENTENCES`.

    Closing the generator, or enough sentences, cancels the generation in the server.

    Raises:
        OrchestratorError: the model cannot answer; sentences may have come before.
    """
    buffer = SentenceBuffer()
    given: set[str] = set()

    def passes(sentence: str) -> bool:
        if not sentence or sentence.casefold() in given:
            return False
        if problem := sources.unsupported(sentence):
            logger.info("A generated sentence was left out: no source has %r", problem[:200])
            return False
        given.add(sentence.casefold())
        return True

    # The protocol says iterator; that closing it cancels makes it a generator.
    chunks = cast("AsyncGenerator[ChatChunk, None]", orchestrator.stream(request))
    async with aclosing(chunks):
        async for chunk in chunks:
            for sentence in buffer.add(chunk.text):
                if passes(sentence):
                    yield sentence
                if len(given) >= MAX_SENTENCES:
                    return
            if chunk.finish_reason is not None:
                break
    last = buffer.rest()
    if is_whole(last) and passes(last):
        yield last


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
