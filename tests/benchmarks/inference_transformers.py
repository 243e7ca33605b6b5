"""The turn of transformers' `generate`, in bfloat16, greedy.

    python -m tests.benchmarks.inference_transformers '{"model": "…", …}'

Decoding alone is timed: what `generate` takes for all new tokens, less what it takes for one.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from tests.benchmarks.inference_task import Task


def main(task: Task) -> dict[str, float]:
    """Tokens a second by figure."""
    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(task.model), dtype=torch.bfloat16, local_files_only=True, use_safetensors=True
    )
    model.eval()
    figures = {}
    if "decode" in task.what:
        for batch in task.batches:
            _decode_s(model, batch, task)
            took = median(_decode_s(model, batch, task) for _ in range(task.repeats))
            figures[f"decode {batch}"] = batch * (task.new - 1) / took
    if "prefill" in task.what:
        _prefill_s(model, task.prompt)
        took = median(_prefill_s(model, task.prompt) for _ in range(task.repeats))
        figures[f"prefill {task.prompt}"] = task.prompt / took
    return figures


def _decode_s(model: Any, batch: int, task: Task) -> float:
    prompt = torch.randint(0, model.config.vocab_size, (batch, task.start))
    return _generate_s(model, prompt, task.new) - _generate_s(model, prompt, 1)


def _generate_s(model: Any, prompt: torch.Tensor, new: int) -> float:
    began = time.perf_counter()
    out = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        min_new_tokens=new,
        max_new_tokens=new,
        pad_token_id=0,
    )
    took = time.perf_counter() - began
    if out.shape[1] != prompt.shape[1] + new:
        raise RuntimeError(f"generate made {out.shape[1] - prompt.shape[1]} tokens, not {new}")
    return took


def _prefill_s(model: Any, length: int) -> float:
    prompt = torch.randint(0, model.config.vocab_size, (1, length))
    began = time.perf_counter()
    with torch.inference_mode():
        model(input_ids=prompt, use_cache=True, logits_to_keep=1)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(main(Task.model_validate_json(sys.argv[1]))))
