"""The kind `mcp`."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.errors import ConfigurationError
from core.records import Frozen, Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError
from integrations.base import (
    Health,
    Integration,
    check_secret_names,
    read_secret,
    read_settings,
)
from integrations.credentials import Address, authorization
from integrations.mcp.actions import CallTool, tool_action
from integrations.mcp.session import McpServer, Program, Remote, Transport, require_same
from integrations.mcp.tools import ApprovedTool, ToolName
from integrations.mcp.unlisted import UnlistedTools

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_FIRST_ANSWER_S = 5.0
"""How long we wait for a server's tools when we start."""
_LOOK_AGAIN_S = 30.0
"""And when a run is to begin that means others than those we know."""


class McpSettings(Frozen):
    """Settings of the kind `mcp`: a server by `url` or `command`, and what its tools may do.

    Attributes:
        url: of a server over streamable HTTP.
        command: a program that speaks over its standard input and output: its path, then its
            arguments.
        directory: where the program runs, and its HOME.
        environment: variables of the program.
        timeout_s: seconds for one request.
        tools: those that are approved, by the name that workflows use.
        unlisted: the risk of all others that the server offers, or that they cannot be called.
            That one of them only reads, nobody has looked at: list it to say so.
    """

    url: Address | None = None
    command: tuple[str, ...] = Field(default=(), max_length=64)
    directory: Path = Path("/")
    environment: dict[str, str] = Field(default_factory=dict, max_length=100)
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    tools: dict[ToolName, ApprovedTool] = Field(default_factory=dict, max_length=200)
    unlisted: Literal["change", "destructive", "refuse"] = "change"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.url is None) == (not self.command):
            raise ValueError("give exactly one of 'url' and 'command'")
        if self.command and not Path(self.command[0]).is_absolute():
            raise ValueError("command: write the program's absolute path")
        for name, tool in self.tools.items():
            if tool.idempotency is Idempotency.KEYED:
                raise ValueError(f"tools.{name}.idempotency: MCP has no keys: natural or none")
        return self


class McpIntegration(Integration):
    """Calls the tools of one MCP server.

    Secrets: over HTTP `token` (bearer); of a program, each becomes the variable of its name.
    """

    kind: ClassVar[str] = "mcp"

    def __init__(
        self, integration_id: str, server: McpServer, settings: McpSettings, tools: list[CallTool]
    ) -> None:
        self.id = integration_id
        self.server = server
        self._settings = settings
        self._tools = tools
        self._following: asyncio.Task[None] | None = None
        self._unlisted: UnlistedTools | None = None
        if settings.unlisted != "refuse":
            listed = {key: tool.name or key for key, tool in settings.tools.items()}
            risk = Risk(settings.unlisted)
            self._unlisted = UnlistedTools(integration_id, server, risk, listed)

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        settings = read_settings(record, McpSettings)
        transport = _transport(record, secrets, settings)
        server = McpServer(f"the MCP server {record.id}", transport, settings.timeout_s)
        tools: list[CallTool] = []
        for name, tool in settings.tools.items():
            try:
                tools.append(tool_action(record.id, name, server, tool))
            except ValueError as error:
                raise ConfigurationError(
                    f"integrations/{record.id}.yaml: settings.tools.{name}: {error}."
                ) from error
        return cls(record.id, server, settings, tools)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return tuple(self._tools)

    def found(self) -> Mapping[str, Action[Any]]:
        """See `Integration.found`: the tools that the file does not list."""
        return {} if self._unlisted is None else self._unlisted.actions

    def expected(self, name: str) -> Risk | None:
        """See `Integration.expected`."""
        own = name.startswith(f"mcp.{self.id}.")
        return Risk(self._settings.unlisted) if own and self._unlisted is not None else None

    async def start(self) -> None:
        """See `Integration.start`. One that does not answer soon is asked again and again."""
        if self._unlisted is None:
            return
        self._following = asyncio.create_task(self._unlisted.follow())
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_ANSWER_S):
                await self._unlisted.asked.wait()

    async def look_again(self) -> None:
        """See `Integration.look_again`."""
        if self._unlisted is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._unlisted.ask()

    async def close(self) -> None:
        """See `Integration.close`."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
            self._following = None

    async def health(self) -> Health:
        """See `Integration.health`. A program is looked for, not started; a server is asked
        whether its tools are still what was approved."""
        more = len(self.found())
        beside = f"; {more} of its tools are not approved" if more else ""
        if self._settings.command:
            problem = _problem(Path(self._settings.command[0]))
            if self._unlisted is not None:
                problem = problem or self._unlisted.problem
            return Health(ready=problem is None, detail=problem or f"the program is there{beside}")
        try:
            offered = await self.server.offered()
            for key, tool in self._settings.tools.items():
                name = tool.name or key
                require_same(self.server.name, name, tool.digest, offered, listed=True)
        except ActionError as error:
            return Health(ready=False, detail=str(error))
        return Health(ready=True, detail=f"offers what was approved{beside}")


def _transport(record: AIIntegration, secrets: Secrets, settings: McpSettings) -> Transport:
    if settings.url is not None:
        check_secret_names(record, frozenset({"token"}))
        headers = authorization(record, secrets, None)
        return Remote(url=settings.url, headers=headers)
    file = f"integrations/{record.id}.yaml"
    if problem := _problem(Path(settings.command[0])):
        raise ConfigurationError(f"{file}: settings.command: {problem}.")
    if not settings.directory.is_dir():
        raise ConfigurationError(f"{file}: settings.directory: there is no {settings.directory}.")
    return Program(
        command=settings.command,
        directory=settings.directory,
        environment={**settings.environment, **_variables(record, secrets)},
    )


def _variables(record: AIIntegration, secrets: Secrets) -> Mapping[str, str]:
    """The secrets, as the program gets them."""
    variables = {}
    for name in record.secrets:
        if not _VARIABLE.fullmatch(name):
            raise ConfigurationError(
                f"integrations/{record.id}.yaml: secrets: '{name}' is the name of a variable that "
                "the program gets: write it in capitals, such as API_TOKEN."
            )
        secret = read_secret(record, secrets, name)
        if secret is not None:
            variables[name] = secret.get_secret_value()
    return variables


def _problem(program: Path) -> str | None:
    """What is wrong with it on this machine."""
    if not program.is_file():
        return f"there is no program {program}"
    if not os.access(program, os.X_OK):
        return f"{program} is not executable; run `chmod +x {program}`"
    if program.stat().st_mode & stat.S_IWOTH:
        return f"everybody can change {program}; run `chmod o-w {program}`"
    return None
