"""The turn of the model server's own decoder, with int4 weights.

python -m tests.benchmarks.inference_ours '{"model": "…", …}'
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median

import torch

from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.decoder import Decoder
from tests.benchmarks.inference_task import Task


@torch.inference_mode()
def main(task: Task) -> dict[str, float]:
    """Tokens a second by figure."""
    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    decoder = ChatModel.load(task.model, "int4", max(task.batches)).decoder
    vocabulary = len(decoder.prefill(0, [0], 0))
    figures = {}
    if "decode" in task.what:
        for batch in task.batches:
            _decode_s(decoder, vocabulary, batch, task)
            took = median(_decode_s(decoder, vocabulary, batch, task) for _ in range(task.repeats))
            figures[f"decode {batch}"] = batch * task.new / took
    if "prefill" in task.what:
        _prefill_s(decoder, vocabulary, task.prompt)
        took = median(_prefill_s(decoder, vocabulary, task.prompt) for _ in range(task.repeats))
        figures[f"prefill {task.prompt}"] = task.prompt / took
    return figures


def _decode_s(decoder: Decoder, vocabulary: int, batch: int, task: Task) -> float:
    slots = list(range(batch))
    tokens = [
        int(decoder.prefill(slot, _random(vocabulary, task.start), 0).argmax()) for slot in slots
    ]
    began = time.perf_counter()
    for position in range(task.start, task.start + task.new):
        tokens = decoder.decode(slots, tokens, [position] * batch).argmax(-1).tolist()
    return time.perf_counter() - began


def _prefill_s(decoder: Decoder, vocabulary: int, length: int) -> float:
    prompt = _random(vocabulary, length)
    began = time.perf_counter()
    decoder.prefill(0, prompt, 0)
    return time.perf_counter() - began


def _random(vocabulary: int, length: int) -> list[int]:
    tokens: list[int] = torch.randint(0, vocabulary, (length,)).tolist()
    return tokens


if __name__ == "__main__":
    print(json.dumps(main(Task.model_validate_json(sys.argv[1]))))
