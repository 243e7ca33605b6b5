"""A real model server process, shared by the tests of one session."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.orchestrator import RemoteAIOrchestrator
from core.orchestrator.files import catalog
from core.orchestrator.wire import ServedModel, ServerConfig, ServerReady

QUEUE_LIMIT = 3
MAX_RUNNING = 2


@dataclass(frozen=True)
class ModelServer:
    """Where the server listens."""

    base_url: str
    token: str
    pid: int

    def client(self) -> RemoteAIOrchestrator:
        """A client of this server; close it."""
        return RemoteAIOrchestrator(self.base_url, self.token, use_proxy=False)


def default_models(models_dir: Path) -> tuple[ServedModel, ...]:
    """The chat model and the embedding model of the catalog, always loaded."""
    chat, embeddings = catalog.DEFAULT_CHAT_MODEL, catalog.DEFAULT_EMBEDDING_MODEL
    return (
        ServedModel(folder=models_dir / chat, kind="chat", resident=True),
        ServedModel(folder=models_dir / embeddings, kind="embeddings", resident=True),
    )


@contextlib.contextmanager
def serving(config: ServerConfig) -> Iterator[ModelServer]:
    """A server process of this configuration; it must end well."""
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
    yield ModelServer(ready.base_url, config.token.get_secret_value(), process.pid)
    process.stdin.close()
    assert process.wait(timeout=30) == 0


def token() -> SecretStr:
    """A bearer token."""
    return SecretStr(secrets.token_urlsafe(24))


@pytest.fixture(scope="session")
def model_server(models_dir: Path) -> Iterator[ModelServer]:
    """The server with both default models, a short queue and two turns."""
    config = ServerConfig(
        token=token(),
        models=default_models(models_dir),
        queue_limit=QUEUE_LIMIT,
        max_running=MAX_RUNNING,
        precision="bfloat16",
    )
    with serving(config) as server:
        yield server


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 60.0) -> None:
    """Ask again every few milliseconds until `condition` holds."""
    end = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        await asyncio.sleep(0.02)
