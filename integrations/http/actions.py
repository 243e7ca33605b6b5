"""`http.request`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

import aiohttp
from pydantic import JsonValue, SecretStr
from pydantic_core import from_json

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.http.addresses import AddressNotAllowedError, is_allowed
from integrations.http.request import IDEMPOTENT_METHODS, SAFE_METHODS, Host, RequestArguments
from integrations.text import clip, tidy

_GATEWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


class HttpRequest(Action[RequestArguments]):
    """Send one HTTP request.

    Risk: GET and HEAD read, DELETE is destructive, the others change. Idempotency: GET, HEAD, PUT
    and DELETE are idempotent by RFC 9110 (NATURAL); POST and PATCH are NONE, unless the host's
    setting `keyed` says that it honours `Idempotency-Key`, which is always sent. Redirects are
    not followed.
    """

    name: ClassVar[str] = "http.request"
    summary: ClassVar[str] = "Send an HTTP request to an allowed host"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = RequestArguments

    def __init__(
        self,
        file: str,
        hosts: Mapping[str, Host],
        secrets: Mapping[str, SecretStr],
        sessions: Mapping[str, aiohttp.ClientSession],
        max_bytes: int,
    ) -> None:
        """`sessions` holds one for each host, with its own addresses pinned; empty before start."""
        self._file = file
        self._hosts = hosts
        self._secrets = secrets
        self._sessions = sessions
        self._max_bytes = max_bytes

    def risk_of(self, arguments: RequestArguments) -> Risk:
        """See `Action.risk_of`."""
        self._host(arguments)
        if arguments.method in SAFE_METHODS:
            return Risk.READ
        return Risk.DESTRUCTIVE if arguments.method == "DELETE" else Risk.CHANGE

    def idempotency_of(self, arguments: RequestArguments) -> Idempotency:
        """See `Action.idempotency_of`."""
        host = self._host(arguments)
        if arguments.method in IDEMPOTENT_METHODS:
            return Idempotency.NATURAL
        return Idempotency.KEYED if host.keyed else Idempotency.NONE

    def describe(self, arguments: RequestArguments) -> str:
        """See `Action.describe`."""
        content = arguments.content
        size = f" with {len(content)} bytes" if content else ""
        return f"{arguments.method} {arguments.target}{size}"

    async def preview(self, arguments: RequestArguments) -> str | None:
        """See `Action.preview`. The request as it will be sent; nothing is sent."""
        self._host(arguments)
        lines = [f"{arguments.method} {arguments.target}"]
        lines += [f"{name}: {value}" for name, value in arguments.headers.items()]
        content = arguments.content
        if content:
            lines += ["", tidy(content.decode(), 4000)]
        return "\n".join(lines)

    async def execute(self, arguments: RequestArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        host, url = self._host(arguments), arguments.target
        session = self._sessions.get(url.host or "")
        if session is None:
            raise ActionError("The http integration is not started, or closed already.")
        headers = {**arguments.headers, "Idempotency-Key": context.key}
        if arguments.data is not None and "content-type" not in map(str.lower, headers):
            headers["Content-Type"] = "application/json"
        headers.update(self._secret_headers(host))
        unsure = ActionError if arguments.method in IDEMPOTENT_METHODS else OutcomeUnknownError
        try:
            async with session.request(
                arguments.method,
                url,
                headers=headers,
                data=arguments.content,
                allow_redirects=False,
            ) as response:
                content, cut = await self._read(response)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressNotAllowedError):
                raise _refused(self._file, str(error.os_error)) from error
            raise ActionError(f"{url.host} cannot be reached: {error.os_error}.") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "no answer within the time limit"
            raise unsure(f"The connection to {url.host} broke: {clip(reason, 300)}.") from error
        for secret in self._secret_headers(host).values():
            content = content.replace(secret.encode(), b"[secret]")  # some servers echo headers
        return self._result(arguments, response, content, cut=cut)

    def _secret_headers(self, host: Host) -> dict[str, str]:
        return {
            name: self._secrets[secret].get_secret_value()
            for name, secret in host.secret_headers.items()
        }

    def _result(
        self,
        arguments: RequestArguments,
        response: aiohttp.ClientResponse,
        content: bytes,
        *,
        cut: bool,
    ) -> ActionResult:
        status = response.status
        text = tidy(content.decode("utf-8", "replace"), self._max_bytes) + ("\n…" if cut else "")
        line = f"{arguments.method} {arguments.target} answers {status} {clip(response.reason, 60)}"
        fine = status in arguments.expect if arguments.expect else 200 <= status < 300
        if not fine:
            if location := response.headers.get("Location"):
                line += f", a redirect to {clip(location, 300)}, which is not followed"
            unsure = status in _GATEWAY and arguments.method not in IDEMPOTENT_METHODS
            raise (OutcomeUnknownError if unsure else ActionError)(f"{line}.\n{text[:2000]}")
        values: dict[str, JsonValue] = {"status": status, "body": text[:4000]}
        if not cut and response.content_type.endswith("json"):
            try:
                values["json"] = from_json(content, allow_inf_nan=False)
            except ValueError as error:
                line += ", but not with the JSON it says it is"
                if arguments.method in SAFE_METHODS:
                    raise ActionError(f"{line}: {error}.") from error
        return ActionResult(summary=line, output=text, values=values)

    async def _read(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self._max_bytes:
                response.close()
                return bytes(content[: self._max_bytes]), True
        return bytes(content), False

    def _host(self, arguments: RequestArguments) -> Host:
        url = arguments.target
        name = url.host or ""
        host = self._hosts.get(name)
        if host is None:
            allowed = ", ".join(sorted(self._hosts)) or "none"
            raise InvalidRequestError(
                f"The host {clip(name, 200)} is not allowed ({self._file}); allowed: {allowed}."
            )
        host.check(name, arguments.method, url)
        if _is_address(name) and not is_allowed(name, host.networks):
            # aiohttp does not ask its resolver about what is an address already.
            raise _refused(self._file, name)
        return host


def _is_address(host: str) -> bool:
    return ":" in host or re.fullmatch(r"[0-9.]+", host) is not None


def _refused(file: str, what: str) -> ActionError:
    return ActionError(
        f"{what}, which is not a public address: refused. Where that is meant, put its network "
        f"under `networks` of this host in {file}."
    )
