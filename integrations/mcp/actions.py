"""A tool as an action."""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from pydantic import JsonValue

from core.canonical import canonical_digest
from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult, Standalone
from integrations.mcp.arguments import ToolArguments, arguments_of
from integrations.mcp.asking import parameters_of, required_of
from integrations.mcp.session import McpServer, require_same
from integrations.mcp.tools import ApprovedTool
from integrations.text import clip, tidy

_VALUES = 64 * 1024


class CallTool(Action[ToolArguments]):
    """Call one tool of one server. Its name, risk and idempotency are the record's, so
    `tool_action` makes a class for each.

    What a tool answers is foreign text, which may well try to instruct a model: as with a model's
    output, nothing destructive takes it before a person has confirmed it.

    Values: `text`, and `result` (the structured answer, null where there is none or it is larger
    than 64 KiB).
    """

    output_kind: ClassVar[Literal["system", "model"]] = "model"

    def __init__(self, server: McpServer, name: str, tool: ApprovedTool, origin: str) -> None:
        self._server = server
        self._tool_name = name
        self._tool = tool
        self.pin = canonical_digest({"tool": name, "definition": tool.digest})
        if (parameters := parameters_of(tool)) is not None:
            self.standalone = Standalone(
                title=clip(f"{name} of {server.name}", 80),
                origin=origin,
                says=clip(tool.description, 1000),
                parameters=parameters,
                required=required_of(tool),
            )

    def describe(self, arguments: ToolArguments) -> str:
        """See `Action.describe`. With the digest of what was approved, so that it is signed."""
        given = json.dumps(arguments.given, ensure_ascii=False, sort_keys=True)
        pinned = f"{self._tool.digest[:19]}…"
        word = f"approved as {pinned}" if self._tool.listed else f"not approved; now {pinned}"
        return f"Call {self._tool_name} of {self._server.name} with {clip(given, 1000)} ({word})"

    async def preview(self, arguments: ToolArguments) -> str | None:
        """See `Action.preview`. MCP has no dry run; whether the tool is still what was approved
        is looked at. With all arguments, since a line may not have room for them."""
        offered = await self._server.offered()
        digest, listed = self._tool.digest, self._tool.listed
        require_same(self._server.name, self._tool_name, digest, offered, listed=listed)
        given = json.dumps(arguments.given, ensure_ascii=False, indent=2, sort_keys=True)
        if listed:
            return f"The server says of the tool what was approved. MCP has no dry run.\n{given}"
        says = tidy(self._tool.description, 2000) or "nothing"
        return (
            "Nobody has approved this tool. MCP has no dry run.\n"
            f"{given}\nWhat the server says of it, which need not be so:\n{says}"
        )

    async def execute(self, arguments: ToolArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`. A tool that says it has failed is an ActionError."""
        repeatable = self.risk is Risk.READ or self.idempotency is Idempotency.NATURAL
        outcome = await self._server.call(
            self._tool_name,
            self._tool.digest,
            arguments.given,
            repeatable=repeatable,
            listed=self._tool.listed,
        )
        if outcome.failed:
            said = clip(outcome.text, 300)
            raise ActionError(f"{self._server.name}: {self._tool_name} failed: {said}")
        structured: JsonValue = outcome.structured
        if len(json.dumps(structured)) > _VALUES:
            structured = None
        return ActionResult(
            summary=f"{self._tool_name} of {self._server.name} has answered",
            output=outcome.text,
            values={"text": outcome.text[:4000], "result": structured},
        )


def tool_action(integration_id: str, key: str, server: McpServer, tool: ApprovedTool) -> CallTool:
    """The action `mcp.ID.KEY`.

    Raises:
        ValueError: as `arguments_of`.
    """
    of_tool = type(
        "CallTool",
        (CallTool,),
        {
            "name": f"mcp.{integration_id}.{key}",
            "summary": f"Call {tool.name or key} of {server.name}",
            "risk": tool.risk,
            "idempotency": tool.idempotency,
            "arguments": arguments_of(f"{key}_arguments", tool),
        },
    )
    origin = f"integrations/{integration_id}.yaml" if tool.listed else "its server; not approved"
    made: CallTool = of_tool(server, tool.name or key, tool, origin)
    return made
