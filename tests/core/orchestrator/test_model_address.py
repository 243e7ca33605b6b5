"""The models' address and token, as a team's own tools use them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from pydantic import ValidationError

from bot.models import make_orchestrator
from core.orchestrator import LocalAIOrchestrator
from core.orchestrator.files import catalog
from core.services.ai import OrchestratorError
from core.settings import Settings
from core.state import AIModel
from tests.support.model_server import until

TOKEN = "the-teams-own-token"
EMBEDDINGS = catalog.DEFAULT_EMBEDDING_MODEL


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def local(models_dir: Path, port: int) -> LocalAIOrchestrator:
    return LocalAIOrchestrator(models_dir, chat_model=None, port=port, token=TOKEN)


@pytest_asyncio.fixture
async def tool(port: int) -> AsyncIterator[AsyncOpenAI]:
    base_url = f"http://127.0.0.1:{port}/v1"
    async with AsyncOpenAI(base_url=base_url, api_key=TOKEN, max_retries=0) as client:
        yield client


async def test_a_tool_of_the_teams_own_asks_at_the_address_that_was_set(
    models_dir: Path, port: int, tool: AsyncOpenAI
) -> None:
    orchestrator = local(models_dir, port)
    await orchestrator.start()
    try:
        assert len((await tool.embeddings.create(model=EMBEDDINGS, input="x")).data) == 1
        stranger = tool.with_options(api_key="another-token-that-is-long")
        with pytest.raises(openai.AuthenticationError):
            await stranger.embeddings.create(model=EMBEDDINGS, input="x")

        pid = orchestrator.server_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        async def back() -> bool:
            try:
                return bool((await tool.models.list()).data)
            except openai.APIConnectionError:
                return False

        await until(back)  # at the same address
        assert orchestrator.server_pid != pid
    finally:
        await orchestrator.close()


async def test_a_port_that_is_taken_is_said(models_dir: Path, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        orchestrator = local(models_dir, port)
        with pytest.raises(OrchestratorError, match=rf"(?s){port}.*COUNTERSIGN_MODEL_PORT"):
            await orchestrator.start()
        await orchestrator.close()


def record(name: str, modality: str, **fields: object) -> AIModel:
    return AIModel.model_validate(
        {
            "id": name,
            "modality": modality,
            "parameters": 1,
            "format": "safetensors",
            "licence": "Apache-2.0",
            "source": {"type": "folder", "path": "/nowhere"},
            "capabilities": [],
        }
        | fields
    )


async def test_settings_and_records_reach_the_server(
    models_dir: Path, port: int, tool: AsyncOpenAI, tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to(models_dir)
    settings = Settings(home=tmp_path, model_port=port, model_token=TOKEN, model_threads=1)
    sources: Mapping[str, object] = {
        "text": {"type": "catalog", "name": catalog.DEFAULT_CHAT_MODEL},
        "embeddings": {"type": "catalog", "name": EMBEDDINGS},
    }
    models = {
        kind: record(kind, kind, source=source, default=True) for kind, source in sources.items()
    }
    models["our-reranker"] = record("our-reranker", "rerank")
    orchestrator = make_orchestrator(settings, models)
    await orchestrator.start()
    try:
        names = {model.id for model in (await tool.models.list()).data}
        assert names == {catalog.DEFAULT_CHAT_MODEL, EMBEDDINGS}
        body = {"model": "our-reranker", "query": "q", "documents": ["d"]}
        with pytest.raises(openai.NotFoundError, match=r"our-reranker.*not installed"):
            await tool.post("/rerank", cast_to=object, body=body)
    finally:
        await orchestrator.close()


def test_a_port_without_a_token_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs COUNTERSIGN_MODEL_TOKEN"):
        Settings(model_port=8802)
    with pytest.raises(ValidationError, match="at least 16"):
        Settings(model_port=8802, model_token="short")
