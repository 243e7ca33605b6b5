"""What the intake says of itself: an OpenAPI document, and consent for senders of CloudEvents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import web
from pydantic import JsonValue

from core.errors import NotFoundError
from integrations.registry import Integrations

DOCUMENT_PATH = "/webhooks/openapi.json"

_TAKEN: dict[HTTPStatus, str] = {
    HTTPStatus.OK: "A duplicate: it is stored already.",
    HTTPStatus.ACCEPTED: "It is stored, and will be processed.",
}
_REFUSED: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The body is not UTF-8, not JSON, or says not which delivery it is.",
    HTTPStatus.UNAUTHORIZED: "The sender's proof (a signature or a token) is missing or wrong.",
    HTTPStatus.NOT_FOUND: "No webhook is configured at this address.",
    HTTPStatus.REQUEST_TIMEOUT: "The body was too slow.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than this sender's limit.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body has another content type, or is compressed.",
}
_BUSY: dict[HTTPStatus, str] = {
    HTTPStatus.TOO_MANY_REQUESTS: "Over this sender's limits: send it again later.",
    HTTPStatus.SERVICE_UNAVAILABLE: "It could not be stored: send it again later.",
}
_TEXT: dict[str, JsonValue] = {"text/plain": {"schema": {"type": "string"}}}
_ORIGIN = re.compile(r"[A-Za-z0-9.:-]{1,255}")


def describing_routes(integrations: Integrations) -> list[web.AbstractRouteDef]:
    """`GET /webhooks/openapi.json` and `OPTIONS /webhooks/{integration}`."""
    consent = _Consent(integrations)
    document = _Document(integrations)
    return [
        web.get(DOCUMENT_PATH, document.get),
        web.options("/webhooks/{integration}", consent.give),
    ]


def intake_document(content_types: Iterable[str]) -> dict[str, JsonValue]:
    """The OpenAPI 3.1 document of the intake. It names no integration: outsiders may read it.

    Args:
        content_types: what the configured senders may call their bodies.
    """
    anything: JsonValue = {"schema": {}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Countersign's webhooks",
            "version": "1",
            "description": "Deliveries are stored before they are answered, and processed later.",
        },
        "paths": {
            "/webhooks/{integration}": {
                "parameters": [
                    {
                        "name": "integration",
                        "in": "path",
                        "required": True,
                        "description": "The name of the integration's file.",
                        "schema": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"},
                    }
                ],
                "post": {
                    "operationId": "deliver",
                    "summary": "Take a delivery",
                    "requestBody": {
                        "required": True,
                        "content": dict.fromkeys(sorted(set(content_types)), anything),
                    },
                    "responses": {
                        **{str(s.value): _answer(text, "Taken") for s, text in _TAKEN.items()},
                        **{str(s.value): _answer(text, "Refused") for s, text in _REFUSED.items()},
                        **{str(s.value): _busy(text) for s, text in _BUSY.items()},
                    },
                },
                "options": {
                    "operationId": "consent",
                    "summary": "Whether deliveries of CloudEvents are welcome",
                    "responses": {
                        "200": {"description": "They are, with the sender's proof."},
                        "400": _answer("WebHook-Request-Origin names no host.", "Refused"),
                        "404": _answer(_REFUSED[HTTPStatus.NOT_FOUND], "Refused"),
                    },
                },
            },
            "/healthz": {
                "get": {
                    "operationId": "alive",
                    "responses": {"200": {"description": "The process answers."}},
                }
            },
        },
        "components": {
            "schemas": {
                "Taken": _said({"status": {"enum": ["accepted", "duplicate"]}}),
                "Refused": _said({"status": {"const": "refused"}, "error": {"type": "string"}}),
                "Busy": _said({"status": {"const": "unavailable"}, "error": {"type": "string"}}),
            }
        },
    }


def _said(properties: dict[str, JsonValue]) -> JsonValue:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _answer(description: str, schema: str) -> JsonValue:
    """The HTTP server answers by itself, in plain text, what it cannot read or has no route for."""
    said: JsonValue = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    others = _TEXT if schema == "Refused" else {}
    return {"description": description, "content": {"application/json": said, **others}}


def _busy(description: str) -> JsonValue:
    return {
        "description": description,
        "headers": {
            "Retry-After": {
                "description": "Seconds.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
            }
        },
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Busy"}}},
    }


class _Document:
    def __init__(self, integrations: Integrations) -> None:
        taking = [one.webhook.content_types for one in integrations if one.webhook is not None]
        names = {name for types in taking for name in types}
        self._text = intake_document(names or {"application/json"})

    async def get(self, _request: web.Request) -> web.Response:
        """The document."""
        return web.json_response(self._text)


class _Consent:
    """The handshake by which a sender of CloudEvents asks whether it may post here.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection

    Everybody who asks may: what counts is the proof that each delivery brings.
    """

    def __init__(self, integrations: Integrations) -> None:
        self._integrations = integrations

    async def give(self, request: web.Request) -> web.Response:
        """Answer 200, and allow the origin that the sender gave."""
        try:
            webhook = self._integrations.get(request.match_info["integration"]).webhook
        except NotFoundError:
            webhook = None
        if webhook is None:
            return _refused(HTTPStatus.NOT_FOUND, "no webhook is configured at this address")
        headers = {"Allow": "OPTIONS, POST"}
        if (origin := request.headers.get("WebHook-Request-Origin")) is not None:
            if not _ORIGIN.fullmatch(origin):
                return _refused(HTTPStatus.BAD_REQUEST, "WebHook-Request-Origin names no host")
            headers["WebHook-Allowed-Origin"] = origin
            headers["WebHook-Allowed-Rate"] = "*"
        return web.Response(headers=headers)


def _refused(status: HTTPStatus, error: str) -> web.Response:
    return web.json_response({"status": "refused", "error": error}, status=status)
