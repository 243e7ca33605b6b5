"""`countersign init`, `check`, `docs`, `manifest`: the folder of the configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.checking import actions_of
from bot.checking import check as check_configuration
from bot.cli.common import read_settings
from bot.manifest import manifest_yaml
from core.errors import ConfigurationError
from core.starter import write_starter
from core.state import ApplicationState
from core.workflows.describe import describe


def init() -> None:
    """Write the starter folder (COUNTERSIGN_HOME); what is there already stays."""
    settings = read_settings()
    write_starter(settings.home)
    typer.echo(f"{settings.home} is ready. Edit {settings.config_dir}, then `countersign check`.")


def check() -> None:
    """Validate the configuration: every file, and whether they fit each other."""
    settings = read_settings()
    state, found = check_configuration(settings)
    if found:
        raise ConfigurationError("\n".join(found))
    typer.echo(
        f"{settings.config_dir} is sound: {len(state.assistants)} assistants, "
        f"{len(state.workflows)} workflows, {len(state.triggers)} triggers, "
        f"{len(state.schedules)} schedules, {len(state.integrations)} integrations, "
        f"{len(state.models)} models."
    )


def manifest(
    http: Annotated[
        bool, typer.Option("--http", help="Slack calls us over HTTP; else Socket Mode.")
    ] = False,
) -> None:
    """Print the Slack app manifest that matches this version and its configuration."""
    settings = read_settings()
    state = ApplicationState.load(settings.config_dir)
    typer.echo(manifest_yaml(settings, state, socket_mode=not http), nl=False)


def docs() -> None:
    """Print the configured workflows and assistants as Markdown, for people to read."""
    settings = read_settings()
    state, found = check_configuration(settings)
    if found:
        raise ConfigurationError("\n".join(found))
    typer.echo(describe(state, actions_of(settings, state), settings.command), nl=False)
