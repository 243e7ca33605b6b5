"""The HTTP side: check a request, queue it, send what the engine emits."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import BaseModel, ValidationError

from core.orchestrator.server.batch import ChatBatch
from core.orchestrator.server.chat_model import ChatModel, PromptError
from core.orchestrator.server.constraint import Constraint, GrammarError
from core.orchestrator.server.embedding_model import EmbeddingModel
from core.orchestrator.server.engine import Engine, LaneName, QueueFullError
from core.orchestrator.server.jobs import (
    ChatJob,
    Embedded,
    EmbeddingJob,
    EmbeddingTurns,
    Event,
    Failed,
    Finished,
    Job,
    Piece,
)
from core.orchestrator.server.replies import (
    ApiError,
    Completion,
    embeddings_body,
    model_entry,
    server_sent,
)
from core.orchestrator.server.sampling import Sampler
from core.orchestrator.server.wire import ChatBody, EmbeddingsBody
from core.orchestrator.wire import DEADLINE_HEADER, ServerLoad

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 << 20
_DEFAULT_DEADLINE_S = 120.0
_MAX_DEADLINE_S = 3600.0
_RETRY_AFTER_S = 2

B = TypeVar("B", bound=BaseModel)


class Service:
    """Handlers over one engine and the models that it runs."""

    def __init__(
        self, engine: Engine, chat: ChatModel | None, embedder: EmbeddingModel | None
    ) -> None:
        self._engine = engine
        self._chat = chat
        self._embedder = embedder
        self._batch = ChatBatch(chat.decoder) if chat else None
        self._turns = EmbeddingTurns()

    def application(self, token: str) -> web.Application:
        """The aiohttp application; every request must carry `Authorization: Bearer TOKEN`."""
        app = web.Application(
            client_max_size=MAX_BODY_BYTES, middlewares=[_errors_as_openai, _authentication(token)]
        )
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_post("/v1/embeddings", self._embeddings)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        waiting, running = self._engine.load()
        load = ServerLoad(status="ok", waiting=waiting, running=running)
        return web.json_response(load.model_dump())

    async def _models(self, _: web.Request) -> web.Response:
        data = []
        if self._chat:
            data.append(model_entry(self._chat.name, ["chat", "json"]))
        if self._embedder:
            data.append(model_entry(self._embedder.name, ["embeddings"]))
        return web.json_response({"object": "list", "data": data})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        deadline = _deadline(request)
        body = await _read(request, ChatBody)
        model = self._chat
        if model is None or self._batch is None or body.model != model.name:
            raise self._not_found(body.model, "chat", model.name if model else None)
        prompt, constraint = await asyncio.to_thread(_prepare, model, body)
        events: asyncio.Queue[Event] = asyncio.Queue()
        job = ChatJob(
            _emitter(events),
            deadline,
            model=model,
            batch=self._batch,
            prompt=prompt,
            sampler=Sampler(body.temperature, body.top_p, body.seed),
            max_tokens=body.limit or model.context_length,
            stops=body.stops,
            constraint=constraint,
            repeatable=body.seed is not None,
        )
        completion = Completion(model.name, len(prompt))
        lane: LaneName = "short" if body.structured_outputs else "chat"
        async with contextlib.aclosing(self._run(job, events, lane)) as results:
            if body.stream:
                usage = body.stream_options is not None and body.stream_options.include_usage
                return await _send_stream(request, results, completion, with_usage=usage)
            text = ""
            async for event in results:
                if isinstance(event, Piece):
                    text += event.text
                elif isinstance(event, Finished):
                    whole = completion.whole(text, event)
                    return web.json_response(whole)
        raise ApiError(500, "engine_error", "The engine ended without a result.")

    async def _embeddings(self, request: web.Request) -> web.Response:
        deadline = _deadline(request)
        body = await _read(request, EmbeddingsBody)
        model = self._embedder
        if model is None or body.model != model.name:
            raise self._not_found(body.model, "embeddings", model.name if model else None)
        texts = await asyncio.to_thread(model.encode, body.texts)
        events: asyncio.Queue[Event] = asyncio.Queue()
        job = EmbeddingJob(_emitter(events), deadline, model=model, batch=self._turns, texts=texts)
        async with contextlib.aclosing(self._run(job, events, "embeddings")) as results:
            async for event in results:
                if isinstance(event, Embedded):
                    tokens = sum(len(ids) for ids in texts)
                    as_base64 = body.encoding_format == "base64"
                    return web.json_response(
                        embeddings_body(model.name, event.vectors, tokens, as_base64=as_base64)
                    )
        raise ApiError(500, "engine_error", "The engine ended without a result.")

    async def _run(
        self, job: Job, events: asyncio.Queue[Event], lane: LaneName
    ) -> AsyncGenerator[Event]:
        """Queue a job and yield its events; a caller that leaves cancels it."""
        try:
            self._engine.submit(job, lane)
        except QueueFullError as full:
            raise ApiError(
                429,
                "queue_full",
                f"The model server is busy: {full.waiting} requests wait, and no more may. "
                f"Try again in {_RETRY_AFTER_S} seconds.",
                {"Retry-After": str(_RETRY_AFTER_S)},
            ) from full
        try:
            while True:
                event = await events.get()
                if isinstance(event, Failed):
                    raise ApiError(event.status, event.code, event.message)
                yield event
                if not isinstance(event, Piece):
                    return
        finally:
            job.cancel()

    def _not_found(self, asked: str, kind: str, there: str | None) -> ApiError:
        known = f"There is: {there}." if there else "There is none."
        message = f"There is no {kind} model called {asked!r}. {known}"
        return ApiError(404, "model_not_found", message)


def _prepare(model: ChatModel, body: ChatBody) -> tuple[list[int], Constraint | None]:
    """Tokenise the prompt and compile the constraint; blocking."""
    try:
        prompt = model.encode([message.plain() for message in body.messages])
    except PromptError as error:
        raise ApiError(400, "invalid_prompt", f"The messages do not fit: {error}") from error
    if len(prompt) >= model.context_length:
        raise ApiError(
            400,
            "context_length_exceeded",
            f"The prompt has {len(prompt)} tokens; {model.name} holds {model.context_length}, "
            "and the reply needs some of them. Shorten the prompt.",
        )
    try:
        return prompt, _constraint(model, body)
    except GrammarError as error:
        message = f"The constraint cannot be compiled: {error}"
        raise ApiError(400, "invalid_grammar", message) from error


def _constraint(model: ChatModel, body: ChatBody) -> Constraint | None:
    if body.structured_outputs:
        return model.grammars.choice(body.structured_outputs.choice)
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    schema = wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"}
    return model.grammars.json_schema(schema)


async def _send_stream(
    request: web.Request,
    results: AsyncIterator[Event],
    completion: Completion,
    *,
    with_usage: bool,
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    role = {"role": "assistant"}
    try:
        async for event in results:
            if not response.prepared:  # until here, a refusal still gets its own status
                await response.prepare(request)
            if isinstance(event, Piece):
                await response.write(server_sent(completion.chunk(role | {"content": event.text})))
                role = {}
            elif isinstance(event, Finished):
                await response.write(server_sent(completion.chunk(role, event.reason)))
                if with_usage:
                    usage = completion.usage_chunk(event)
                    await response.write(server_sent(usage))
                await response.write(b"data: [DONE]\n\n")
    except ApiError as error:
        if not response.prepared:
            raise
        await response.write(server_sent(error.body()))
    await response.write_eof()
    return response


def _emitter(events: asyncio.Queue[Event]) -> Callable[[Event], None]:
    """What the engine's thread calls to hand an event to the event loop."""
    loop = asyncio.get_running_loop()

    def emit(event: Event) -> None:
        loop.call_soon_threadsafe(events.put_nowait, event)

    return emit


def _deadline(request: web.Request) -> float:
    raw = request.headers.get(DEADLINE_HEADER)
    if raw is None:
        return time.monotonic() + _DEFAULT_DEADLINE_S
    try:
        seconds = float(raw)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _MAX_DEADLINE_S:
        raise ApiError(
            400,
            "invalid_deadline",
            f"{DEADLINE_HEADER} must be seconds between 0 and {_MAX_DEADLINE_S:.0f}.",
        )
    return time.monotonic() + seconds


async def _read(request: web.Request, kind: type[B]) -> B:
    raw = await request.read()
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}" if where else first["msg"]
        raise ApiError(400, "invalid_request", message) from error


def _authentication(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            raise ApiError(401, "invalid_api_key", "The bearer token is missing or wrong.")
        return await handler(request)

    return check


@web.middleware
async def _errors_as_openai(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPRequestEntityTooLarge:
        message = f"The body is larger than {MAX_BODY_BYTES} bytes."
        return ApiError(413, "body_too_large", message).response()
    except web.HTTPException as error:
        return ApiError(error.status, "http_error", error.reason).response()
