"""Requests of mixed lengths through the engine, beside the same tokens in ideally full batches.

python -m tests.benchmarks.inference_mixed '{"model": "…", …}'

The optimum is what this machine needs for the prompts, each read in one pass, and for as many
tokens of replies when all seats are taken all the time, at positions as different as the replies'.
Seconds are the processors', which whatever else the machine does changes least.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Sequence

import torch

from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.engine.engine import Engine
from core.orchestrator.server.engine.jobs import Event, Failed, Finished
from core.orchestrator.server.models.chat_model import ChatModel
from tests.benchmarks.inference_jobs import Reply, load, question
from tests.benchmarks.inference_task import Task

_STEPS = 40  # of decoding, timed for the optimum


class Countdown:
    """Is over when all jobs have ended. Told in one thread only."""

    def __init__(self, jobs: Sequence[Reply]) -> None:
        self._left = len(jobs)
        self.over = threading.Event()
        for job in jobs:
            job.emit = self._emit

    def _emit(self, event: Event) -> None:
        if isinstance(event, Failed):
            raise TypeError(event.message)  # ends the engine, and so the benchmark
        if isinstance(event, Finished):
            self._left -= 1
            if self._left == 0:
                self.over.set()


def main(task: Task) -> dict[str, float]:
    """Seconds, the optimum's, and throughput as a part of the optimum's."""
    torch.set_num_threads(task.threads)
    seats = max(task.batches)
    model = load(task.model, seats)
    draw = random.Random(5)
    prompts = [
        question(model, draw.randint(10, task.mixed_words), f"case {draw.random()}")
        for _ in range(task.mixed)
    ]
    limits = [draw.randint(4, task.mixed_words) for _ in prompts]
    _optimum_s(model, seats, prompts[:1], limits[:1])
    took, written = _engine_s(model, seats, prompts, limits)
    optimum = _optimum_s(model, seats, prompts, written)
    return {
        "requests": float(task.mixed),
        "tokens read": float(sum(len(prompt) for prompt in prompts)),
        "tokens written": float(sum(written)),
        "seconds": took,
        "optimum s": optimum,
        "ratio": optimum / took,
    }


def _engine_s(
    model: ChatModel, seats: int, prompts: Sequence[Sequence[int]], limits: Sequence[int]
) -> tuple[float, list[int]]:
    """Processor seconds until all replies have ended, and how many tokens each has."""
    batch = ChatBatch(model.decoder)
    jobs = [
        Reply(model, batch, prompt, limit) for prompt, limit in zip(prompts, limits, strict=True)
    ]
    countdown = Countdown(jobs)
    engine = Engine(len(jobs), seats, countdown.over.set)
    for job in jobs:
        engine.submit(job, "chat")
    began = time.process_time()
    engine.start()
    countdown.over.wait()
    took = time.process_time() - began
    engine.stop(60)
    return took, [job.generated for job in jobs]


@torch.inference_mode()
def _optimum_s(
    model: ChatModel, seats: int, prompts: Sequence[Sequence[int]], written: Sequence[int]
) -> float:
    decoder = model.decoder
    began = time.process_time()
    for prompt in prompts:
        decoder.prefill(0, prompt, 0)
    read_s = time.process_time() - began
    middles = sorted(
        len(prompt) + tokens // 2 for prompt, tokens in zip(prompts, written, strict=True)
    )
    positions = [middles[len(middles) * (2 * seat + 1) // (2 * seats)] for seat in range(seats)]
    for slot, position in enumerate(positions):
        decoder.prefill(slot, [1] * position, 0)
    began = time.process_time()
    for step in range(_STEPS):
        decoder.decode(list(range(seats)), [1] * seats, [at + step for at in positions])
    return read_s + (time.process_time() - began) / _STEPS * sum(written) / seats


if __name__ == "__main__":
    print(json.dumps(main(Task.model_validate_json(sys.argv[1]))))
