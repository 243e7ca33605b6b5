"""The tools that a server offers and its file does not list: each an action that nobody has
approved, with the risk that the file gives all of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from pydantic import ValidationError

from core.records import Risk
from core.workflows.actions import ActionError
from integrations.mcp.actions import CallTool, tool_action
from integrations.mcp.session import McpServer, OfferedTool
from integrations.mcp.tools import UnlistedTool

_AGAIN_S = 600.0
_FIRST_RETRY_S = 5.0
_LONGEST_RETRY_S = 300.0
_MOST = 200
_LARGEST_SCHEMA = 32 * 1024
_LONGEST_KEY = 63

_NO_TOOL = (ValueError, RecursionError, TypeError, AttributeError, LookupError)
"""What reading a definition raises, the last three from inside `jsonschema`: whatever a server
says must not end our asking."""

_log = logging.getLogger(__name__)


class UnlistedTools:
    """Asks a server for its tools for as long as we run.

    Args:
        listed: for each tool of the file, the name that workflows use to the server's.
        asked: set once the server was asked for the first time, with or without success.
        problem: why it could not be asked the last time.
    """

    def __init__(
        self, integration_id: str, server: McpServer, risk: Risk, listed: Mapping[str, str]
    ) -> None:
        self._integration_id = integration_id
        self._server = server
        self._risk = risk
        self._listed = dict(listed)
        self._made: dict[tuple[str, str], CallTool | None] = {}
        self.actions: Mapping[str, CallTool] = {}
        self.asked = asyncio.Event()
        self.problem: str | None = None
        self._asking = asyncio.Lock()

    async def follow(self) -> None:
        """Ask now, whenever the server was heard to offer something else, and now and then; for
        ever: cancel to stop."""
        retry_s = _FIRST_RETRY_S
        heard = False
        while True:
            await self.ask(if_new=heard)
            if self.problem is None:
                wait_s, retry_s = _AGAIN_S, _FIRST_RETRY_S
            else:
                _log.warning("%s; asked again in %.0f s", self.problem.rstrip("."), retry_s)
                wait_s, retry_s = retry_s, min(2 * retry_s, _LONGEST_RETRY_S)
            self.asked.set()
            heard = False
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    heard = await self._server.news.wait()

    async def ask(self, *, if_new: bool = False) -> None:
        """Ask once; where that fails, the tools stay as they were, and `problem` says why.

        Args:
            if_new: only if there is news that nobody has asked about meanwhile.
        """
        async with self._asking:
            if if_new and not self._server.news.is_set():
                return
            try:
                offered = await self._server.offered()
            except ActionError as error:
                self.problem = str(error)
                return
            self._server.news.clear()
            # A schema takes milliseconds to read, and there can be many.
            self.actions = await asyncio.to_thread(self._read, offered)
            self.problem = None

    def _read(self, offered: Mapping[str, OfferedTool]) -> dict[str, CallTool]:
        names = set(self._listed.values())
        unlisted = [tool for name, tool in sorted(offered.items()) if name not in names]
        if len(unlisted) > _MOST:
            beyond = len(unlisted) - _MOST
            _log.warning("%s offers too many tools: %d are left out", self._server.name, beyond)
        made: dict[tuple[str, str], CallTool | None] = {}
        for key, tool in _keyed(unlisted[:_MOST], self._listed):
            which = (key, tool.digest)
            made[which] = self._made[which] if which in self._made else self._action(key, tool)
        self._made = made
        return {action.name: action for action in made.values() if action is not None}

    def _action(self, key: str, tool: OfferedTool) -> CallTool | None:
        try:
            _check_size(tool)
            read = UnlistedTool(
                name=tool.name,
                risk=self._risk,
                description=tool.description,
                input_schema=tool.input_schema,
            )
            return tool_action(self._integration_id, key, self._server, read)
        except _NO_TOOL as error:
            told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            _log.warning("%s: %.80r cannot be called: %s", self._server.name, tool.name, told)
            return None


def _check_size(tool: OfferedTool) -> None:
    if len(json.dumps(tool.input_schema)) > _LARGEST_SCHEMA:
        raise ValueError(f"its schema is larger than {_LARGEST_SCHEMA} characters")


def _keyed(
    tools: Collection[OfferedTool], taken: Collection[str]
) -> Iterator[tuple[str, OfferedTool]]:
    """The tools, each with the name that workflows use, which depends on its own name; one that
    would have another's has a digest in it."""
    plain = {tool.name: re.sub(r"[^a-z0-9]+", "_", tool.name.lower()).strip("_") for tool in tools}
    counts = Counter([*plain.values(), *taken])
    for tool in tools:
        key = plain[tool.name]
        if key and counts[key] == 1 and len(key) <= _LONGEST_KEY:
            yield key, tool
        else:
            yield _told_apart(key, tool.name), tool


def _told_apart(key: str, name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{key[: _LONGEST_KEY - 9]}_{digest}".lstrip("_")
