"""`countersign audit …`: the audit log."""

from __future__ import annotations

import typer

from bot.cli.common import existing_database, read_settings, run_async
from core.errors import ConfigurationError
from core.security.audit import AuditLog
from core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The audit log.")


@app.callback()
def audit() -> None:
    """The audit log."""


@app.command("verify")
def verify() -> None:
    """Walk the hash chain; exit code 1 where an entry was altered, moved or removed."""
    run_async(_verify(read_settings()))


async def _verify(settings: Settings) -> None:
    async with existing_database(settings) as database:
        whole, problem = await AuditLog(database).verify()
    if problem is not None:
        raise ConfigurationError(f"The audit log is broken after {whole} entries: {problem}.")
    typer.echo(f"The audit log is whole: {whole} entries.")
