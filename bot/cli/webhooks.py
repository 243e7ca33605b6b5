"""`countersign webhooks …`: deliveries that have failed, and having them processed again."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.cli.common import existing_database, read_settings, run_async
from core.deliveries import DeliveryBook, KeptDelivery, Standing
from core.security.audit import AuditLog
from core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="What senders have delivered, and what failed.")

_Key = Annotated[str, typer.Argument(help="The delivery's key, as `webhooks list` shows it.")]
_Integration = Annotated[
    str | None, typer.Option(help="Only this integration's; the name of its file.")
]


@app.command("list")
def list_failed(
    integration: _Integration = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 50,
) -> None:
    """Say how each sender's deliveries stand, and list those that have failed."""
    run_async(_list(read_settings(), integration, limit))


@app.command()
def show(
    key: _Key,
    integration: _Integration = None,
    limit: Annotated[int, typer.Option(min=100, help="So many characters of the body.")] = 20_000,
) -> None:
    """Show one delivery: its state, the reason, its headers and its body."""
    run_async(_show(read_settings(), key, integration, limit))


@app.command()
def replay(
    key: _Key,
    integration: _Integration = None,
    by: Annotated[str, typer.Option(help="Who wants it, for the audit log.")] = "command line",
) -> None:
    """Let a delivery that has failed be processed again."""
    run_async(_replay(read_settings(), key, integration, by))


async def _list(settings: Settings, integration: str | None, limit: int) -> None:
    async with existing_database(settings) as database:
        book = DeliveryBook(database, AuditLog(database))
        standings = await book.standings()
        failed = await book.failed(integration, limit)
    for standing in standings:
        if integration in {None, standing.integration}:
            typer.echo(_standing(standing))
    for delivery in failed:
        typer.echo(_line(delivery))
    if not failed:
        typer.echo("No delivery has failed.")


async def _show(settings: Settings, key: str, integration: str | None, limit: int) -> None:
    async with existing_database(settings) as database:
        book = DeliveryBook(database, AuditLog(database))
        delivery = await book.find(key, integration)
        contents = await book.contents(delivery)
    typer.echo(_line(delivery))
    if delivery.subject:
        typer.echo(f"in the order of: {_one_line(delivery.subject)}")
    for name, value in contents.headers.items():
        typer.echo(f"{_one_line(name)}: {_one_line(value)}")
    typer.echo()
    typer.echo(
        "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in contents.body[:limit])
    )
    if len(contents.body) > limit:
        typer.echo(f"… and {len(contents.body) - limit} characters more (--limit)")


async def _replay(settings: Settings, key: str, integration: str | None, by: str) -> None:
    async with existing_database(settings) as database:
        found = await DeliveryBook(database, AuditLog(database)).replay(key, by, integration)
    typer.echo(f"{found.integration} {_one_line(found.key)} will be processed again.")


def _standing(standing: Standing) -> str:
    since = f" since {standing.oldest:%Y-%m-%d %H:%M %Z}" if standing.oldest else ""
    return (
        f"{standing.integration}: {standing.waiting} waiting{since}, "
        f"{standing.failed} failed, {standing.done} done"
    )


def _line(delivery: KeptDelivery) -> str:
    reason = f": {_one_line(delivery.reason)}" if delivery.reason else ""
    return (
        f"{delivery.received_at:%Y-%m-%d %H:%M %Z} {delivery.integration} "
        f"{_one_line(delivery.key)} {_state(delivery)}, {delivery.size} bytes{reason}"
    )


def _state(delivery: KeptDelivery) -> str:
    if delivery.state == "received" and delivery.attempts:
        times = "once" if delivery.attempts == 1 else f"{delivery.attempts} times"
        return f"failed {times} and is tried again"
    return delivery.state


def _one_line(text: str) -> str:
    """What a terminal can show in one line, whoever wrote it."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
