"""`POST /v1/chat/completions`: queue a reply, send what the engine emits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from core.orchestrator.server.api.calls import CallReader, ContentReader, Delta, whole_message
from core.orchestrator.server.api.http import deadline, emitter, read, run
from core.orchestrator.server.api.prepare import prepare
from core.orchestrator.server.api.record import RECORD, Record
from core.orchestrator.server.api.replies import ApiError, Completion, server_sent
from core.orchestrator.server.api.wire import ChatBody, StreamOptions
from core.orchestrator.server.engine.choice import ChoiceJob
from core.orchestrator.server.engine.engine import Engine, LaneName
from core.orchestrator.server.engine.jobs import Event, Finished, Piece, Queued
from core.orchestrator.server.registry.models import Models, ServedChat


class ChatEndpoint:
    """Replies of the chat models."""

    def __init__(self, engine: Engine, models: Models) -> None:
        self._engine = engine
        self._models = models

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, as a whole or as a stream of server-sent events."""
        until = deadline(request)
        body = await read(request, ChatBody)
        async with self._models.chat(body.model) as served:
            return await self._complete(request, body, served, until)

    async def _complete(
        self, request: web.Request, body: ChatBody, served: ServedChat, until: float
    ) -> web.StreamResponse:
        events: asyncio.Queue[Event] = asyncio.Queue()
        job = await asyncio.to_thread(prepare, served, body, emitter(events), until)
        job.adapter = served.adapter
        record = request[RECORD]
        record.model = body.model
        record.prompt_tokens = len(job.pending)
        completion = Completion(body.model, len(job.pending))
        reader = CallReader() if body.may_call else ContentReader()
        lane: LaneName = "short" if isinstance(job, ChoiceJob) else "chat"
        options = body.stream_options if body.stream and body.stream_options else StreamOptions()
        running = run(self._engine, job, events, lane, with_place=options.include_queue_place)
        async with contextlib.aclosing(running) as results:
            try:
                if body.stream:
                    return await _send_stream(
                        request, results, completion, reader, with_usage=options.include_usage
                    )
                return await _send_whole(record, results, completion, reader)
            finally:
                record.cached_tokens, record.generated_tokens = job.cached, job.generated


async def _send_whole(
    record: Record, results: AsyncIterator[Event], completion: Completion, reader: ContentReader
) -> web.Response:
    deltas: list[Delta] = []
    async for event in results:
        if isinstance(event, Piece):
            record.token()
            deltas += reader.push(event.text)
        elif isinstance(event, Finished):
            message = whole_message(deltas + reader.flush())
            record.outcome = reader.reason(event)
            return web.json_response(completion.whole(message, record.outcome, event))
    raise ApiError(500, "engine_error", "The engine ended without a result.")


async def _send_stream(
    request: web.Request,
    results: AsyncIterator[Event],
    completion: Completion,
    reader: ContentReader,
    *,
    with_usage: bool,
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    record = request[RECORD]
    role: Delta = {"role": "assistant"}
    try:
        async for event in results:
            if not response.prepared:  # until here, a refusal still gets its own status
                await response.prepare(request)
            if isinstance(event, Queued):
                await response.write(server_sent(completion.queue_chunk(event.place)))
            if isinstance(event, Piece):
                record.token()
            text = event.text if isinstance(event, Piece) else ""
            last = reader.flush() if isinstance(event, Finished) else []
            for delta in reader.push(text) + last:
                await response.write(server_sent(completion.chunk(role | delta)))
                role = {}
            if isinstance(event, Finished):
                record.outcome = reader.reason(event)
                chunk = completion.chunk(role, record.outcome, event)
                await response.write(server_sent(chunk))
                if with_usage:
                    usage = completion.usage_chunk(event)
                    await response.write(server_sent(usage))
                await response.write(b"data: [DONE]\n\n")
    except ApiError as error:
        if not response.prepared:
            raise
        record.outcome = error.code
        await response.write(server_sent(error.body()))
    await response.write_eof()
    return response
