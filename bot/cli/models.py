"""`countersign models …`: the models on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.cli.common import read_settings, run_async
from bot.models import pull as pull_model
from core.errors import ConfigurationError
from core.state import AdapterSource, AIModel, ApplicationState, ServerSource

app = typer.Typer(no_args_is_help=True, help="The models on this machine.")


@app.command("pull")
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="ids; none: the defaults")] = None,
) -> None:
    """Download, check and convert models, once."""
    settings = read_settings()
    state = ApplicationState.load(settings.config_dir)
    for model in _chosen(state, names):
        run_async(pull_model(model, settings.models_dir, typer.echo))


@app.command("list")
def list_models() -> None:
    """List the configured models, and which are installed here."""
    from core.orchestrator.files.weights import installed

    settings = read_settings()
    state = ApplicationState.load(settings.config_dir)
    here = {manifest.name for manifest in installed(settings.models_dir)}
    for model in state.models.values():
        where = "served elsewhere" if isinstance(model.source, ServerSource) else "not installed"
        if isinstance(model.source, AdapterSource):
            where = f"adapter of {model.source.base}"
        where = "installed" if model.served_name in here else where
        default = ", default" if model.default else ""
        typer.echo(f"{model.id}: {model.modality}, {model.stage}, {where}{default}")


def _chosen(state: ApplicationState, names: list[str] | None) -> list[AIModel]:
    if not names:
        return [
            model
            for model in state.models.values()
            if model.default and not isinstance(model.source, ServerSource | AdapterSource)
        ]
    if unknown := [name for name in names if name not in state.models]:
        known = ", ".join(state.models)
        raise ConfigurationError(f"There is no model '{unknown[0]}'. There are: {known}.")
    return [state.models[name] for name in names]
