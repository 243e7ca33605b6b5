"""`POST /v1/embeddings`, and the vectors that other endpoints need."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from aiohttp import web

from core.orchestrator.server.api.http import deadline, emitter, read, run
from core.orchestrator.server.api.record import RECORD, Record
from core.orchestrator.server.api.replies import ApiError, embeddings_body
from core.orchestrator.server.api.wire import EmbeddingsBody
from core.orchestrator.server.engine.encoding import EncodingJob
from core.orchestrator.server.engine.engine import Engine
from core.orchestrator.server.engine.jobs import Embedded, Event, Job
from core.orchestrator.server.engine.vector_cache import Known, VectorCache, key
from core.orchestrator.server.registry.models import Models, ServedEmbeddings


class Vectors(NamedTuple):
    """Vectors of some texts in their order, float32, shape (texts, dimension), and their tokens."""

    vectors: npt.NDArray[np.float32]
    tokens: int


class Embedder:
    """Embeds texts; what was embedded lately is known already."""

    def __init__(self, engine: Engine, cache: VectorCache) -> None:
        self._engine = engine
        self._cache = cache

    async def embed(
        self,
        served: ServedEmbeddings,
        texts: Sequence[str],
        until: float,
        record: Record,
        priority: int,
    ) -> Vectors:
        """Vectors of the texts; those that are not known are computed, equal ones once.

        Args:
            until: deadline on the clock of `time.monotonic`.

        Raises:
            ApiError: the queue is full, or it was not done in time.
        """
        model = served.model
        keys = [key(model.digest, text) for text in texts]
        found = {each: known for each in set(keys) if (known := self._cache.get(each)) is not None}
        missing = {each: text for each, text in zip(keys, texts, strict=True) if each not in found}
        record.texts = len(texts)
        record.cached_texts = sum(each in found for each in keys)
        if missing:
            encoded = await asyncio.to_thread(model.encode, list(missing.values()))

            def make(emit: Callable[[Event], None]) -> Job:
                return EncodingJob(
                    emit, until, batch=served.batch, texts=encoded, priority=priority
                )

            vectors = await encode(self._engine, make)
            for each, vector, ids in zip(missing, vectors, encoded, strict=True):
                found[each] = Known(vector, len(ids))
                self._cache.put(each, found[each])
        every = [found[each] for each in keys]
        tokens = sum(known.tokens for known in every)
        record.prompt_tokens = tokens
        return Vectors(np.stack([known.vector for known in every]), tokens)


async def encode(
    engine: Engine, make: Callable[[Callable[[Event], None]], Job]
) -> npt.NDArray[np.float32]:
    """Let the engine work on a job of an encoder; its vectors.

    Raises:
        ApiError: the queue is full, or the job failed.
    """
    events: asyncio.Queue[Event] = asyncio.Queue()
    job = make(emitter(events))
    async with contextlib.aclosing(run(engine, job, events, "embeddings")) as results:
        async for event in results:
            if isinstance(event, Embedded):
                return event.vectors
    raise ApiError(500, "engine_error", "The engine ended without a result.")


class EmbeddingsEndpoint:
    """Vectors of the embedding models."""

    def __init__(self, embedder: Embedder, models: Models) -> None:
        self._embedder = embedder
        self._models = models

    async def embeddings(self, request: web.Request) -> web.Response:
        """Answer one request."""
        until = deadline(request)
        body = await read(request, EmbeddingsBody)
        async with self._models.embedder(body.model) as served:
            record = request[RECORD]
            record.model = body.model
            vectors, tokens = await self._embedder.embed(
                served, body.texts, until, record, body.priority
            )
        as_base64 = body.encoding_format == "base64"
        return web.json_response(embeddings_body(body.model, vectors, tokens, as_base64=as_base64))
