"""Arguments of a Web API call, however they came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import BodyPartReader, web

from bot.workspace.errors import MethodError
from bot.workspace.records import Json

_TRUE = frozenset({True, "1", "true", "True"})
_MULTIPART_LIMIT = 1024 * 1024
_PART_COST = 1_024  # counted for each part, so that many empty ones end too


async def read_arguments(request: web.Request) -> Json:
    """Merges query string, form, multipart and JSON arguments; the body wins.

    The Python SDK uses all four: `params=` goes to the query on GET and POST alike.

    Raises:
        MethodError: `invalid_json`, `json_not_object` or `invalid_form_data`.
        aiohttp.web.HTTPRequestEntityTooLarge: the body is over the server's limit.
    """
    arguments: Json = dict(request.query)
    kind = request.content_type
    if kind == "application/json":
        raw = await request.read()
        if raw:
            try:
                body = json.loads(raw)
            except ValueError as error:
                raise MethodError("invalid_json") from error
            if not isinstance(body, dict):
                raise MethodError("json_not_object")
            arguments |= body
    elif kind == "application/x-www-form-urlencoded":
        try:
            arguments |= dict(await request.post())
        except ValueError as error:
            raise MethodError("invalid_form_data") from error
    elif kind.startswith("multipart/"):
        left = _MULTIPART_LIMIT
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise MethodError("invalid_form_data")
            left, value = await _read_part(part, left)
            arguments[part.name] = value
    return arguments


async def _read_part(part: BodyPartReader, left: int) -> tuple[int, str]:
    raw = b""
    while chunk := await part.read_chunk():
        raw += chunk
        if len(raw) > left:
            raise web.HTTPRequestEntityTooLarge(max_size=_MULTIPART_LIMIT, actual_size=len(raw))
    return left - len(raw) - _PART_COST, raw.decode("utf-8", errors="replace")


class Arguments:
    """Typed access to the arguments of one call."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def text(self, name: str, error: str = "invalid_arguments") -> str:
        """A required string.

        Raises:
            MethodError: `error`, when it is missing, empty or no string.
        """
        value = self.maybe(name)
        if value is None:
            raise MethodError(error, [f"[ERROR] missing required field: {name}"])
        return value

    def maybe(self, name: str) -> str | None:
        """A string or number as a string; None when missing or empty."""
        value = self.values.get(name)
        if value is None or value == "" or isinstance(value, dict | list | bool):
            return None
        return str(value)

    def flag(self, name: str, *, default: bool | None = None) -> bool | None:
        """A boolean: true, false, `1`, `0`, `true`, `false`."""
        value = self.values.get(name)
        if value is None or value == "":
            return default
        return isinstance(value, str | bool) and value in _TRUE

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """An integer, brought into its range.

        Raises:
            MethodError: `invalid_arguments`, it is no number.
        """
        value = self.maybe(name)
        if value is None:
            return default
        try:
            return min(high, max(low, int(value)))
        except ValueError as error:
            raise MethodError("invalid_arguments", [f"[ERROR] {name} must be a number"]) from error

    def json(self, name: str, error: str = "invalid_arguments") -> Any:
        """A JSON value, sent as such or as a string; None when missing or empty.

        Raises:
            MethodError: `error`, the string is not JSON.
        """
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError as problem:
            raise MethodError(error, [f"[ERROR] {name} is not JSON"]) from problem

    def objects(self, name: str, error: str) -> list[Json]:
        """A list of JSON objects, empty when missing.

        Raises:
            MethodError: `error`, it is something else.
        """
        value = self.json(name, error)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise MethodError(error)
        return value

    def names(self, name: str) -> list[str]:
        """A list of strings, sent as a JSON list or separated by commas."""
        value = self.values.get(name)
        if isinstance(value, list):
            return [str(item) for item in value]
        return [item.strip() for item in str(value or "").split(",") if item.strip()]
