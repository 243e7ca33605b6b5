"""Many requests of mixed lengths through the engine: all end, in a sane order, in full batches."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.engine.engine import Engine
from core.orchestrator.server.engine.jobs import ChatJob, Event, Finished
from core.orchestrator.server.engine.sampling import Sampler
from core.orchestrator.server.models.decoder import Decoder

SEATS = 8
REQUESTS = 64
VOCABULARY = 100
END = 99
MODEL: Any = SimpleNamespace(
    ends={END}, context_length=4096, decode=lambda tokens: "x" * len(tokens)
)


class Toy(Decoder):
    """Always the same logits; notes which prompts begin, and how many replies each step has."""

    def __init__(self) -> None:
        super().__init__(SEATS, 4096, "nothing", reuses=False)
        self.begun: list[int] = []
        self.rows: list[int] = []

    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> torch.Tensor:
        if start == 0:
            self.begun.append(tokens[0])
        return torch.zeros(VOCABULARY)

    def decode(
        self, slots: Sequence[int], tokens: Sequence[int], positions: Sequence[int]
    ) -> torch.Tensor:
        assert len(set(slots)) == len(slots)
        self.rows.append(len(slots))
        return torch.zeros(len(slots), VOCABULARY)

    def score(
        self, slot: int, tokens: Sequence[int], parents: Sequence[int], start: int
    ) -> torch.Tensor:
        raise NotImplementedError

    def copy(self, source: int, target: int, length: int) -> None:
        raise NotImplementedError


class Request(ChatJob):
    """A reply of a certain length to a prompt that begins with the request's number."""

    def __init__(self, batch: ChatBatch, number: int, words: int, limit: int, priority: int):
        self.events: list[Event] = []
        self.limit = limit
        self.over = threading.Event()
        super().__init__(
            self._note,
            time.monotonic() + 600,
            model=MODEL,
            batch=batch,
            prompt=[number] + [1] * words,
            sampler=Sampler(0.0, 1.0, None),
            max_tokens=limit,
            stops=(),
            constraint=None,
            priority=priority,
        )

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Finished):
            self.over.set()


def test_sixty_four_requests_end_people_first_and_as_they_came() -> None:
    draw = random.Random(64)
    decoder = Toy()
    batch = ChatBatch(decoder)
    engine = Engine(REQUESTS, SEATS, lambda: None)
    requests = [
        Request(
            batch,
            number,
            draw.choice([3, 30, 300, 1200]),
            draw.randint(1, 60),
            priority=10 if number >= REQUESTS // 2 else 0,
        )
        for number in range(REQUESTS)
    ]
    for request in requests:
        engine.submit(request, "chat")
    engine.start()
    assert all(request.over.wait(60) for request in requests)
    assert engine.stop(30)
    assert decoder.begun == list(range(REQUESTS))
    for request in requests:
        last = request.events[-1]
        assert isinstance(last, Finished)
        assert last.completion_tokens == request.limit
    # What is lost to a batch that is not full: at the start, at the end, and nowhere else.
    full = [rows for rows in decoder.rows if rows >= SEATS - 2]
    assert sum(full) > 0.8 * sum(decoder.rows)


def test_a_seat_that_becomes_free_is_full_again_in_the_next_step() -> None:
    decoder = Toy()
    batch = ChatBatch(decoder)
    jobs: list[Request] = [Request(batch, number, 3, 5 + number, 0) for number in range(SEATS)]
    done: list[Any] = []
    while not done:
        done = batch.step(jobs)
    assert done == jobs[:1]
    batch.step([*jobs[1:], Request(batch, SEATS, 3, 5, 0)])
    assert decoder.begun == list(range(SEATS + 1))
    assert set(decoder.rows) == {SEATS}
