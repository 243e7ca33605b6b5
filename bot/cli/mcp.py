"""`countersign mcp …`: tokens with which a person's programs ask over MCP."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer

from bot.cli import mcp_bridge, mcp_servers
from bot.cli.common import existing_database, read_duration, read_settings, run_async
from core.security.audit import AuditLog
from core.security.tokens import AccessTokens
from core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Tokens for MCP clients; what MCP servers offer.")
app.command()(mcp_bridge.serve)
app.command()(mcp_servers.offered)


@app.command()
def token(
    user: Annotated[str, typer.Option(help="Whose it is: a Slack user id such as U0123ABCD.")],
    label: Annotated[str, typer.Option(help="What it is for, such as `laptop`.")],
    valid_for: Annotated[str, typer.Option(help="How long it is valid, such as 30d.")] = "90d",
) -> None:
    """Make a token and print it, once. Whoever has it asks in that person's name."""
    run_async(_issue(read_settings(), user, label, valid_for))


@app.command()
def tokens() -> None:
    """List the tokens that were made, the newest first; not the tokens themselves."""
    run_async(_list(read_settings()))


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id, from `countersign mcp tokens`.")],
) -> None:
    """Make a token invalid at once."""
    run_async(_revoke(read_settings(), token_id))


async def _issue(settings: Settings, user: str, label: str, valid_for: str) -> None:
    lasting = read_duration("--valid-for", valid_for)
    async with existing_database(settings) as database:
        made = await AccessTokens(database, AuditLog(database)).issue(user, label, lasting, _by())
    typer.echo(made)


async def _list(settings: Settings) -> None:
    async with existing_database(settings) as database:
        found = await AccessTokens(database, AuditLog(database)).all()
    now = datetime.now(UTC)
    for one in found:
        state = "revoked" if one.revoked_at else "valid" if one.valid(now) else "expired"
        until = f"{one.expires_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"{one.id}  {state:8}  until {until}  {one.user}  {one.label}")
    if not found:
        typer.echo("No token was made.")


async def _revoke(settings: Settings, token_id: str) -> None:
    async with existing_database(settings) as database:
        await AccessTokens(database, AuditLog(database)).revoke(token_id, _by())
    typer.echo(f"{token_id} is revoked.")


def _by() -> str:
    """Who is at the command line, for the audit log."""
    return f"command line, {getpass.getuser()}"[:120]
