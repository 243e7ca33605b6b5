"""Tools that people can ask for by themselves: all of them, and one."""

from __future__ import annotations

from collections.abc import Sequence

from slackblocks import Block, RichTextElement

from bot.blocks.layout import Content, bold, bullets, code, cut, dicts, paragraph, rich, text
from bot.blocks.lists import described, example_of, sentence
from bot.slack.escaping import escape_mrkdwn
from core.records import Frozen, Risk
from core.workflows.actions import Standalone

Line = list[RichTextElement]
_MOST = 40


class ToolView(Frozen):
    """A tool, for those who may see it.

    Attributes:
        name: as people write it: `weather.forecast`.
    """

    name: str
    risk: Risk
    standalone: Standalone


def tool_list(tools: Sequence[ToolView], command: str) -> Content:
    """The tools, each with its risk, who says so, and what its server says of it."""
    if not tools:
        return sentence("There is no tool that you may see here (kind mcp, policy.yaml).")
    lines: list[Line] = [
        [code(tool.name), text(f" {_standing(tool)}{cut(_said(tool), 200)}")]
        for tool in tools[:_MOST]
    ]
    if len(tools) > _MOST:
        lines.append([text(f"… and {len(tools) - _MOST} more; those of one server: "), code("ID")])
    hint: Line = [text("Ask for one: "), code(f"{command} tool NAME KEY=VALUE …")]
    blocks: list[Block] = [rich(paragraph([bold("Tools")]), bullets(*lines), paragraph(hint))]
    spoken = "; ".join(f"{tool.name} {_standing(tool)}" for tool in tools[:_MOST])
    return Content(text=escape_mrkdwn(cut(f"Tools: {spoken}", 2_500)), blocks=dicts(blocks))


def tool_details(tool: ToolView, command: str, problem: str = "") -> Content:
    """One tool: its inputs, and an example.

    Args:
        problem: what was wrong with a request for it.
    """
    known = tool.standalone
    first: Line = [bold(tool.name), text(f" {_standing(tool)}{cut(_said(tool), 1_000)}")]
    paragraphs = [paragraph([text(cut(problem, 1_000))])] if problem else []
    inputs: list[Line] = [
        [
            code(name),
            text(" " if name in known.required else " (may be left out) "),
            text(described(parameter)),
        ]
        for name, parameter in known.parameters.items()
    ]
    example = " ".join(
        [command, "tool", tool.name]
        + [f"{n}={example_of(p)}" for n, p in known.parameters.items() if n in known.required]
    )
    blocks: list[Block] = [rich(*paragraphs, paragraph(first))]
    if inputs:
        blocks.append(rich(paragraph([bold("Inputs")]), bullets(*inputs[:_MOST])))
    blocks.append(rich(paragraph([bold("For example: "), code(example)])))
    named = ", ".join(known.parameters) or "none"
    words = f"{problem} {tool.name} {_standing(tool)}. Inputs: {named}. For example: {example}"
    return Content(text=escape_mrkdwn(cut(words.strip(), 2_500)), blocks=dicts(blocks))


def _standing(tool: ToolView) -> str:
    return f"{tool.risk}, by {tool.standalone.origin}"


def _said(tool: ToolView) -> str:
    says = tool.standalone.says
    return f". The server says of it: “{says}”" if says else ""
