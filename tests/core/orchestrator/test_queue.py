"""Who waits is told where, and people go before background jobs: asked through the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from core.orchestrator import RemoteAIOrchestrator
from core.orchestrator.files import catalog
from tests.support.model_server import MAX_RUNNING, QUEUE_LIMIT, ModelServer, until

CHAT = catalog.DEFAULT_CHAT_MODEL
BACKGROUND = 10


@pytest_asyncio.fixture
async def official(model_server: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=model_server.base_url, api_key=model_server.token, max_retries=0
    ) as client:
        yield client


class Stream:
    """A streamed reply that is read in the background."""

    def __init__(self, official: AsyncOpenAI, tokens: int, priority: int = 0) -> None:
        self.places: list[int] = []
        self.pieces = 0
        self.task = asyncio.create_task(self._read(official, tokens, priority))

    async def _read(self, official: AsyncOpenAI, tokens: int, priority: int) -> None:
        async with await official.chat.completions.create(
            model=CHAT,
            messages=[{"role": "user", "content": "Write a very long story."}],
            max_tokens=tokens,
            stream=True,
            extra_body={
                "priority": priority,
                "stream_options": {"include_queue_place": True},
            },
        ) as chunks:
            async for chunk in chunks:
                self._note(chunk)

    def _note(self, chunk: ChatCompletionChunk) -> None:
        if chunk.choices:
            self.pieces += 1
            return
        queue = (chunk.model_extra or {})["queue"]
        self.places.append(queue["place"])

    async def leave(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def writes(self) -> bool:
        return self.pieces > 0

    async def waits(self) -> bool:
        return bool(self.places)


@contextlib.asynccontextmanager
async def held_seats(
    official: AsyncOpenAI, client: RemoteAIOrchestrator
) -> AsyncIterator[list[Stream]]:
    """Streams on all seats; those that are still here leave at the end."""
    streams = [Stream(official, 2000) for _ in range(MAX_RUNNING)]
    try:
        for stream in streams:
            await until(stream.writes)
        yield streams
    finally:
        for stream in streams:
            await stream.leave()

        async def nothing() -> bool:
            health = await client.health()
            return health.running == health.waiting == 0

        await until(nothing)


async def test_who_waits_is_told_which_place_it_has(
    official: AsyncOpenAI, client: RemoteAIOrchestrator
) -> None:
    async with held_seats(official, client) as seated:
        assert all(not stream.places for stream in seated)
        first = Stream(official, 3)
        await until(first.waits)
        second = Stream(official, 3)
        await until(second.waits)
        await seated[0].leave()
        await asyncio.gather(first.task, second.task)
    assert first.places == [1]
    assert second.places in ([2], [2, 1])  # it may be let in before it could be told
    assert first.pieces
    assert second.pieces


async def test_a_person_goes_before_a_background_job_that_came_first(
    official: AsyncOpenAI, client: RemoteAIOrchestrator
) -> None:
    async with held_seats(official, client) as seated:
        job = Stream(official, 2000, BACKGROUND)
        await until(job.waits)
        person = Stream(official, 2000)
        await until(person.waits)
        assert person.places == [1]
        await seated[0].leave()
        await until(person.writes)
        assert not job.pieces
        await person.leave()
        await until(job.writes)
        await job.leave()
    assert job.places[0] == 1
    assert set(job.places[1:]) <= {1, 2}


async def test_a_full_queue_says_how_many_wait(
    official: AsyncOpenAI, client: RemoteAIOrchestrator
) -> None:
    async with held_seats(official, client):
        waiting = []
        for _ in range(QUEUE_LIMIT):
            waiting.append(Stream(official, 3))
            await until(waiting[-1].waits)
        with pytest.raises(openai.RateLimitError, match=f"{QUEUE_LIMIT} requests wait"):
            await Stream(official, 3).task
        for stream in waiting:
            await stream.leave()


@pytest.mark.parametrize("priority", [1001, -1001, 0.5])
async def test_a_priority_has_bounds(official: AsyncOpenAI, priority: float) -> None:
    with pytest.raises(openai.BadRequestError, match="priority"):
        await official.embeddings.create(
            model=catalog.DEFAULT_EMBEDDING_MODEL, input="x", extra_body={"priority": priority}
        )


async def test_embeddings_of_the_background_are_embeddings(official: AsyncOpenAI) -> None:
    person, background = [
        (
            await official.embeddings.create(
                model=catalog.DEFAULT_EMBEDDING_MODEL,
                input="a runbook",
                extra_body={"priority": priority},
            )
        )
        .data[0]
        .embedding
        for priority in (0, BACKGROUND)
    ]
    assert person == background
