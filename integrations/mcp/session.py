"""Talking to an MCP server, by the official SDK: a session of its own for each call.

So a program that crashes or hangs takes nothing with it and is started anew by the next call, no
call sees another's state, and cancelling one ends its program and its connection.

The SDK (`mcp` 2.3, 4 MB with its types, 0.3 s to import) is what our own server needs anyway.
`pydantic-ai`'s toolsets wrap the same SDK for agents and would hide what a failed call has sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND
from pydantic import Field, JsonValue

from core.records import Frozen
from core.workflows.actions import ActionError, OutcomeUnknownError
from integrations.mcp.bounded import BoundedTransport
from integrations.mcp.pipes import spoken_to
from integrations.mcp.tools import definition_digest
from integrations.text import clip, tidy

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PAGES = 20
_MOST_TOOLS = 1000
_AT_ONCE = 4
_FAILURES: tuple[type[Exception], ...] = (
    MCPError,
    httpx2.HTTPError,
    OSError,
    ValueError,
    RuntimeError,  # an answer that its own output schema does not allow
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
)
"""What goes wrong with a server that is down, crashes, or does not keep to the protocol."""
_NOT_BEGUN = frozenset({INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND})


class OfferedTool(Frozen):
    """What a server says of a tool now; untrusted."""

    name: str
    description: str
    input_schema: dict[str, JsonValue]

    @property
    def digest(self) -> str:
        """See `definition_digest`; empty, and so never the approved one, where there is none."""
        try:
            return definition_digest(self.description, self.input_schema)
        except ValueError:
            return ""


class ToolOutcome(Frozen):
    """What a tool answered; untrusted.

    Attributes:
        failed: the tool says that it has failed.
        text: texts, and what else there was in a word each.
        structured: JSON, where the tool gave some.
    """

    failed: bool
    text: str
    structured: JsonValue = None


class Program(Frozen):
    """A server that is a program of this machine, spoken to over its standard input and output.

    Attributes:
        command: the program's path, then its arguments; no shell sees them.
        environment: its variables beside PATH, LANG, HOME and those that say who we are; nothing
            else of ours is passed on.
    """

    command: tuple[str, ...]
    directory: Path
    environment: dict[str, str] = Field(repr=False)

    @asynccontextmanager
    async def connect(self, timeout_s: float) -> AsyncIterator[Any]:  # noqa: ARG002 - see Transport
        """See `Transport`."""
        environment = {
            **get_default_environment(),
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            "HOME": str(self.directory),
            **self.environment,
        }
        async with spoken_to(self.command, self.directory, environment) as streams:
            yield streams


class Remote(Frozen):
    """A server over streamable HTTP.

    Attributes:
        headers: with the credential.
    """

    url: str
    headers: dict[str, str] = Field(repr=False)

    @asynccontextmanager
    async def connect(self, timeout_s: float) -> AsyncIterator[Any]:
        """See `Transport`. The SDK follows no redirect to another origin."""
        async with (
            httpx2.AsyncClient(
                headers=self.headers,
                timeout=timeout_s,
                trust_env=False,
                transport=BoundedTransport(),
            ) as client,
            streamable_http_client(self.url, http_client=client) as streams,
        ):
            yield streams


class Transport(Protocol):
    """A way to a server."""

    def connect(self, timeout_s: float) -> AbstractAsyncContextManager[Any]:
        """The streams that the SDK speaks through."""
        ...


class McpServer:
    """One server.

    Args:
        name: what messages call it.
        timeout_s: seconds for each request.
    """

    def __init__(self, name: str, transport: Transport, timeout_s: float) -> None:
        self.name = name
        self._transport = transport
        self._timeout_s = timeout_s
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._known: dict[str, OfferedTool] | None = None
        self.news = asyncio.Event()
        """Set whenever it offers something else than it did before."""

    async def offered(self) -> dict[str, OfferedTool]:
        """The tools that it offers now, by name.

        Raises:
            ActionError: it cannot be asked.
        """
        found: dict[str, OfferedTool] | None = None
        try:
            async with self._session() as client:
                found = await self._list(client)
        except _FAILURES as error:
            if found is None:
                raise ActionError(f"{self.name}: {_told(error)}.") from error
        return found or {}

    async def call(
        self,
        tool: str,
        digest: str,
        arguments: Mapping[str, JsonValue],
        *,
        repeatable: bool,
        listed: bool,
    ) -> ToolOutcome:
        """Call a tool, if the server still says of it what it did.

        Args:
            digest: of what it said.
            repeatable: calling twice has the effect of once.
            listed: what it said stands in the integration's file, as approved.

        Raises:
            ActionError: it was not called, or the server has refused it.
            OutcomeUnknownError: it was called, and nobody knows what became of it.
        """
        outcome: ToolOutcome | None = None
        sent = False
        try:
            async with self._session() as client:
                require_same(self.name, tool, digest, await self._list(client), listed=listed)
                sent = True
                outcome = _outcome(await client.call_tool(tool, dict(arguments)))
        except _FAILURES as error:
            if outcome is None:
                unsure = sent and not repeatable and not _refused(error)
                raised = OutcomeUnknownError if unsure else ActionError
                raise raised(f"{self.name}: {tool}: {_told(error)}.") from error
        assert outcome is not None  # noqa: S101 - all else has raised
        return outcome

    async def _list(self, client: Client) -> dict[str, OfferedTool]:
        offered = await _list(client)
        if offered != self._known:
            self._known = offered
            self.news.set()
        return offered

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Client]:
        async with self._gate:
            try:
                async with AsyncExitStack() as stack:
                    client = Client(
                        self._transport.connect(self._timeout_s),
                        read_timeout_seconds=self._timeout_s,
                    )
                    yield await stack.enter_async_context(client)
            except ExceptionGroup as group:  # anyio's task groups wrap even a single error
                raise _first(group) from group


def require_same(
    server: str, tool: str, digest: str, offered: Mapping[str, OfferedTool], *, listed: bool
) -> None:
    """See `McpServer.call`.

    Raises:
        ActionError: the server does not offer the tool, or says something else of it.
    """
    if tool not in offered:
        raise ActionError(f"{server} offers no tool {tool} now.")
    if offered[tool].digest == digest:
        return
    if listed:
        raise ActionError(
            f"{server} now says something else of {tool} than was approved ({digest[:19]}…): read "
            "what `countersign mcp offered` prints, and approve it anew."
        )
    raise ActionError(
        f"{server} now says something else of {tool} than before ({digest[:19]}…): look at what "
        "it says, and ask for it anew."
    )


async def _list(client: Client) -> dict[str, OfferedTool]:
    found: dict[str, OfferedTool] = {}
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        for tool in page.tools:
            found[tool.name] = OfferedTool(
                name=tool.name, description=tool.description or "", input_schema=tool.input_schema
            )
        cursor = page.next_cursor
        if cursor is None:
            return found
        if len(found) > _MOST_TOOLS:
            break
    raise ValueError("it lists tools without end")


def _outcome(result: Any) -> ToolOutcome:
    parts = [
        block.text if block.type == "text" else f"[{block.type}, not shown]"
        for block in result.content
    ]
    return ToolOutcome(
        failed=result.is_error,
        text=tidy("\n".join(parts), 16_000),
        structured=result.structured_content,
    )


def _refused(error: Exception) -> bool:
    """Whether the server said that it has not even begun."""
    return isinstance(error, MCPError) and error.code in _NOT_BEGUN


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error: Exception | BaseExceptionGroup[Exception] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _told(error: Exception) -> str:
    said = getattr(error, "message", None) or str(error) or type(error).__name__
    if said == "Connection closed":
        said = "Connection closed; a program that ends says why when you start it by hand"
    return clip(str(said), 300).rstrip(".")
