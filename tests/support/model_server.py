"""A real model server process, shared by the tests of one session."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.orchestrator import RemoteAIOrchestrator, catalog
from core.orchestrator.wire import ServerConfig, ServerReady

QUEUE_LIMIT = 3
MAX_RUNNING = 2


@dataclass(frozen=True)
class ModelServer:
    """Where the server listens."""

    base_url: str
    token: str

    def client(self) -> RemoteAIOrchestrator:
        """A client of this server; close it."""
        return RemoteAIOrchestrator(self.base_url, self.token, use_proxy=False)


@pytest.fixture(scope="session")
def model_server(models_dir: Path) -> Iterator[ModelServer]:
    """The server with both default models, a short queue and two turns."""
    token = secrets.token_urlsafe(24)
    config = ServerConfig(
        token=SecretStr(token),
        chat=models_dir / catalog.DEFAULT_CHAT_MODEL,
        embeddings=models_dir / catalog.DEFAULT_EMBEDDING_MODEL,
        queue_limit=QUEUE_LIMIT,
        max_running=MAX_RUNNING,
        precision="bfloat16",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "core.orchestrator.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(config.model_dump_json().encode() + b"\n")
    process.stdin.flush()
    ready = ServerReady.model_validate_json(process.stdout.readline())
    assert ready.base_url is not None, ready.error
    yield ModelServer(ready.base_url, token)
    process.stdin.close()
    assert process.wait(timeout=30) == 0


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 60.0) -> None:
    """Ask again every few milliseconds until `condition` holds."""
    end = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        await asyncio.sleep(0.02)
