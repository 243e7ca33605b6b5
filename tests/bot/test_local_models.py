"""The configured models of this machine, all of them served, and spoken with by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.assistants.chat_models import ChatModels
from bot.models import adapters, load_adapters, make_orchestrator, pull
from core.errors import ConfigurationError
from core.orchestrator import RemoteAIOrchestrator
from core.orchestrator.files.catalog import DEFAULT_CHAT_MODEL
from core.services.ai import AIOrchestratorClient, ChatMessage, ChatRequest, ModelNotFoundError
from core.settings import Settings
from core.starter import write_starter
from core.state import AIAssistant, AIModel, ApplicationState
from tests.support.models import models_dir
from tests.support.tiny_adapters import save_adapter
from tests.support.tiny_models import save_tiny

__all__ = ["models_dir"]


def _tiny(name: str, folder: Path, stage: str) -> AIModel:
    return AIModel.model_validate(
        {
            "id": name,
            "modality": "text",
            "stage": stage,
            "parameters": 3_000_000,
            "format": "safetensors",
            "licence": "Apache-2.0",
            "source": {"type": "folder", "path": str(folder)},
            "capabilities": ["chat", "tools"],
        }
    )


@pytest.fixture(scope="module")
def home(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter's home, with the models of the tests."""
    home = tmp_path_factory.mktemp("home")
    write_starter(home)
    (home / "models").mkdir(exist_ok=True)
    for folder in models_dir.iterdir():
        if folder.is_dir():
            (home / "models" / folder.name).symlink_to(folder)
    return home


@pytest_asyncio.fixture
async def records(home: Path, models_dir: Path) -> dict[str, AIModel]:
    """The starter's models and two of the team's own, one of them retired."""
    settings = Settings(home=home)
    models = dict(ApplicationState.load(settings.config_dir).models)
    for name, stage in (("tiny", "staging"), ("old", "retired")):
        models[name] = _tiny(name, save_tiny(home / "sources" / name, models_dir), stage)
        await pull(models[name], settings.models_dir, print)
    return models


@pytest_asyncio.fixture
async def orchestrator(
    home: Path, records: dict[str, AIModel]
) -> AsyncIterator[AIOrchestratorClient]:
    made = make_orchestrator(Settings(home=home), records)
    await made.start()
    yield made
    await made.close()


def _assistant(model: str | None) -> AIAssistant:
    return AIAssistant(
        id="helper",
        name="Helper",
        speciality="Helps.",
        system_prompt="You help.",
        model=model,
        examples=("one", "two", "three"),
    )


async def test_an_assistant_speaks_with_the_model_that_its_file_names(
    orchestrator: AIOrchestratorClient, records: dict[str, AIModel]
) -> None:
    models = ChatModels(records, orchestrator)
    default = await models.of(_assistant(None))
    assert (default.name, default.calls_tools) == ("SmolLM2-135M-Instruct", False)
    named = await models.of(_assistant("tiny"))
    assert (named.name, named.calls_tools) == ("tiny", True)
    message = ChatMessage(role="user", content="Hello")
    reply = await orchestrator.chat(ChatRequest(messages=(message,), max_tokens=3, model="tiny"))
    assert reply.model == "tiny"
    assert reply.usage.completion_tokens == 3


def _adapter(name: str, path: str, base: str) -> AIModel:
    source = {"type": "adapter", "base": base, "path": path}
    record = _tiny(name, Path(), "staging").model_dump() | {"source": source}
    return AIModel.model_validate(record)


async def test_an_assistant_speaks_with_the_adapter_that_its_file_names(
    orchestrator: AIOrchestratorClient,
    records: dict[str, AIModel],
    home: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    base = "smollm2-135m-instruct"
    save_adapter(home / "adapters" / "terse", home / "models" / DEFAULT_CHAT_MODEL, ("q_proj",))
    for name, path in (("brief", "terse"), ("lost", "nowhere")):
        records[name] = _adapter(name, path, base)
    assert await load_adapters(orchestrator, adapters(records), records) == []
    named = await ChatModels(records, orchestrator).of(_assistant("brief"))
    message = ChatMessage(role="user", content="Hello")
    reply = await orchestrator.chat(
        ChatRequest(messages=(message,), max_tokens=3, model=named.name)
    )
    assert reply.model == "brief"
    assert "models/lost.yaml: the adapter is not served" in caplog.text
    with pytest.raises(ConfigurationError, match=r"models/brief\.yaml is an adapter"):
        await pull(records["brief"], home / "models", print)


async def test_adapters_are_tried_again_where_no_server_was_there(
    home: Path, records: dict[str, AIModel]
) -> None:
    records["brief"] = _adapter("brief", "terse", "smollm2-135m-instruct")
    away = RemoteAIOrchestrator("http://127.0.0.1:9/v1", "token-of-sixteen-characters")
    wanted = adapters(records)
    assert await load_adapters(away, wanted, records) == wanted
    await away.close()


async def test_a_retired_model_is_not_served(
    orchestrator: AIOrchestratorClient, records: dict[str, AIModel]
) -> None:
    with pytest.raises(ModelNotFoundError, match=r"assistants/helper\.yaml names the model 'old'"):
        await ChatModels(records, orchestrator).of(_assistant("old"))


def test_a_retired_default_is_refused(home: Path) -> None:
    models = dict(ApplicationState.load(home / "config").models)
    retired = {key: m.model_copy(update={"stage": "retired"}) for key, m in models.items()}
    with pytest.raises(ConfigurationError, match="is retired and cannot be the default"):
        make_orchestrator(Settings(home=home), retired)
