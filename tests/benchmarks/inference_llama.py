"""llama.cpp's turn, through the C interface that llama-cpp-python wraps.

    python tests/benchmarks/inference_llama.py '{"model": "….gguf", …}'

It imports nothing of this repository, so that any Python that has `llama_cpp` runs it. The task is
`inference_task.Task`. All sequences are in one context and one batch, which is what llama.cpp's
server does for parallel slots.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import llama_cpp  # type: ignore[import-not-found, unused-ignore]
import numpy as np

_CONTEXT = 2048  # for each sequence
_UBATCH = 512
_FLASH_ATTENTION = 1


class Llama:
    """A model with one context for `sequences` sequences."""

    def __init__(self, path: str, threads: int, sequences: int, longest: int) -> None:
        llama_cpp.llama_backend_init()
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        sizes = llama_cpp.llama_context_default_params()
        sizes.n_ctx, sizes.n_seq_max = sequences * _CONTEXT, sequences
        sizes.n_batch, sizes.n_ubatch = max(longest, _UBATCH), _UBATCH
        sizes.n_threads = sizes.n_threads_batch = threads
        sizes.flash_attn_type = _FLASH_ATTENTION
        self._context = llama_cpp.llama_init_from_model(self._model, sizes)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(
            llama_cpp.llama_model_get_vocab(self._model)
        )
        self._batch = llama_cpp.llama_batch_init(sizes.n_batch, 0, sequences)

    def clear(self) -> None:
        """Forget all sequences."""
        llama_cpp.llama_memory_clear(self._memory, True)

    def forward(self, items: list[tuple[int, int, int, bool]]) -> None:
        """One call of `llama_decode`; an item is token, position, sequence, whether logits."""
        self._batch.n_tokens = len(items)
        for row, (token, position, sequence, wanted) in enumerate(items):
            self._batch.token[row], self._batch.pos[row] = token, position
            self._batch.n_seq_id[row], self._batch.seq_id[row][0] = 1, sequence
            self._batch.logits[row] = wanted
        if status := llama_cpp.llama_decode(self._context, self._batch):
            raise SystemExit(f"llama_decode answered {status}")

    def likeliest(self, row: int) -> int:
        """The token with the highest logit after the item at `row`."""
        logits = llama_cpp.llama_get_logits_ith(self._context, row)
        return int(np.ctypeslib.as_array(logits, (self.vocabulary,)).argmax())


def _prefill(llama: Llama, length: int, sequence: int, random: np.random.Generator) -> int:
    tokens = random.integers(0, llama.vocabulary, length).tolist()
    llama.forward([(one, at, sequence, at == length - 1) for at, one in enumerate(tokens)])
    return llama.likeliest(length - 1)


def _decode_s(llama: Llama, batch: int, start: int, new: int, random: np.random.Generator) -> float:
    llama.clear()
    tokens = [_prefill(llama, start, sequence, random) for sequence in range(batch)]
    began = time.perf_counter()
    for position in range(start, start + new):
        llama.forward([(tokens[row], position, row, True) for row in range(batch)])
        tokens = [llama.likeliest(row) for row in range(batch)]
    return time.perf_counter() - began


def _prefill_s(llama: Llama, length: int, random: np.random.Generator) -> float:
    llama.clear()
    began = time.perf_counter()
    _prefill(llama, length, 0, random)
    return time.perf_counter() - began


def main(task: dict[str, Any]) -> dict[str, float]:
    """Tokens a second by figure."""
    random = np.random.default_rng(0)
    longest = max(task["prompt"], task["start"])
    llama = Llama(task["model"], task["threads"], max(task["batches"]), longest)
    repeats = range(task["repeats"])
    figures = {}
    if "decode" in task["what"]:
        start, new = task["start"], task["new"]
        for batch in task["batches"]:
            _decode_s(llama, batch, start, new, random)
            took = statistics.median(_decode_s(llama, batch, start, new, random) for _ in repeats)
            figures[f"decode {batch}"] = batch * new / took
    if "prefill" in task["what"]:
        length = task["prompt"]
        _prefill_s(llama, length, random)
        took = statistics.median(_prefill_s(llama, length, random) for _ in repeats)
        figures[f"prefill {length}"] = length / took
    return figures


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
