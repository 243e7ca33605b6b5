"""What a choice among twenty labels costs beside its prompt alone.

python -m tests.benchmarks.inference_choice '{"model": "…", …}'
"""

from __future__ import annotations

import json
import sys
from statistics import median

import torch

from core.orchestrator.server.engine.batch import ChatBatch
from tests.benchmarks.inference_jobs import Reply, choice, load, question, run_s
from tests.benchmarks.inference_task import Task

LABELS = (
    "restart-service",
    "deploy-canary",
    "deploy-release",
    "rollback-release",
    "scale-out",
    "scale-in",
    "drain-node",
    "rotate-certificate",
    "rotate-logs",
    "free-disk-space",
    "fail-over-database",
    "restore-backup",
    "create-incident",
    "close-incident",
    "page-on-call",
    "silence-alert",
    "answer-question",
    "open-ticket",
    "run-diagnosis",
    "none",
)


def main(task: Task) -> dict[str, float]:
    """Milliseconds, and the median ratio of choices beside their prompts."""
    torch.set_num_threads(task.threads)
    model = load(task.model, 1)
    batch = ChatBatch(model.decoder)
    prompt = question(model, task.choice_words)
    labels = {label: model.continuation(prompt, label) for label in LABELS}
    pairs = []
    for _ in range(task.repeats + 1):
        alone = run_s(batch, [Reply(model, batch, prompt, 1)])
        pairs.append((alone, run_s(batch, [choice(model, batch, prompt, labels)])))
    pairs = pairs[1:]
    return {
        "prompt tokens": float(len(prompt)),
        "labels": float(len(labels)),
        "prompt ms": 1000 * median(alone for alone, _ in pairs),
        "with choice ms": 1000 * median(chosen for _, chosen in pairs),
        "ratio": median(chosen / alone for alone, chosen in pairs),
    }


if __name__ == "__main__":
    print(json.dumps(main(Task.model_validate_json(sys.argv[1]))))
