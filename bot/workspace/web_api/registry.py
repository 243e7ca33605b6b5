"""How methods are declared, and paging, which several share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from bot.workspace.errors import MethodError
from bot.workspace.records import Json
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments

Handler = Callable[[Workspace, Arguments], Awaitable[Json]]
Needs = Literal["bot", "app", "none"]
T = TypeVar("T")


@dataclass(frozen=True)
class Method:
    """A Web API method: what it does, and the kind of token that it needs."""

    name: str
    handler: Handler
    needs: Needs = "bot"


class Family:
    """The methods of one module, collected by decorator."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def method(self, name: str, needs: Needs = "bot") -> Callable[[Handler], Handler]:
        """Declares a method; its handler answers without `ok`, or raises `MethodError`."""

        def declare(handler: Handler) -> Handler:
            self.methods[name] = Method(name, handler, needs)
            return handler

        return declare


def page_of(items: Sequence[T], args: Arguments, default: int = 100) -> tuple[list[T], Json]:
    """Cuts a page out of a list by `limit` and `cursor`.

    Returns:
        The items and the answer's `response_metadata`.

    Raises:
        MethodError: `invalid_cursor`.
    """
    limit = args.number("limit", default, low=1, high=1_000)
    start = 0
    if cursor := args.maybe("cursor"):
        try:
            start = int(base64.b64decode(cursor, validate=True).decode().removeprefix("offset:"))
        except (ValueError, binascii.Error) as error:
            raise MethodError("invalid_cursor") from error
        if start < 0:
            raise MethodError("invalid_cursor")
    end = start + limit
    following = base64.b64encode(f"offset:{end}".encode()).decode() if end < len(items) else ""
    return list(items[start:end]), {"response_metadata": {"next_cursor": following}}
