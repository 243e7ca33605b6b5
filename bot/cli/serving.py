"""`countersign run`: the application, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

import typer

from bot.cli.common import log_to_stderr, read_settings, run_async
from bot.local import local_workspace, welcome
from core.records import Place
from core.settings import Settings


def run() -> None:
    """Start Countersign: with the local workspace, or with Slack where its tokens are set."""
    settings = read_settings()
    log_to_stderr(settings)
    run_async(_serve(settings))


async def _serve(settings: Settings) -> None:
    from bot.composition import running

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with local_workspace(settings) as (settings, page), running(settings) as countersign:
        await countersign.background.models_ready.wait()
        health = await countersign.orchestrator.health()
        if not health.ready:
            typer.secho(
                f"Answers come without a model for now: {health.detail}", fg=typer.colors.YELLOW
            )
        if page is not None:
            place = Place(channel="#general")
            await countersign.messenger.say(place, welcome(settings), key="welcome")
            typer.echo(f"\nCountersign is ready: open {page}\n")
        else:
            typer.echo("\nCountersign is ready.\n")
        await stop.wait()
        typer.echo("Stopping …")
