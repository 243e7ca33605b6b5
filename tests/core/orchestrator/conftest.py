"""Real models and a real server for every test in this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import torch

from core.orchestrator import RemoteAIOrchestrator
from core.orchestrator.files import catalog
from core.orchestrator.server.models.chat_model import ChatModel
from tests.support.model_server import ModelServer, model_server
from tests.support.models import models_dir

torch.set_num_threads(1)  # as the server does by default on two cores

__all__ = ["model_server", "models_dir"]


@pytest_asyncio.fixture
async def client(model_server: ModelServer) -> AsyncIterator[RemoteAIOrchestrator]:
    """Our client of the shared server."""
    remote = model_server.client()
    yield remote
    await remote.close()


@pytest.fixture(scope="session")
def chat_model(models_dir: Path) -> ChatModel:
    """The default chat model in the test's own process."""
    return ChatModel.load(models_dir / catalog.DEFAULT_CHAT_MODEL)
