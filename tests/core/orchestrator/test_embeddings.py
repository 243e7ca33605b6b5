"""Embeddings: known ones are not computed again, and short ones of several callers share a pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
import torch
from openai import AsyncOpenAI

from core.orchestrator.files import catalog
from core.orchestrator.server.engine.encoding import EncodingJob, EncodingTurns
from core.orchestrator.server.engine.jobs import Embedded, Event, Failed
from core.orchestrator.server.engine.vector_cache import Known, VectorCache, key
from core.orchestrator.server.models.embedding_model import EmbeddingModel
from tests.core.orchestrator.test_metrics import Grown, samples
from tests.support.model_server import ModelServer

MODEL = catalog.DEFAULT_EMBEDDING_MODEL
Row = list[int]


@pytest_asyncio.fixture
async def official(model_server: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=model_server.base_url, api_key=model_server.token, max_retries=0
    ) as client:
        yield client


@pytest.fixture(scope="module")
def model(models_dir: Path) -> EmbeddingModel:
    return EmbeddingModel.load(models_dir / MODEL)


async def test_what_is_known_is_not_computed_again(
    official: AsyncOpenAI, model_server: ModelServer
) -> None:
    grown = Grown(model_server, await samples(model_server))
    texts = ["cached: disk is full", "cached: pod restarts", "cached: disk is full"]
    first = await official.embeddings.create(model=MODEL, input=texts)
    assert await grown("embedding_cache_queries_total", MODEL) == 3
    assert await grown("embedding_cache_hits_total", MODEL) == 0
    mixed = ["cached: pod restarts", "cached: another", "cached: disk is full"]
    second = await official.embeddings.create(model=MODEL, input=mixed)
    assert await grown("embedding_cache_hits_total", MODEL) == 2
    assert first.data[0].embedding == first.data[2].embedding == second.data[2].embedding
    assert second.data[0].embedding == first.data[1].embedding
    again = await official.embeddings.create(model=MODEL, input=texts)
    assert await grown("embedding_cache_hits_total", MODEL) == 2 + 3
    assert again == first  # with the same usage


async def test_many_callers_at_once_get_their_own(
    official: AsyncOpenAI, model: EmbeddingModel
) -> None:
    texts = [f"caller {at} asks about service {at * 7}" for at in range(12)]
    replies = await asyncio.gather(
        *(official.embeddings.create(model=MODEL, input=text) for text in texts)
    )
    for text, reply in zip(texts, replies, strict=True):
        with torch.inference_mode():
            alone = model.forward(model.encode([text]))[0]
        assert np.allclose(reply.data[0].embedding, alone, atol=1e-5)


class Sums:
    """An encoder whose vector is the sum of the tokens; notes each pass."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.broken = False

    def forward(self, batch: Sequence[Row]) -> npt.NDArray[np.float32]:
        self.passes.append([len(row) for row in batch])
        if self.broken:
            raise RuntimeError("a kernel failed")
        return np.array([[sum(row)] for row in batch], dtype=np.float32)


def job(
    turns: EncodingTurns[Row], *sizes: int, priority: int = 0
) -> tuple[EncodingJob[Row], list[Event]]:
    events: list[Event] = []
    texts = [[size] * size for size in sizes]
    end = time.monotonic() + 600
    return EncodingJob(events.append, end, batch=turns, texts=texts, priority=priority), events


def vectors(events: list[Event]) -> list[float]:
    (event,) = events
    assert isinstance(event, Embedded)
    return [float(vector[0]) for vector in event.vectors]


def test_short_texts_of_several_callers_share_a_pass() -> None:
    sums = Sums()
    turns: EncodingTurns[Row] = EncodingTurns(sums)
    (one, told), (two, told_too) = job(turns, 3, 9), job(turns, 30)
    assert turns.step([one, two]) == [one, two]
    assert sums.passes == [[9, 3, 30]]
    assert (vectors(told), vectors(told_too)) == ([9, 81], [900])


def test_long_texts_pad_no_short_ones() -> None:
    sums = Sums()
    turns: EncodingTurns[Row] = EncodingTurns(sums)
    (long, told), (short, _), (alike, _) = job(turns, 200), job(turns, 5), job(turns, 150)
    assert turns.step([long, short, alike]) == [long, alike]
    assert turns.step([short]) == [short]
    assert sums.passes == [[200, 150], [5]]
    assert vectors(told) == [40000]


def test_a_pass_is_bounded_and_callers_have_turns() -> None:
    sums = Sums()
    turns: EncodingTurns[Row] = EncodingTurns(sums)
    many, told = job(turns, *[100] * 50)
    few, told_too = job(turns, 100)
    passes = 0
    while not told_too:
        turns.step([many, few])
        passes += 1
    assert passes == 2
    while not told:
        turns.step([many])
    assert max(max(sizes) * len(sizes) for sizes in sums.passes) <= 2048
    assert sum(len(sizes) for sizes in sums.passes) == 51


def test_the_urgent_one_goes_first_and_alone() -> None:
    sums = Sums()
    turns: EncodingTurns[Row] = EncodingTurns(sums)
    (background, _), (person, _) = job(turns, 6, priority=10), job(turns, 5)
    assert turns.step([background, person]) == [person]
    assert sums.passes == [[5]]


def test_a_pass_that_fails_is_told_to_those_in_it() -> None:
    sums = Sums()
    turns: EncodingTurns[Row] = EncodingTurns(sums)
    (one, told), (other, _) = job(turns, 200), job(turns, 5)
    sums.broken = True
    assert turns.step([one, other]) == [one]
    assert told == [Failed.in_engine()]
    sums.broken = False
    assert turns.step([other]) == [other]


def test_the_vectors_that_were_used_last_are_kept() -> None:
    def known(number: int) -> Known:
        return Known(np.full(100, number, dtype=np.float32), number)

    cache = VectorCache(limit=2000)  # two vectors of 400 bytes, with what surrounds them
    keys = [key("digest", f"text {at}") for at in range(3)]
    cache.put(keys[0], known(0))
    cache.put(keys[1], known(1))
    assert cache.get(keys[0]) is not None
    cache.put(keys[2], known(2))
    assert cache.get(keys[1]) is None
    kept = cache.get(keys[0])
    assert kept is not None
    assert (kept.tokens, float(kept.vector[0])) == (0, 0.0)
    assert cache.used <= 2000
    cache.put(keys[0], known(0))
    assert cache.used == 1600
    assert key("digest", "text 0") != key("another", "text 0")


def test_a_kept_vector_does_not_keep_its_batch() -> None:
    cache = VectorCache()
    batch = np.zeros((1000, 8), dtype=np.float32)
    cache.put(b"key", Known(batch[3], 1))
    kept = cache.get(b"key")
    assert kept is not None
    assert kept.vector.base is None
    with pytest.raises(ValueError, match="read-only"):
        kept.vector[0] = 1
