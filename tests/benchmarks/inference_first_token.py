"""Time to the first token through a real model server, with and without a cached system prompt.

The client is the `openai` library, the replies are streamed. A fresh system prompt is one that
the server never saw; a cached one is the same again before another question. Both are equally
long.
"""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ConfigDict, SecretStr
from tokenizers import Tokenizer

from core.orchestrator.wire import ServedModel, ServerConfig, ServerReady

_WORDS = (
    "alert answer approve build check cluster countersign deploy disk error graph host incident"
    " key log memory network node operator pager policy queue region release replica restart"
    " rollback secret service storage team token traffic upgrade volume window workflow"
)


class FirstToken(BaseModel):
    """Medians, in milliseconds, and the median over the rounds of cached by fresh."""

    model_config = ConfigDict(frozen=True)

    prefix: int
    fresh_ms: float
    cached_ms: float
    ratio: float


def measure_first_token(model: Path, threads: int, prefix: int, rounds: int) -> FirstToken:
    """Ask `rounds` pairs of questions, each pair with a system prompt of its own."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    shuffler = random.Random(0)
    fresh, cached = [], []
    with _server(model, threads) as client:
        _ask_s(client, model.name, _system(tokenizer, shuffler, prefix), "Are you there?")
        for number in range(rounds):
            system = _system(tokenizer, shuffler, prefix)
            fresh.append(_ask_s(client, model.name, system, f"What is alert {number}?"))
            cached.append(_ask_s(client, model.name, system, f"Who has the pager {number}?"))
    return FirstToken(
        prefix=prefix,
        fresh_ms=median(fresh) * 1000,
        cached_ms=median(cached) * 1000,
        ratio=median(again / first for again, first in zip(cached, fresh, strict=True)),
    )


def _system(tokenizer: Tokenizer, shuffler: random.Random, length: int) -> str:
    """A text of `length` tokens, another each time from its first words."""
    text = " ".join(shuffler.choices(_WORDS.split(), k=length))
    return str(tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids[:length]))


def _ask_s(client: OpenAI, model: str, system: str, question: str) -> float:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
    ]
    began = time.perf_counter()
    stream = client.chat.completions.create(
        model=model, messages=messages, max_tokens=4, temperature=0, stream=True
    )
    took = None
    for chunk in stream:  # to its end, so that the next question finds the server idle
        if took is None and (chunk.choices[0].delta.content or chunk.choices[0].finish_reason):
            took = time.perf_counter() - began
    if took is None:
        raise RuntimeError("the model server's reply had no token")
    return took


@contextmanager
def _server(model: Path, threads: int) -> Iterator[OpenAI]:
    token = secrets.token_urlsafe(24)
    served = ServedModel(folder=model, kind="chat", resident=True)
    config = ServerConfig(token=SecretStr(token), models=(served,), threads=threads, niceness=0)
    with subprocess.Popen(
        [sys.executable, "-m", "core.orchestrator.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the model server has no pipes")
            process.stdin.write(config.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            ready = ServerReady.model_validate_json(process.stdout.readline())
            if ready.base_url is None:
                raise RuntimeError(f"the model server did not start: {ready.error}")
            with OpenAI(base_url=ready.base_url, api_key=token, max_retries=0) as client:
                yield client
        finally:
            process.kill()
