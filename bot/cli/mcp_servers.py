"""`countersign mcp offered`: what an MCP server offers, written so that it can be approved."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML

from bot.cli.common import read_settings, run_async
from bot.composition import read_secrets
from core.errors import InvalidRequestError
from core.settings import Settings
from core.state import ApplicationState
from integrations import registry
from integrations.mcp import McpIntegration
from integrations.mcp.session import OfferedTool


def offered(
    integration: Annotated[
        str, typer.Argument(help="The name of the integration's file, of the kind `mcp`.")
    ],
) -> None:
    """Ask an MCP server for its tools and print them for `settings` of its file. Read each before
    you keep it: what is kept is approved, as a change that needs countersignatures."""
    run_async(_offered(read_settings(), integration))


async def _offered(settings: Settings, integration_id: str) -> None:
    state = ApplicationState.load(settings.config_dir)
    record = {i: one for i, one in state.integrations.items() if i == integration_id}
    made = registry.load(record, read_secrets(settings)).get(integration_id)
    if not isinstance(made, McpIntegration):
        raise InvalidRequestError(f"integrations/{integration_id}.yaml is not of the kind 'mcp'.")
    typer.echo(written((await made.server.offered()).values()), nl=False)


def written(tools: Iterable[OfferedTool]) -> str:
    """The tools as YAML, below `tools:`."""
    names: dict[str, Any] = {}
    for tool in tools:
        names[_name(tool.name, names)] = _record(tool)
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 100
    yaml.dump({"tools": names}, text)
    return text.getvalue()


def _record(tool: OfferedTool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "risk": "change",
        "idempotency": "none",
        "description": tool.description,
        "input_schema": tool.input_schema,
    }


def _name(name: str, taken: dict[str, Any]) -> str:
    """A name that workflows can use, not among those `taken`."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60] or "tool"
    return next(n for n in (plain, *(f"{plain}_{i}" for i in range(2, 99))) if n not in taken)
