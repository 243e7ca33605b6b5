"""What a peer of the inference benchmark is asked, and how its process is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

What = Literal["decode", "prefill"]
TIMED: tuple[What, ...] = ("decode", "prefill")
_LIMIT_S = 1800.0
_FIGURES = TypeAdapter(dict[str, float])


class Task(BaseModel):
    """One turn of one peer. It prints one line of JSON, `{"decode 8": tokens a second, …}`.

    Attributes:
        model: the folder of safetensors; for llama.cpp the GGUF.
        batches: how many sequences are decoded at once; `decode 8` is the sum of all eight.
        start: tokens in each sequence when decoding begins.
        new: tokens decoded in each sequence.
        prompt: tokens of the prompt whose prefill is timed.
        repeats: how often each is timed after one that is not; the figure is their median.
        text: tokens of the text whose perplexity is computed.
        choice_words: about as many has the prompt of the choice.
        mixed: requests of mixed lengths; `mixed_words` is the most words of a prompt and tokens
            of a reply.
        runbooks: that are summed up, in `summary` tokens each.
    """

    model_config = ConfigDict(frozen=True)

    model: Path
    what: tuple[What, ...] = TIMED
    threads: int = 2
    batches: tuple[int, ...] = (1, 8)
    start: int = 64
    new: int = 64
    prompt: int = 1024
    repeats: int = 3
    text: int = 2000
    choice_words: int = 240
    mixed: int = 64
    mixed_words: int = 160
    runbooks: int = 12
    summary: int = 120

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that the task asks for."""
        decode = tuple(f"decode {batch}" for batch in self.batches)
        return (decode if "decode" in self.what else ()) + (
            (f"prefill {self.prompt}",) if "prefill" in self.what else ()
        )


def run_peer(what: Sequence[str], task: Task, python: str = sys.executable) -> dict[str, float]:
    """Run a peer in a process of its own: only one has threads at a time.

    Args:
        what: `-m module`, or a file.

    Raises:
        RuntimeError: it failed; the message carries the end of its log.
    """
    threads = str(task.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, *what, task.model_dump_json()],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        env=environment,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(what)} failed: {done.stderr[-2000:]}")
    return _FIGURES.validate_python(json.loads(done.stdout.splitlines()[-1]))
