"""`countersign …`: the command line."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from bot.checking import actions_of
from bot.checking import check as check_configuration
from bot.local import local_workspace, welcome
from bot.manifest import manifest_yaml
from bot.models import pull
from core.errors import ConfigurationError, CountersignError
from core.records import Place
from core.settings import Settings
from core.starter import write_starter
from core.state import AIModel, ApplicationState, ServerSource
from core.workflows.describe import describe

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The self-hosted Slack copilot for infrastructure teams.",
)
models = typer.Typer(no_args_is_help=True, help="The models on this machine.")
audit = typer.Typer(no_args_is_help=True, help="The audit log.")
app.add_typer(models, name="models")
app.add_typer(audit, name="audit")


def main() -> None:
    """The console script: errors of ours are one message and exit code 1."""
    try:
        app()
    except CountersignError as error:
        typer.secho(str(error), err=True, fg=typer.colors.RED)
        raise SystemExit(1) from error


@app.command()
def init() -> None:
    """Write the starter folder (COUNTERSIGN_HOME); what is there already stays."""
    settings = _settings()
    write_starter(settings.home)
    typer.echo(f"{settings.home} is ready. Edit {settings.config_dir}, then `countersign check`.")


@app.command()
def check() -> None:
    """Validate the configuration: every file, and whether they fit each other."""
    settings = _settings()
    state, found = check_configuration(settings)
    if found:
        raise ConfigurationError("\n".join(found))
    typer.echo(
        f"{settings.config_dir} is sound: {len(state.assistants)} assistants, "
        f"{len(state.workflows)} workflows, {len(state.triggers)} triggers, "
        f"{len(state.schedules)} schedules, {len(state.integrations)} integrations, "
        f"{len(state.models)} models."
    )


@app.command()
def run() -> None:
    """Start Countersign: with the local workspace, or with Slack where its tokens are set."""
    settings = _settings()
    _log_to_stderr(settings)
    _run(_serve(settings))


@app.command()
def manifest(
    http: Annotated[
        bool, typer.Option("--http", help="Slack calls us over HTTP; else Socket Mode.")
    ] = False,
) -> None:
    """Print the Slack app manifest that matches this version and its configuration."""
    settings = _settings()
    state = ApplicationState.load(settings.config_dir)
    typer.echo(manifest_yaml(settings, state, socket_mode=not http), nl=False)


@app.command()
def docs() -> None:
    """Print the configured workflows and assistants as Markdown, for people to read."""
    settings = _settings()
    state, found = check_configuration(settings)
    if found:
        raise ConfigurationError("\n".join(found))
    typer.echo(describe(state, actions_of(settings, state), settings.command), nl=False)


@models.command("pull")
def models_pull(
    names: Annotated[list[str] | None, typer.Argument(help="ids; none: the defaults")] = None,
) -> None:
    """Download, check and convert models, once."""
    settings = _settings()
    state = ApplicationState.load(settings.config_dir)
    for model in _chosen(state, names):
        _run(pull(model, settings.models_dir, typer.echo))


@models.command("list")
def models_list() -> None:
    """List the configured models, and which are installed here."""
    from core.orchestrator.weights import installed

    settings = _settings()
    state = ApplicationState.load(settings.config_dir)
    here = {manifest.name for manifest in installed(settings.models_dir)}
    for model in state.models.values():
        where = "served elsewhere" if isinstance(model.source, ServerSource) else "not installed"
        where = "installed" if model.served_name in here else where
        default = ", default" if model.default else ""
        typer.echo(f"{model.id}: {model.modality}, {model.stage}, {where}{default}")


@audit.command("verify")
def audit_verify() -> None:
    """Walk the hash chain; exit code 1 where an entry was altered, moved or removed."""
    settings = _settings()
    if settings.database_url is None and not settings.data_dir.exists():
        raise ConfigurationError(
            f"There is no database in {settings.data_dir}; COUNTERSIGN_HOME names the home folder."
        )
    _run(_verify(settings))


def _settings() -> Settings:
    """The settings of the environment.

    Raises:
        ConfigurationError: one of them is wrong; the message names the variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"COUNTERSIGN_{str(problem['loc'][0]).upper()}: {problem['msg']}."
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigurationError("\n".join(lines)) from error


async def _verify(settings: Settings) -> None:
    from core.security.audit import AuditLog
    from core.store.database import Database

    database = Database(settings.store_url)
    await database.open()
    try:
        whole, problem = await AuditLog(database).verify()
    finally:
        await database.close()
    if problem is not None:
        raise ConfigurationError(f"The audit log is broken after {whole} entries: {problem}.")
    typer.echo(f"The audit log is whole: {whole} entries.")


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


def _chosen(state: ApplicationState, names: list[str] | None) -> list[AIModel]:
    if not names:
        return [
            model
            for model in state.models.values()
            if model.default and not isinstance(model.source, ServerSource)
        ]
    if unknown := [name for name in names if name not in state.models]:
        known = ", ".join(state.models)
        raise ConfigurationError(f"There is no model '{unknown[0]}'. There are: {known}.")
    return [state.models[name] for name in names]


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def _log_to_stderr(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("httpx2", "openai", "apscheduler", "alembic", "slack_bolt", "slack_sdk", "bm25s"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
