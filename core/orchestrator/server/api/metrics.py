"""`GET /metrics`: what the server has done and has to do, as Prometheus reads it.

https://prometheus.io/docs/instrumenting/exposition_formats/. Names are vLLM's where the meaning is
the same (https://docs.vllm.ai/en/latest/usage/metrics/), with a prefix of our own. Requests are
counted when they end, in the event loop; the engine counts nothing but its steps' time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core.orchestrator.server.api.record import NO_MODEL, RECORD, Record
from core.orchestrator.server.api.replies import ApiError
from core.orchestrator.server.engine.engine import Engine
from core.orchestrator.server.registry.models import Models

PREFIX = "countersign_model"
_FIRST_TOKEN_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WHOLE_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_KINDS = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
}


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, engine: Engine, models: Models) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._registry.register(_State(engine, models))
        ProcessCollector(namespace=PREFIX, registry=self._registry)
        by_model = ["model_name"]
        self._requests = self._counter(
            "requests", "Requests by how they ended.", ["kind", "model_name", "outcome"]
        )
        self._first_token = self._histogram(
            "time_to_first_token_seconds",
            "From the request to its first token.",
            by_model,
            _FIRST_TOKEN_S,
        )
        self._whole = self._histogram(
            "e2e_request_latency_seconds",
            "From the request to its end, where it succeeded.",
            ["kind", "model_name"],
            _WHOLE_S,
        )
        self._prompt = self._counter("prompt_tokens", "Tokens of prompts and texts.", by_model)
        self._generated = self._counter("generation_tokens", "Tokens written.", by_model)
        self._queries = self._counter(
            "prefix_cache_queries", "Prompt tokens of chat that were looked up.", by_model
        )
        self._hits = self._counter(
            "prefix_cache_hits", "Prompt tokens of chat that were known already.", by_model
        )
        self._texts = self._counter(
            "embedding_cache_queries", "Texts to embed that were looked up.", by_model
        )
        self._cached_texts = self._counter(
            "embedding_cache_hits", "Texts to embed whose vector was known already.", by_model
        )

    async def endpoint(self, _: web.Request) -> web.Response:
        """All metrics, as text."""
        text = generate_latest(self._registry)  # here, where the models do not change meanwhile
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Counts each request of a kind that has one; stands inside of the errors' middleware."""
        kind = _KINDS.get(request.path)
        record = request[RECORD] = Record()
        if kind is None:
            return await handler(request)
        try:
            return await handler(request)
        except ApiError as error:
            record.outcome = error.code
            raise
        except web.HTTPException as error:
            record.outcome = f"http_{error.status}"
            raise
        except (asyncio.CancelledError, ConnectionError):
            record.outcome = "cancelled"
            raise
        finally:
            self._count(kind, record)

    def _count(self, kind: str, record: Record) -> None:
        model = record.model
        self._requests.labels(kind, model, record.outcome).inc()
        if model == NO_MODEL:
            return
        self._prompt.labels(model).inc(record.prompt_tokens)
        if record.outcome in {"ok", "stop", "length", "tool_calls"}:
            self._whole.labels(kind, model).observe(time.monotonic() - record.began)
        if kind == "chat":
            self._generated.labels(model).inc(record.generated_tokens)
            self._queries.labels(model).inc(record.prompt_tokens)
            self._hits.labels(model).inc(record.cached_tokens)
            if record.first_token_s is not None:
                self._first_token.labels(model).observe(record.first_token_s)
        if record.texts:
            self._texts.labels(model).inc(record.texts)
            self._cached_texts.labels(model).inc(record.cached_texts)

    def _counter(self, name: str, about: str, labels: list[str]) -> Counter:
        return Counter(f"{PREFIX}_{name}", about, labels, registry=self._registry)

    def _histogram(
        self, name: str, about: str, labels: list[str], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(
            f"{PREFIX}_{name}", about, labels, registry=self._registry, buckets=buckets
        )


class _State(Collector):
    """What is asked for at the moment of reading."""

    def __init__(self, engine: Engine, models: Models) -> None:
        self._engine = engine
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Read the engine's and the models' state."""
        waiting = GaugeMetricFamily(
            f"{PREFIX}_num_requests_waiting", "Requests that wait for a place.", labels=["kind"]
        )
        running = GaugeMetricFamily(
            f"{PREFIX}_num_requests_running", "Requests that are worked on.", labels=["kind"]
        )
        for kind, (queued, seated) in self._engine.loads().items():
            waiting.add_metric([kind], queued)
            running.add_metric([kind], seated)
        yield waiting
        yield running
        loaded = GaugeMetricFamily(
            f"{PREFIX}_loaded", "Whether the model is in memory.", labels=["model_name"]
        )
        for entry in self._models.entries():
            loaded.add_metric([entry["id"]], float(entry["loaded"]))
        yield loaded
        keeper = self._models.keeper
        yield GaugeMetricFamily(
            f"{PREFIX}_weights_bytes", "Memory of the loaded models, by estimate.", keeper.used
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_weights_limit_bytes", "Memory that all models may take.", keeper.budget
        )
        buckets, seconds = self._engine.times.cumulative()
        steps = HistogramMetricFamily(
            f"{PREFIX}_engine_step_seconds", "Steps of the engine, of all that runs together."
        )
        steps.add_metric([], buckets, seconds)
        yield steps
