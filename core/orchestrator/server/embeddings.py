"""`POST /v1/embeddings`."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from core.orchestrator.server.engine import Engine
from core.orchestrator.server.http import deadline, emitter, read, run
from core.orchestrator.server.jobs import Embedded, EmbeddingJob, Event
from core.orchestrator.server.models import Models, ServedEmbeddings
from core.orchestrator.server.record import RECORD
from core.orchestrator.server.replies import ApiError, embeddings_body
from core.orchestrator.server.wire import EmbeddingsBody


class EmbeddingsEndpoint:
    """Vectors of the embedding models."""

    def __init__(self, engine: Engine, models: Models) -> None:
        self._engine = engine
        self._models = models

    async def embeddings(self, request: web.Request) -> web.Response:
        """Answer one request."""
        until = deadline(request)
        body = await read(request, EmbeddingsBody)
        async with self._models.embedder(body.model) as served:
            request[RECORD].model = body.model
            response, tokens = await self._embed(body, served, until)
            request[RECORD].prompt_tokens = tokens
            return response

    async def _embed(
        self, body: EmbeddingsBody, served: ServedEmbeddings, until: float
    ) -> tuple[web.Response, int]:
        model = served.model
        texts = await asyncio.to_thread(model.encode, body.texts)
        events: asyncio.Queue[Event] = asyncio.Queue()
        job = EmbeddingJob(
            emitter(events),
            until,
            model=model,
            batch=served.batch,
            texts=texts,
            priority=body.priority,
        )
        async with contextlib.aclosing(run(self._engine, job, events, "embeddings")) as results:
            async for event in results:
                if isinstance(event, Embedded):
                    tokens = sum(len(ids) for ids in texts)
                    as_base64 = body.encoding_format == "base64"
                    reply = embeddings_body(model.name, event.vectors, tokens, as_base64=as_base64)
                    return web.json_response(reply), tokens
        raise ApiError(500, "engine_error", "The engine ended without a result.")
