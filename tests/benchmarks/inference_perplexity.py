"""Perplexity of the decoder by precision on this repository's documentation.

    python -m tests.benchmarks.inference_perplexity '{"model": "…", …}'

The text is cut into rows that are decoded side by side, each token given, so that every
prediction comes from the weights that decoding uses: prefill may use others.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer

from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.decoder import Decoder, Precision
from tests.benchmarks.inference_task import Task

_DOCS = Path(__file__).parents[2] / "docs"
_PRECISIONS: tuple[Precision, ...] = ("bfloat16", "int8", "int4")
_ROWS = 4  # few enough that the packed weights are used


@torch.inference_mode()
def main(task: Task) -> dict[str, float]:
    """Perplexity by precision, bfloat16 first."""
    torch.set_num_threads(task.threads)
    tokens = _text(task.model, task.text // _ROWS * _ROWS)
    return {
        precision: perplexity(ChatModel.load(task.model, precision, _ROWS).decoder, tokens, _ROWS)
        for precision in _PRECISIONS
    }


def perplexity(decoder: Decoder, tokens: list[int], rows: int) -> float:
    """Of all tokens but the first of each row; `tokens` is a multiple of `rows` long."""
    text = torch.tensor(tokens).view(rows, -1)
    slots = list(range(rows))
    loss = torch.zeros((), dtype=torch.float64)
    for position in range(text.shape[1] - 1):
        logits = decoder.decode(slots, text[:, position].tolist(), [position] * rows)
        loss += torch.nn.functional.cross_entropy(
            logits.double(), text[:, position + 1], reduction="sum"
        )
    return float((loss / (rows * (text.shape[1] - 1))).exp())


def _text(model: Path, length: int) -> list[int]:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokens: list[int] = []
    for file in sorted(_DOCS.glob("*.md")):
        tokens += tokenizer.encode(file.read_text(), add_special_tokens=False).ids
        if len(tokens) >= length:
            break
    return tokens[:length]


if __name__ == "__main__":
    print(json.dumps(main(Task.model_validate_json(sys.argv[1]))))
