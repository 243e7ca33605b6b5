"""The HTTP side of webhooks: verify -> deduplicate -> persist -> 202. Nothing is processed here.

The same for every sender; what differs is in each integration's `Webhook`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from core.errors import CountersignError, NotFoundError
from core.inbox import Inbox
from integrations.events import source_of
from integrations.registry import Integrations
from integrations.webhooks import Identity, Webhook, WebhookError, read_json

Readiness = Callable[[], Awaitable[Mapping[str, str | None]]]
"""For each part of the application None where it is ready, else in words why not."""

BODY_TIMEOUT_S = 15.0
LINGERING_S = 1.0
"""For `web.AppRunner(lingering_time=…)`: how long what is left of a refused body is thrown away
before the connection is closed. aiohttp's own 10 s let a hostile sender hold connections."""
RETRY_AFTER_S = 10
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})

_log = logging.getLogger(__name__)


class _RefusedError(WebhookError):
    """The request is refused before its sender is known."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def intake_routes(
    integrations: Integrations, inbox: Inbox, ready: Readiness
) -> list[web.AbstractRouteDef]:
    """`POST /webhooks/{integration}`, `GET /healthz` and `GET /readyz`.

    Answers of the first: 202 accepted, 200 duplicate (it is stored already), 400 not UTF-8, not
    JSON or without its key, 401 signature, 404 no such integration, 408 the body was too slow,
    413 too large, 415 not plain JSON, 503 not stored: send it again.
    """
    intake = _Intake(integrations, inbox)
    health = _Health(ready)
    return [
        web.post("/webhooks/{integration}", intake.receive),
        web.get("/healthz", health.alive),
        web.get("/readyz", health.ready),
    ]


class _Intake:
    def __init__(self, integrations: Integrations, inbox: Inbox) -> None:
        self._integrations = integrations
        self._inbox = inbox

    async def receive(self, request: web.Request) -> web.Response:
        """One delivery."""
        try:
            webhook = self._admit(request)
            body = await _read_body(request, webhook.max_bytes)
            headers = {name.lower(): value for name, value in request.headers.items()}
            identity = webhook.verify(headers, body, datetime.now(UTC))
            read_json(body)
            secret = _SECRET_HEADERS | webhook.secret_headers
            headers = {name: value for name, value in headers.items() if name not in secret}
        except WebhookError as error:
            return _refusal(request, error)
        return await self._store(webhook.id, identity, body, headers)

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

    async def _store(
        self, webhook_id: str, identity: Identity, body: bytes, headers: Mapping[str, str]
    ) -> web.Response:
        key, subject = identity
        try:
            new = await self._inbox.accept(source_of(webhook_id), key, body, headers, subject)
        except (CountersignError, SQLAlchemyError, OSError) as error:
            # One line without a traceback: a storm of these must not fill the disk.
            _log.error(
                "webhook %s: 503, delivery %r could not be stored: %s",
                webhook_id,
                key,
                type(error).__name__,
            )
            return web.json_response(
                {"status": "unavailable", "error": "not stored; send it again"},
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        status = HTTPStatus.ACCEPTED if new else HTTPStatus.OK
        word = "accepted" if new else "duplicate"
        _log.info(
            "webhook %s: %d, %s delivery %r of %d bytes", webhook_id, status, word, key, len(body)
        )
        return web.json_response({"status": word}, status=status)


class _Health:
    def __init__(self, ready: Readiness) -> None:
        self._ready = ready

    async def alive(self, _request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """Every part can do its work; 503 and the reasons where one cannot."""
        parts = dict(await self._ready())
        fine = not any(parts.values())
        return web.json_response(
            {
                "status": "ready" if fine else "not ready",
                "parts": {name: problem or "ready" for name, problem in parts.items()},
            },
            status=HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE,
        )


async def _read_body(request: web.Request, limit: int) -> bytes:
    """The raw body; stops reading as soon as it is over the limit."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except web.RequestPayloadError as error:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the body is not framed as HTTP") from error
    except TimeoutError as error:
        raise _RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, f"the body took longer than {BODY_TIMEOUT_S:g} s"
        ) from error
    return bytes(body)


def _too_large(limit: int) -> _RefusedError:
    return _RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes"
    )


def _refusal(request: web.Request, error: WebhookError) -> web.Response:
    _log.warning(
        "webhook %.63r: %d from %s: %s",
        request.match_info["integration"],
        error.status,
        request.remote,
        error,
    )
    response = web.json_response({"status": "refused", "error": str(error)}, status=error.status)
    # What is left of the body must not be taken for the next request.
    response.force_close()
    return response
