"""The HTTP side put together: which path leads where."""

from __future__ import annotations

from aiohttp import web

from core.orchestrator.server.api.adapter_requests import AdapterEndpoints
from core.orchestrator.server.api.chat import ChatEndpoint
from core.orchestrator.server.api.embeddings import Embedder, EmbeddingsEndpoint
from core.orchestrator.server.api.http import MAX_BODY_BYTES, authentication, errors_as_openai
from core.orchestrator.server.api.metrics import Metrics
from core.orchestrator.server.api.rerank import RerankEndpoint
from core.orchestrator.server.engine.engine import Engine
from core.orchestrator.server.engine.vector_cache import VectorCache
from core.orchestrator.server.registry.models import Models
from core.orchestrator.wire import ServerLoad


def make_application(engine: Engine, models: Models, token: str) -> web.Application:
    """The aiohttp application; every request must carry `Authorization: Bearer TOKEN`."""

    async def health(_: web.Request) -> web.Response:
        waiting, running = engine.load()
        load = ServerLoad(status="ok", waiting=waiting, running=running)
        return web.json_response(load.model_dump())

    async def listing(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": models.entries()})

    metrics = Metrics(engine, models)
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[errors_as_openai, metrics.middleware, authentication(token)],
    )
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", metrics.endpoint)
    app.router.add_get("/v1/models", listing)
    app.router.add_post("/v1/chat/completions", ChatEndpoint(engine, models).completions)
    embedder = Embedder(engine, VectorCache())
    app.router.add_post("/v1/embeddings", EmbeddingsEndpoint(embedder, models).embeddings)
    app.router.add_post("/v1/rerank", RerankEndpoint(engine, embedder, models).rerank)
    adapters = AdapterEndpoints(models)
    app.router.add_post("/v1/load_lora_adapter", adapters.load)
    app.router.add_post("/v1/unload_lora_adapter", adapters.unload)
    return app
