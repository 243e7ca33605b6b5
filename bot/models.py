"""From model records to models that run: pulling, importing, and the orchestrator itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from core.errors import ConfigurationError
from core.orchestrator.client.remote import RemoteAIOrchestrator
from core.orchestrator.files import catalog, weights
from core.orchestrator.files.source import ModelKind
from core.orchestrator.local import LocalAIOrchestrator
from core.services.ai import (
    AIOrchestratorClient,
    OrchestratorError,
    OrchestratorUnavailableError,
)
from core.settings import Settings
from core.state import AdapterSource, AIModel, CatalogSource, FolderSource, ServerSource

_log = logging.getLogger(__name__)

_KINDS: Mapping[str, ModelKind] = MappingProxyType(
    {"text": "chat", "embeddings": "embeddings", "rerank": "rerank"}
)


async def pull(model: AIModel, models_dir: Path, progress: Callable[[str], None]) -> None:
    """Install a model's files, unless they are there and whole.

    Raises:
        ConfigurationError: the record is for a model that a server serves.
        OrchestratorError: the files cannot be had or are not the expected ones.
    """
    match model.source:
        case CatalogSource(name=name):
            await weights.pull(catalog.find(name), models_dir, progress)
        case FolderSource(path=path):
            await weights.import_folder(
                path,
                model.id,
                models_dir,
                kind=_KINDS.get(model.modality, "chat"),
                licence=model.licence,
            )
            progress(f"{model.id} is installed.")
        case ServerSource(name=name):
            raise ConfigurationError(
                f"models/{model.id}.yaml: '{name}' is served by a server of your own "
                "(COUNTERSIGN_ORCHESTRATOR_URL); there is nothing to pull."
            )
        case AdapterSource(path=path):
            raise ConfigurationError(
                f"models/{model.id}.yaml is an adapter: there is nothing to pull. Put its folder "
                f"where the model server looks for '{path}': on this machine below adapters/ in "
                "the home. It is loaded at the next start."
            )


def default_model(models: Mapping[str, AIModel], modality: str) -> AIModel:
    """The model marked `default: true` for a modality.

    Raises:
        ConfigurationError: there is none, or it is retired.
    """
    for model in models.values():
        if model.modality == modality and model.default:
            if model.stage == "retired":
                raise ConfigurationError(
                    f"models/{model.id}.yaml is retired and cannot be the default: give "
                    f"'default: true' to another {modality} model."
                )
            return model
    raise ConfigurationError(f"models: no {modality} model has 'default: true'.")


def _others(models: Mapping[str, AIModel]) -> dict[str, ModelKind]:
    """The models besides the defaults that this machine can serve, by name; none is retired."""
    return {
        model.served_name: _KINDS[model.modality]
        for model in models.values()
        if model.modality in _KINDS
        and not isinstance(model.source, ServerSource | AdapterSource)
        and model.stage != "retired"
        and not (model.default and model.modality in ("text", "embeddings"))
    }


def adapters(models: Mapping[str, AIModel]) -> list[AIModel]:
    """The records of adapters that are to be served."""
    return [
        model
        for model in models.values()
        if isinstance(model.source, AdapterSource) and model.stage != "retired"
    ]


async def load_adapters(
    orchestrator: AIOrchestratorClient, wanted: Sequence[AIModel], models: Mapping[str, AIModel]
) -> list[AIModel]:
    """Load adapters; one that is refused is named in the log, and not served.

    Returns:
        Those to try again later, since no server was there to take them.
    """
    later = []
    for model in wanted:
        if not isinstance(model.source, AdapterSource):
            continue
        base = models[model.source.base].served_name
        try:
            await orchestrator.load_adapter(model.id, model.source.path, base)
        except OrchestratorUnavailableError as error:
            _log.warning("models/%s.yaml: the adapter is not served yet: %s", model.id, error)
            later.append(model)
        except OrchestratorError as error:
            _log.error("models/%s.yaml: the adapter is not served: %s", model.id, error)
        else:
            _log.info("adapter %s is loaded beside %s", model.id, base)
    return later


def make_orchestrator(settings: Settings, models: Mapping[str, AIModel]) -> AIOrchestratorClient:
    """The orchestrator that the settings ask for: a server of the team's own, or this machine.

    Raises:
        ConfigurationError: a default model is served elsewhere, and no server is named.
    """
    chat, embeddings = (default_model(models, modality) for modality in ("text", "embeddings"))
    if settings.orchestrator_url is not None:
        token = settings.orchestrator_token
        return RemoteAIOrchestrator(
            settings.orchestrator_url,
            token.get_secret_value() if token else "none",
            chat_model=chat.served_name,
            embedding_model=embeddings.served_name,
        )
    for model in (chat, embeddings):
        if isinstance(model.source, ServerSource):
            raise ConfigurationError(
                f"models/{model.id}.yaml says that a server has it: set "
                "COUNTERSIGN_ORCHESTRATOR_URL to that server (http://HOST:8000/v1)."
            )
    return LocalAIOrchestrator(
        settings.models_dir,
        chat_model=chat.served_name,
        embedding_model=embeddings.served_name,
        threads=settings.model_threads,
        queue_limit=settings.model_queue_limit,
        precision=settings.model_precision,
        device=settings.model_device,
        others=_others(models),
        memory=settings.model_memory,
        adapters_dir=settings.adapters_dir,
        port=settings.model_port,
        token=settings.model_token.get_secret_value() if settings.model_token else None,
    )
