"""Embeddings and rankings of one model server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np  # noqa: F401 - openai would import it at the first embedding
from openai import AsyncOpenAI

from core.orchestrator.client.replies import relevance
from core.orchestrator.wire import DEADLINE_HEADER
from core.services.ai import OrchestratorError

DEADLINE_S = 120.0

_TEXTS_A_REQUEST = 256
_HEADERS = {DEADLINE_HEADER: f"{DEADLINE_S:.3f}"}


async def embed(
    client: AsyncOpenAI, server: str, model: str, texts: Sequence[str], more: dict[str, Any]
) -> list[list[float]]:
    """One vector for each text, a few hundred a request.

    Args:
        more: fields of the request beyond OpenAI's.

    Raises:
        OrchestratorError: the server sent another number of vectors.
        openai.OpenAIError: it did not answer.
    """
    vectors: list[list[float]] = []
    for start in range(0, len(texts), _TEXTS_A_REQUEST):
        batch = list(texts[start : start + _TEXTS_A_REQUEST])
        reply = await client.embeddings.create(
            model=model, input=batch, extra_headers=_HEADERS, extra_body=more
        )
        ordered = sorted(reply.data, key=lambda item: item.index)
        if len(ordered) != len(batch):
            raise OrchestratorError(
                f"The model server {server} sent {len(ordered)} vectors for {len(batch)} texts."
            )
        vectors.extend(item.embedding for item in ordered)
    return vectors


async def rerank(
    client: AsyncOpenAI, server: str, model: str, query: str, documents: Sequence[str]
) -> list[float]:
    """The score of each document, by `/v1/rerank`; raises as `embed`."""
    body = {"model": model, "query": query, "documents": list(documents)}
    reply = await client.post(
        "/rerank", cast_to=object, body=body, options={"headers": dict(_HEADERS)}
    )
    return relevance(reply, len(documents), server)
