"""A tool as an action."""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from pydantic import JsonValue

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.mcp.arguments import ToolArguments, arguments_of
from integrations.mcp.session import McpServer, require_approved
from integrations.mcp.tools import ApprovedTool
from integrations.text import clip

_VALUES = 64 * 1024


class CallTool(Action[ToolArguments]):
    """Call one approved tool of one server. Its name, risk and idempotency are the record's, so
    `tool_action` makes a class for each.

    What a tool answers is foreign text, which may well try to instruct a model: as with a model's
    output, nothing destructive takes it before a person has confirmed it.

    Values: `text`, and `result` (the structured answer, null where there is none or it is larger
    than 64 KiB).
    """

    output_kind: ClassVar[Literal["system", "model"]] = "model"

    def __init__(self, server: McpServer, name: str, tool: ApprovedTool) -> None:
        self._server = server
        self._tool_name = name
        self._tool = tool

    def describe(self, arguments: ToolArguments) -> str:
        """See `Action.describe`. With the digest of what was approved, so that it is signed."""
        given = json.dumps(arguments.given, ensure_ascii=False, sort_keys=True)
        return (
            f"Call {self._tool_name} of {self._server.name} with {clip(given, 1000)} "
            f"(approved as {self._tool.digest[:19]}…)"
        )

    async def preview(self, arguments: ToolArguments) -> str | None:
        """See `Action.preview`. MCP has no dry run; whether the tool is still what was approved
        is looked at. With all arguments, since a line may not have room for them."""
        offered = await self._server.offered()
        require_approved(self._server.name, self._tool_name, self._tool.digest, offered)
        given = json.dumps(arguments.given, ensure_ascii=False, indent=2, sort_keys=True)
        return f"The server says of the tool what was approved. MCP has no dry run.\n{given}"

    async def execute(self, arguments: ToolArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`. A tool that says it has failed is an ActionError."""
        repeatable = self.risk is Risk.READ or self.idempotency is Idempotency.NATURAL
        outcome = await self._server.call(
            self._tool_name, self._tool.digest, arguments.given, repeatable=repeatable
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
    made: CallTool = of_tool(server, tool.name or key, tool)
    return made
