"""What guessing from the prompt saves where a reply sums runbooks up.

python -m tests.benchmarks.inference_summaries '{"model": "…", …}'
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from statistics import median

import torch

from core import starter
from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.models.chat_model import ChatModel
from tests.benchmarks.inference_jobs import Reply, load
from tests.benchmarks.inference_task import Task

_RUNBOOKS = Path(starter.__file__).parent / "config" / "runbooks"
_CHARACTERS = 3000
_SYSTEM = "You help engineers on call. Answer from the passages only."


def main(task: Task) -> dict[str, float]:
    """Tokens a second of lone replies with and without guesses; the median of the ratios."""
    torch.set_num_threads(task.threads)
    model = load(task.model, 1)
    batch = ChatBatch(model.decoder)
    plain, guessed = [], []
    for runbook in sorted(_RUNBOOKS.glob("*.md"))[: task.runbooks]:
        prompt = model.encode(
            [
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": _question(runbook)},
            ]
        )
        plain.append(_rate(model, batch, prompt, task.summary, guessing=False))
        guessed.append(_rate(model, batch, prompt, task.summary, guessing=True))
    return {
        "runbooks": float(len(plain)),
        "plain tokens/s": median(plain),
        "guessing tokens/s": median(guessed),
        "ratio": median(quick / slow for quick, slow in zip(guessed, plain, strict=True)),
    }


def _question(runbook: Path) -> str:
    passage = runbook.read_text("utf-8")[:_CHARACTERS]
    return f"Passages:\n{passage}\n\nQuestion: What should I do first?"


@torch.inference_mode()
def _rate(
    model: ChatModel, batch: ChatBatch, prompt: list[int], tokens: int, *, guessing: bool
) -> float:
    """Tokens a second after the first."""
    job = Reply(model, batch, prompt, tokens, repeatable=not guessing)
    while not job.generated:
        batch.step([job])
    first, began = job.generated, time.perf_counter()
    while not batch.step([job]):
        continue
    took = time.perf_counter() - began
    batch.step([])
    return (job.generated - first) / took


if __name__ == "__main__":
    print(json.dumps(main(Task.model_validate_json(sys.argv[1]))))
