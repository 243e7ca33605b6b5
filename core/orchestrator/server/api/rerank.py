"""`POST /v1/rerank`: how well documents answer a query, as Jina, Cohere and vLLM serve it.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html (Re-rank API). By a
cross-encoder, or where the request names an embedding model, by the cosine of the embeddings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from aiohttp import web

from core.orchestrator.server.api.embeddings import Embedder, Vectors, encode
from core.orchestrator.server.api.http import deadline, read
from core.orchestrator.server.api.record import RECORD, Record
from core.orchestrator.server.api.replies import rerank_body
from core.orchestrator.server.api.wire import RerankBody
from core.orchestrator.server.engine.encoding import EncodingJob
from core.orchestrator.server.engine.engine import Engine
from core.orchestrator.server.engine.jobs import Event, Job
from core.orchestrator.server.registry.models import Models


class RerankEndpoint:
    """Scores of documents."""

    def __init__(self, engine: Engine, embedder: Embedder, models: Models) -> None:
        self._engine = engine
        self._embedder = embedder
        self._models = models

    async def rerank(self, request: web.Request) -> web.Response:
        """Answer one request."""
        until = deadline(request)
        body = await read(request, RerankBody)
        record = request[RECORD]
        if self._models.embeds(body.model):
            scores, tokens = await self._by_cosine(body, until, record)
        else:
            scores, tokens = await self._by_model(body, until, record)
        order = np.argsort(-scores, kind="stable")[: body.top_n or len(scores)]
        texts = body.texts if body.return_documents else None
        ranked = [(int(index), float(scores[index])) for index in order]
        return web.json_response(rerank_body(body.model, ranked, texts, tokens))

    async def _by_model(self, body: RerankBody, until: float, record: Record) -> Vectors:
        async with self._models.reranker(body.model) as served:
            record.model = body.model
            pairs = await asyncio.to_thread(served.model.encode, body.query, body.texts)

            def make(emit: Callable[[Event], None]) -> Job:
                return EncodingJob(
                    emit, until, batch=served.batch, texts=pairs, priority=body.priority
                )

            scores = await encode(self._engine, make)
        record.prompt_tokens = sum(len(pair) for pair in pairs)
        return Vectors(scores[:, 0], record.prompt_tokens)

    async def _by_cosine(self, body: RerankBody, until: float, record: Record) -> Vectors:
        async with self._models.embedder(body.model) as served:
            record.model = body.model
            texts = [body.query, *body.texts]
            vectors, tokens = await self._embedder.embed(
                served, texts, until, record, body.priority
            )
        cosines: npt.NDArray[np.float32] = vectors[1:] @ vectors[0]  # of length 1
        return Vectors(cosines, tokens)
