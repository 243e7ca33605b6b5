"""`countersign …`: the command line. One module a subject; each group is wired in here."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from bot.cli import audit, configuration, database, gates, mcp, models, policy, serving, webhooks
from core.errors import CountersignError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The self-hosted Slack copilot for infrastructure teams.",
)
for command in (
    configuration.init,
    configuration.check,
    serving.run,
    configuration.manifest,
    configuration.docs,
):
    app.command()(command)
app.add_typer(models.app, name="models")
app.add_typer(audit.app, name="audit")
app.add_typer(database.app, name="database")
app.add_typer(policy.app, name="policy")
app.add_typer(gates.app, name="gates")
app.add_typer(mcp.app, name="mcp")
app.add_typer(webhooks.app, name="webhooks")


def main() -> None:
    """The console script: errors of ours are their message and exit code 1."""
    try:
        app()
    except CountersignError as error:
        typer.secho(str(error), err=True, fg=typer.colors.RED)
        raise SystemExit(1) from error
    except ExceptionGroup as group:  # of tasks that ran side by side
        ours, others = group.split(CountersignError)
        if ours is None or others is not None:
            raise
        for message in dict.fromkeys(_messages(ours)):
            typer.secho(message, err=True, fg=typer.colors.RED)
        raise SystemExit(1) from group


def _messages(error: Exception) -> Iterator[str]:
    if isinstance(error, ExceptionGroup):
        for one in error.exceptions:
            yield from _messages(one)
    else:
        yield str(error)
