"""`ANY /api/{method}`: tokens, faults, records, and Slack's form of answers."""

from __future__ import annotations

import base64
import hmac
import logging
from collections.abc import Mapping

from aiohttp import web

from bot.workspace.errors import MethodError
from bot.workspace.recorder import Fault
from bot.workspace.records import Json
from bot.workspace.state import Workspace
from bot.workspace.web_api import (
    agents,
    chat,
    conversations,
    files,
    misc,
    reactions,
    streaming,
    users,
    views,
)
from bot.workspace.web_api.arguments import Arguments, read_arguments
from bot.workspace.web_api.registry import Method

logger = logging.getLogger(__name__)

_FAMILIES = (agents, chat, conversations, files, misc, reactions, streaming, users, views)
METHODS: Mapping[str, Method] = {
    name: method for module in _FAMILIES for name, method in module.FAMILY.methods.items()
}
"""Every method, by its name."""

_RECORDED_LIMIT = 64 * 1024
_SECRET_ARGUMENTS = frozenset({"token", "client_secret", "code"})


class WebApi:
    """Answers Web API calls."""

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers one call; business errors are HTTP 200, as with Slack."""
        name = request.match_info["method"]
        fault = self._ws.faults.take(name)
        arguments: Json = {}
        try:
            arguments = await read_arguments(request)
            if fault is not None and not fault.after:
                return self._failed(name, arguments, fault)
            answer = await self._answer(name, request, arguments)
        except MethodError as error:
            logger.debug("%s -> %s %s", name, error.code, error.messages)
            self._record(name, arguments, error.code)
            return _error_response(error)
        if fault is not None:
            return self._failed(name, arguments, fault)
        self._record(name, arguments, None)
        return web.json_response({"ok": True, **answer})

    async def post(self, arguments: Json) -> Json:
        """Posts a scheduled message, as `chat.postMessage`."""
        return await METHODS["chat.postMessage"].handler(self._ws, Arguments(arguments))

    async def _answer(self, name: str, request: web.Request, arguments: Json) -> Json:
        method = METHODS.get(name)
        if method is None:
            raise MethodError("unknown_method")
        self._authorise(method, _token(request, arguments))
        arguments.pop("token", None)
        arguments |= _client_credentials(request)
        return await method.handler(self._ws, Arguments(arguments))

    def _authorise(self, method: Method, token: str | None) -> None:
        if method.needs == "none":
            return
        if not token:
            raise MethodError("not_authed")
        secrets = self._ws.secrets
        known = {"bot": secrets.bot_token, "app": secrets.app_token}
        kinds = [
            kind
            for kind, value in known.items()
            if hmac.compare_digest(token.encode(), value.encode())
        ]
        if not kinds:
            raise MethodError("invalid_auth")
        if method.needs not in kinds:
            raise MethodError("not_allowed_token_type")

    def _failed(self, name: str, arguments: Json, fault: Fault) -> web.StreamResponse:
        if fault.status is None:
            error = fault.error or "internal_error"
            self._record(name, arguments, error)
            return _error_response(MethodError(error))
        self._record(name, arguments, f"http_{fault.status}")
        headers = {"Retry-After": str(fault.retry_after)} if fault.status == 429 else {}
        body = {"ok": False, "error": "ratelimited" if fault.status == 429 else "internal_error"}
        return web.json_response(body, status=fault.status, headers=headers)

    def _record(self, name: str, arguments: Json, error: str | None) -> None:
        kept = {key: value for key, value in arguments.items() if key not in _SECRET_ARGUMENTS}
        if (size := len(str(kept))) > _RECORDED_LIMIT:
            kept = {"omitted_characters": size}
        self._ws.recorder.call(
            at=self._ws.options.clock(), method=name, arguments=kept, error=error
        )


def _client_credentials(request: web.Request) -> Json:
    """Id and secret of an OAuth client, which SDKs send as HTTP basic authentication."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError as error:
        raise MethodError("invalid_auth") from error
    return {"client_id": client_id, "client_secret": secret}


def _token(request: web.Request, arguments: Json) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    value = arguments.get("token")
    return value if isinstance(value, str) else None


def _error_response(error: MethodError) -> web.Response:
    body: Json = {"ok": False, "error": error.code, **error.extra}
    if error.messages:
        body["response_metadata"] = {"messages": list(error.messages)}
    return web.json_response(body)
