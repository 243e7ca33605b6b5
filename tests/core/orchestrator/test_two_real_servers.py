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

from core.orchestrator import RemoteAIOrchestrator, catalog
from core.orchestrator.child import ModelServerProcess
from core.orchestrator.endpoint import ModelEndpoint
from core.orchestrator.wire import ServerConfig
from core.services.ai import ChatChunk, ChatMessage, ChatRequest, OrchestratorUnavailableError
from tests.support.model_server import default_models, until

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
async def cluster(models_dir: Path) -> AsyncIterator[Cluster]:
    token = secrets.token_urlsafe(24)
    config = ServerConfig(
        token=SecretStr(token), models=default_models(models_dir), precision="bfloat16", threads=1
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


async def test_a_patterns_reply_the_place_and_the_cached_tokens_come_through(
    cluster: Cluster,
) -> None:
    first = await cluster.both.chat(LONG_PROMPT)
    again = await cluster.both.chat(LONG_PROMPT)
    assert first.usage.cached_tokens < 100 < again.usage.cached_tokens
    name = await cluster.both.regex(LONG_PROMPT, r"db-[0-9]{1,3}")
    assert name.startswith("db-")
