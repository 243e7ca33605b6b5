"""What the benchmarks through the model server's own scheduler share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.engine.choice import ChoiceJob
from core.orchestrator.server.engine.jobs import ChatJob, Event, Job, Piece
from core.orchestrator.server.engine.sampling import Sampler
from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.constraint import Constraint

_DEADLINE_S = 3600.0
_GREEDY = Sampler(0.0, 1.0, None)


def load(folder: Path, slots: int) -> ChatModel:
    """The model as the server has it."""
    return ChatModel.load(folder, "int4", slots)


def question(model: ChatModel, words: int, topic: str = "the deployment") -> list[int]:
    """A prompt of about so many words, another one for each topic from its beginning on."""
    text = f"{topic}: " + "the service answers slowly and people wait " * (words // 7 + 1)
    return model.encode([{"role": "user", "content": text}])


class Reply(ChatJob):
    """A greedy reply whose text is kept."""

    def __init__(
        self,
        model: ChatModel,
        batch: ChatBatch,
        prompt: Sequence[int],
        max_tokens: int,
        constraint: Constraint | None = None,
        *,
        repeatable: bool = True,
    ) -> None:
        self.events: list[Event] = []
        super().__init__(
            self.events.append,
            time.monotonic() + _DEADLINE_S,
            model=model,
            batch=batch,
            prompt=prompt,
            sampler=_GREEDY,
            max_tokens=max_tokens,
            stops=(),
            constraint=constraint,
            repeatable=repeatable,
        )

    @property
    def text(self) -> str:
        """What was written so far."""
        return "".join(event.text for event in self.events if isinstance(event, Piece))


def choice(
    model: ChatModel,
    batch: ChatBatch,
    prompt: Sequence[int],
    labels: Mapping[str, Sequence[int]],
) -> ChoiceJob:
    """A choice of which nothing is known already."""
    return ChoiceJob(
        lambda event: None,
        time.monotonic() + _DEADLINE_S,
        model=model,
        batch=batch,
        prompt=prompt,
        labels=labels,
        sampler=_GREEDY,
        repeatable=True,
    )


@torch.inference_mode()
def run_s(batch: ChatBatch, jobs: Sequence[Job]) -> float:
    """Advance jobs to their ends; seconds."""
    left = list(jobs)
    began = time.perf_counter()
    while left:
        done = batch.step(left)
        left = [job for job in left if job not in done]
    took = time.perf_counter() - began
    batch.step([])
    return took
