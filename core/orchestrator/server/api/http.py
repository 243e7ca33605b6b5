"""What every endpoint shares: reading a body, the token, deadlines, errors as OpenAI sends them."""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import BaseModel, ValidationError

from core.orchestrator.server.api.replies import ApiError
from core.orchestrator.server.engine.engine import Engine, LaneName, QueueFullError
from core.orchestrator.server.engine.jobs import Event, Failed, Job, Piece, Queued
from core.orchestrator.wire import DEADLINE_HEADER

MAX_BODY_BYTES = 4 << 20
_DEFAULT_DEADLINE_S = 120.0
_MAX_DEADLINE_S = 3600.0
_RETRY_AFTER_S = 2
_PLACE_EVERY_S = 1.0

B = TypeVar("B", bound=BaseModel)


def emitter(events: asyncio.Queue[Event]) -> Callable[[Event], None]:
    """What the engine's thread calls to hand an event to the event loop."""
    loop = asyncio.get_running_loop()

    def emit(event: Event) -> None:
        loop.call_soon_threadsafe(events.put_nowait, event)

    return emit


async def run(
    engine: Engine,
    job: Job,
    events: asyncio.Queue[Event],
    lane: LaneName,
    *,
    with_place: bool = False,
) -> AsyncGenerator[Event]:
    """Queue a job and yield its events; a caller that leaves cancels it.

    Args:
        with_place: also the job's place in the queue, when it changes.

    Raises:
        ApiError: the queue is full, or the job failed.
    """
    try:
        engine.submit(job, lane)
    except QueueFullError as full:
        raise ApiError(
            429,
            "queue_full",
            f"The model server is busy: {full.waiting} requests wait, and no more may. "
            f"Try again in {_RETRY_AFTER_S} seconds.",
            {"Retry-After": str(_RETRY_AFTER_S)},
        ) from full
    telling = asyncio.create_task(_tell_place(engine, job, events)) if with_place else None
    try:
        while True:
            event = await events.get()
            if isinstance(event, Failed):
                raise ApiError(event.status, event.code, event.message)
            yield event
            if not isinstance(event, Piece | Queued):
                return
    finally:
        job.cancel()
        if telling:
            telling.cancel()


async def _tell_place(engine: Engine, job: Job, events: asyncio.Queue[Event]) -> None:
    """Ask rather than be told: the engine has better things to do than to count who waits."""
    told = None
    while (place := engine.place(job)) is not None:
        if place != told:
            events.put_nowait(Queued(place))
            told = place
        await asyncio.sleep(_PLACE_EVERY_S)


def deadline(request: web.Request) -> float:
    """When the reply must be finished, on the clock of `time.monotonic`.

    Raises:
        ApiError: the header is no number of seconds in its bounds.
    """
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


async def read(request: web.Request, kind: type[B]) -> B:
    """The body as `kind`; raises `ApiError`, which says where it is wrong."""
    raw = await request.read()
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}" if where else first["msg"]
        raise ApiError(400, "invalid_request", message) from error


def authentication(token: str) -> Middleware:
    """Refuses every request without `Authorization: Bearer TOKEN`."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            raise ApiError(401, "invalid_api_key", "The bearer token is missing or wrong.")
        return await handler(request)

    return check


@web.middleware
async def errors_as_openai(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Sends refusals in OpenAI's form."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPRequestEntityTooLarge:
        message = f"The body is larger than {MAX_BODY_BYTES} bytes."
        return ApiError(413, "body_too_large", message).response()
    except web.HTTPException as error:
        return ApiError(error.status, "http_error", error.reason).response()
