"""What writing JSON of a schema costs a token, beside writing freely.

python -m tests.benchmarks.inference_constrained '{"model": "…", …}'

Both write as many tokens of the same prompt in the same batch, and are timed from when all prompts
are read.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import Any

import torch

from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.models.chat_model import ChatModel
from tests.benchmarks.inference_jobs import Reply, load
from tests.benchmarks.inference_task import Task

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 60},
        "severity": {"enum": ["low", "medium", "high"]},
        "summary": {"type": "string", "maxLength": 200},
        "hosts": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 4},
        "count": {"type": "integer", "minimum": 0, "maximum": 500},
    },
    "required": ["title", "severity", "summary", "hosts", "count"],
    "additionalProperties": False,
}
INCIDENT = (
    "The database db-1 of service shop is slow since 10:00; queries wait for locks, replication is "
    "40 s behind. Describe the incident as JSON."
)


def main(task: Task) -> dict[str, float]:
    """Milliseconds a token of one reply, free and constrained, by the replies at once."""
    torch.set_num_threads(task.threads)
    model = load(task.model, max(task.batches))
    figures = {}
    for rows in task.batches:
        pairs = []
        for _ in range(task.repeats + 1):
            bound, tokens = _token_s(model, rows, task.new * 4, constrained=True)
            free, _ = _token_s(model, rows, tokens, constrained=False)
            pairs.append((free, bound))
        pairs = pairs[1:]
        figures[f"free {rows} ms"] = 1000 * median(free for free, _ in pairs)
        figures[f"json {rows} ms"] = 1000 * median(bound for _, bound in pairs)
        figures[f"ratio {rows}"] = median(bound / free for free, bound in pairs)
    return figures


@torch.inference_mode()
def _token_s(model: ChatModel, rows: int, limit: int, *, constrained: bool) -> tuple[float, int]:
    """Seconds that a token of each reply took, and how many each reply has."""
    batch = ChatBatch(model.decoder)
    prompt = model.encode([{"role": "user", "content": INCIDENT}])
    jobs = [
        Reply(
            model,
            batch,
            prompt,
            limit,
            model.grammars.json_schema(SCHEMA) if constrained else None,
        )
        for _ in range(rows)
    ]
    left = list(jobs)
    while any(job.reading for job in left):
        left = _step(batch, left)
    before = sum(job.generated for job in jobs)
    began = time.perf_counter()
    while left:
        left = _step(batch, left)
    took = time.perf_counter() - began
    written = sum(job.generated for job in jobs)
    return took * rows / (written - before), written // rows


def _step(batch: ChatBatch, jobs: list[Reply]) -> list[Reply]:
    done = batch.step(jobs)
    return [job for job in jobs if job not in done]


if __name__ == "__main__":
    print(json.dumps(main(Task.model_validate_json(sys.argv[1]))))
