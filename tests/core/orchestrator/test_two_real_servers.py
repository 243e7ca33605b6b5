"""Two of our own servers with the real model, and one of them is killed."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.orchestrator import RemoteAIOrchestrator
from core.orchestrator.child import ModelServerProcess
from core.orchestrator.client.endpoint import ModelEndpoint
from core.orchestrator.files import catalog
from core.orchestrator.wire import ServerConfig
from core.services.ai import (
    ChatChunk,
    ChatMessage,
    ChatRequest,
    OrchestratorError,
    OrchestratorUnavailableError,
)
from tests.support.model_server import default_models, until
from tests.support.tiny_adapters import EVERYTHING, save_adapter

pytestmark = pytest.mark.slow

CHAT, EMBEDDINGS = catalog.DEFAULT_CHAT_MODEL, catalog.DEFAULT_EMBEDDING_MODEL
STORY = ChatRequest(
    messages=(ChatMessage(role="user", content="Write a very long story."),), max_tokens=2000
)
LONG_PROMPT = ChatRequest(
    messages=(ChatMessage(role="user", content="The disk of db-1 is nearly full. " * 150),),
    max_tokens=8,
)


class Cluster(NamedTuple):
    """Two servers, a client of each, and one of both."""

    processes: list[ModelServerProcess]
    each: list[ModelEndpoint]
    both: RemoteAIOrchestrator

    async def running(self) -> int:
        """Which of the two has a request, once one has."""

        found: list[int] = []

        async def one_has_it() -> bool:
            told = [await endpoint.load() for endpoint in self.each]
            found[:] = [i for i, load in enumerate(told) if load and load.running + load.waiting]
            return bool(found)

        await until(one_has_it)
        return found[0]

    async def kill(self, index: int) -> None:
        """As the system does where memory is short."""
        os.kill(self.processes[index].pid, signal.SIGKILL)
        await self.processes[index].wait()


@pytest_asyncio.fixture
async def cluster(models_dir: Path, tmp_path: Path) -> AsyncIterator[Cluster]:
    token = secrets.token_urlsafe(24)
    config = ServerConfig(
        token=SecretStr(token),
        models=default_models(models_dir),
        adapters=tmp_path,
        precision="bfloat16",
        threads=1,
        max_running=1,
    )
    processes = [await ModelServerProcess.spawn(config) for _ in range(2)]
    urls = await asyncio.gather(*(process.ready(120) for process in processes))
    each = [ModelEndpoint(url, token, use_proxy=False) for url in urls]
    both = RemoteAIOrchestrator(",".join(urls), token, CHAT, EMBEDDINGS, use_proxy=False)
    await both.start()
    yield Cluster(processes, each, both)
    await both.close()
    for endpoint in each:
        await endpoint.close()
    for process in processes:
        await process.stop()


async def read(client: RemoteAIOrchestrator, request: ChatRequest) -> str:
    return "".join([chunk.text async for chunk in client.stream(request)])


async def drained(stream: AsyncIterator[ChatChunk]) -> None:
    async for _ in stream:
        continue


async def test_killed_before_the_first_token_the_other_one_answers(cluster: Cluster) -> None:
    answer = asyncio.create_task(read(cluster.both, LONG_PROMPT))
    await cluster.kill(await cluster.running())
    assert await answer
    health = await cluster.both.health()
    assert health.ready
    assert health.detail.startswith("1 of 2 ready")


async def test_killed_in_the_middle_of_a_stream_the_error_is_clear_and_the_next_is_answered(
    cluster: Cluster,
) -> None:
    stream = cluster.both.stream(STORY)
    begun = [await anext(stream) for _ in range(3)]
    assert all(chunk.text for chunk in begun)
    index = await cluster.running()
    await cluster.kill(index)
    with pytest.raises(OrchestratorUnavailableError, match=cluster.each[index].base_url):
        await drained(stream)
    assert (await cluster.both.chat(STORY.model_copy(update={"max_tokens": 4}))).text
    assert len(await cluster.both.embed(["disk full"])) == 1


async def test_a_reply_that_nobody_has_read_is_generated_again(cluster: Cluster) -> None:
    answer = asyncio.create_task(
        cluster.both.chat(STORY.model_copy(update={"max_tokens": 60, "temperature": 0.0}))
    )
    await cluster.kill(await cluster.running())
    assert (await answer).usage.completion_tokens == 60


async def test_what_our_server_knows_beyond_openai_comes_through(cluster: Cluster) -> None:
    first = await cluster.both.chat(LONG_PROMPT)
    again = await cluster.both.chat(LONG_PROMPT)
    assert first.usage.cached_tokens < 100 < again.usage.cached_tokens
    name = await cluster.both.regex(LONG_PROMPT, r"db-[0-9]{1,3}")
    assert name.startswith("db-")
    scores = await cluster.both.rerank("The disk is full.", ["A pony.", "No space on the disk."])
    assert scores[1] > scores[0]


async def test_who_waits_is_told_the_place(cluster: Cluster) -> None:
    running = cluster.both.stream(STORY)
    await anext(running)
    waiting = cluster.both.stream(STORY)  # begins alike, so it goes to the same server
    assert (await anext(waiting)).place == 1
    await running.aclose()
    assert (await anext(waiting)).text
    await waiting.aclose()


async def test_both_serve_an_adapter(cluster: Cluster, models_dir: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path / "merry", models_dir / CHAT, EVERYTHING, strength=0.3)
    await cluster.both.load_adapter("merry", "merry")
    for endpoint in cluster.each:
        (adapter,) = [model for model in await endpoint.models() if model.name == "merry"]
        assert adapter.parent == CHAT
    request = STORY.model_copy(update={"max_tokens": 8})
    plain = await cluster.both.chat(request)
    merry = await cluster.both.chat(request.model_copy(update={"model": "merry"}))
    assert merry.text != plain.text
    with pytest.raises(OrchestratorError, match="does not take the adapter 'none'"):
        await cluster.both.load_adapter("none", "none")
    await cluster.both.unload_adapter("merry")
    assert "merry" not in {model.name for model in await cluster.both.models()}
