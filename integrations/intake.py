"""The HTTP side of webhooks: verify -> deduplicate -> persist -> 202. Nothing is processed here.

The same for every sender; what differs is in each integration's `Webhook`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from core.bucket import Seldom
from core.errors import CountersignError, NotFoundError
from core.inbox import Backlog
from integrations.answers import Answer, json_answer
from integrations.describing import describing_routes
from integrations.events import source_of
from integrations.limits import RETRY_AFTER_S, BusyError, Pressure, SourceLimits
from integrations.registry import Integrations
from integrations.webhooks import Identity, Webhook, WebhookError, read_json

Readiness = Callable[[], Awaitable[Mapping[str, str | None]]]
"""For each part of the application None where it is ready, else in words why not."""

BODY_TIMEOUT_S = 15.0
LINGERING_S = 1.0
"""For `web.AppRunner(lingering_time=…)`: how long what is left of a refused body is thrown away
before the connection is closed. aiohttp's own 10 s let a hostile sender hold connections."""
_DROPPED_HEADERS = frozenset(
    # Secrets, and what is said to the next hop only.
    {"authorization", "proxy-authorization", "cookie", "accept", "accept-encoding", "connection"}
    | {"content-length", "host", "keep-alive", "transfer-encoding"}
)
_LOG_S = 1.0

_log = logging.getLogger(__name__)


class _RefusedError(WebhookError):
    """The request is refused before its sender is known."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def intake_routes(
    integrations: Integrations,
    inbox: Backlog,
    ready: Readiness,
    degraded: Callable[[], Iterable[str]] = tuple,
) -> list[web.AbstractRouteDef]:
    """`POST /webhooks/{integration}`, `GET /healthz` and `GET /readyz`; and those that describe it.

    Answers of the first: 202 accepted, 200 duplicate (it is stored already), 400 not UTF-8, not
    JSON or without its key, 401 signature, 404 no such integration, 408 the body was too slow,
    413 too large, 415 not plain JSON, 429 over this sender's limits, 503 not stored. After the
    last two the sender is to send it again, when `Retry-After` says.

    Args:
        degraded: names of systems that we call and that are not ready; they make nothing unready.
    """
    intake = _Intake(integrations, inbox)
    health = _Health(ready, degraded)
    return [
        *describing_routes(integrations),
        web.post("/webhooks/{integration}", intake.receive),
        web.get("/healthz", health.alive),
        web.get("/readyz", health.ready),
    ]


class _Intake:
    def __init__(self, integrations: Integrations, inbox: Backlog) -> None:
        self._integrations = integrations
        self._inbox = inbox
        self._pressure = Pressure()
        self._limits = SourceLimits(inbox)
        self._lines = Seldom(_LOG_S)
        self._accepted = Answer(HTTPStatus.ACCEPTED, "accepted")
        self._duplicate = Answer(HTTPStatus.OK, "duplicate")

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """One delivery."""
        try:
            webhook = self._admit(request)
            self._pressure.check()
            body = await self._read_body(request, webhook.max_bytes)
            headers = {name.lower(): value for name, value in request.headers.items()}
            identity = webhook.verify(headers, body, datetime.now(UTC))
            read_json(body)
            source = source_of(webhook.id)
            self._limits.check(source, self._integrations.limits(webhook.id))
            for name in headers.keys() & _DROPPED_HEADERS | webhook.secret_headers:
                headers.pop(name, None)
            answer = await self._store(source, identity, body, headers)
            return answer.to(request)
        except WebhookError as error:
            self._note(request, error)
            return _refusal(request, error)

    def _admit(self, request: web.Request) -> Webhook:
        """What the headers alone decide."""
        try:
            webhook = self._integrations.get(request.match_info["integration"]).webhook
        except NotFoundError:
            webhook = None
        if webhook is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "no webhook is configured at this address")
        length = request.content_length
        if length is not None and length > webhook.max_bytes:
            raise _too_large(webhook.max_bytes)
        if request.content_type not in webhook.content_types:
            allowed = " or ".join(sorted(webhook.content_types))
            raise _RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the content type must be {allowed}; choose it in the sender's settings",
            )
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            # A small body must not unpack to a huge one before it is known who sent it.
            raise _RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not taken"
            )
        return webhook

    async def _read_body(self, request: web.Request, limit: int) -> bytes:
        """The raw body; stops reading as soon as it is over the limit, or bodies are too many."""
        content = request.content
        if content.is_eof() and content.total_bytes <= limit:
            return content.read_nowait(-1)  # it came with its headers, as most do
        held = 0
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in content.iter_any():
                    self._pressure.hold(len(chunk))
                    held += len(chunk)
                    body += chunk
                    if len(body) > limit:
                        raise _too_large(limit)
        except web.RequestPayloadError as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "the body is not framed as HTTP") from error
        except TimeoutError as error:
            raise _RefusedError(
                HTTPStatus.REQUEST_TIMEOUT, f"the body took longer than {BODY_TIMEOUT_S:g} s"
            ) from error
        finally:
            self._pressure.drop(held)
        return bytes(body)

    async def _store(
        self, source: str, identity: Identity, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        key, subject = identity
        in_hand = self._pressure.begin(len(body))
        try:
            new = await self._inbox.accept(source, key, body, headers, subject)
        except (CountersignError, SQLAlchemyError, OSError) as error:
            raise BusyError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"not stored ({type(error).__name__}); send it again",
                RETRY_AFTER_S,
            ) from error
        finally:
            self._pressure.end(in_hand)
        if new:
            self._limits.accepted(source)
        answer = self._accepted if new else self._duplicate
        # What becomes of it is logged when it is processed.
        _log.debug("%s: %s delivery %r of %d bytes", source, answer, key, len(body))
        return answer

    def _note(self, request: web.Request, error: WebhookError) -> None:
        """One line a second for each sender and reason; all addresses at which there is no webhook
        are one sender."""
        name = request.match_info["integration"]
        sender = "" if error.status is HTTPStatus.NOT_FOUND else name
        if (more := self._lines.due((sender, error.status))) is None:
            return
        words = "webhook %.63r: %d from %s: %s (and %d before)"
        level = logging.ERROR if isinstance(error, BusyError) else logging.WARNING
        _log.log(level, words, name, error.status, request.remote, error, more)


class _Health:
    def __init__(self, ready: Readiness, degraded: Callable[[], Iterable[str]]) -> None:
        self._ready = ready
        self._degraded = degraded

    async def alive(self, _request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """Every part can do its work; 503 and the reasons where one cannot.

        A system that we call and that is down leaves us ready: another replica could not reach it
        either. It is named, without the reason, since this address may be open to outsiders.
        """
        parts = dict(await self._ready())
        fine = not any(parts.values())
        degraded = sorted(self._degraded())
        word = "degraded" if degraded else "ready"
        return web.json_response(
            {
                "status": word if fine else "not ready",
                "parts": {name: problem or "ready" for name, problem in parts.items()},
                **({"degraded": degraded} if degraded else {}),
            },
            status=HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE,
        )


def _too_large(limit: int) -> _RefusedError:
    return _RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes"
    )


def _refusal(request: web.Request, error: WebhookError) -> web.Response:
    busy = isinstance(error, BusyError)
    answer = {"status": "unavailable" if busy else "refused", "error": str(error)}
    response = json_answer(error.status, json.dumps(answer).encode())
    if isinstance(error, BusyError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if not request.content.at_eof():
        # What is left of the body must not be taken for the next request.
        response.force_close()
    return response
