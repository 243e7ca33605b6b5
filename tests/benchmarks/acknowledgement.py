"""Acknowledging slash commands while the model generates at full load.

    python -m tests.benchmarks.acknowledgement [--commands 200] [--concurrency 8] [--json FILE]

The whole application with the real models, in a process of its own, gets slash commands from a
workspace process: in Socket Mode, and over signed HTTP. Beside it runs the peer: a bare Bolt app
that only acknowledges. Both are measured at rest and while the model generates, in turns, so that
whatever else the machine does meets both; so read the ratios before the milliseconds.

The acknowledgement is timed by the workspace, from sending to the answer. A stall is how much too
late a task in the bot's event loop runs that wants to run every 5 ms, from the first command
until the last one is worked off. The exit code is 1 where a command was not acknowledged within
Slack's three seconds, or where the model was idle although it was to be busy.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import aiohttp
from pydantic import BaseModel, ConfigDict

from core.orchestrator.files import catalog, weights
from core.starter import starter_commits, write_starter
from tests.benchmarks.loop_meter import Stall
from tests.benchmarks.measured_bot import Report
from tests.benchmarks.slack_side import Bot, Transport, bot_in_workspace, commands, some
from tests.support.models import models_cache

Model = Literal["at rest", "full load"]
Who = Literal["bare Bolt", "Countersign"]
_ROUNDS = 2
_STREAMS = 12
_TITLES: dict[Transport, str] = {"socket": "Socket Mode", "http": "signed HTTP"}


class Cell(BaseModel):
    """One bot in one situation, over all rounds. Times in milliseconds.

    Attributes:
        seconds: until the last command was worked off.
        collector_ms: the longest pause of the garbage collector.
        tokens: generated meanwhile; least_running and least_waiting are requests at the server.
    """

    model_config = ConfigDict(frozen=True)

    transport: Transport
    model: Model
    bot: Who
    sent: int
    acknowledged: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    longest_stall_ms: float
    stall_p99_ms: float
    collector_ms: float
    seconds: float
    tokens: int
    tokens_per_s: float
    least_running: int
    least_waiting: int
    stalls: tuple[Stall, ...]


class Result(BaseModel):
    """All cells, and the longest stall while the application started, in milliseconds."""

    model_config = ConfigDict(frozen=True)

    commands: int
    concurrency: int
    cells: tuple[Cell, ...]
    starting_ms: dict[Transport, float]

    def cell(self, transport: Transport, model: Model, bot: Who) -> Cell:
        """One of the cells."""
        wanted = (transport, model, bot)
        return next(c for c in self.cells if (c.transport, c.model, c.bot) == wanted)

    @property
    def complaints(self) -> list[str]:
        """What makes the result a failure, as sentences."""
        found = []
        for cell in self.cells:
            where = f"{_TITLES[cell.transport]}, {cell.model}, {cell.bot}"
            if cell.acknowledged < cell.sent:
                missing = cell.sent - cell.acknowledged
                found.append(f"{where}: {missing} commands were not acknowledged within 3 s.")
            if cell.model == "full load" and not cell.least_running:
                found.append(f"{where}: the model was not at full load.")
        return found


class _Tally:
    """What the rounds of one cell add up to."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.sent = 0
        self.bots: list[Report] = []
        self.applications: list[Report] = []

    def cell(self, transport: Transport, model: Model, bot: Who) -> Cell:
        loops = [report.loop for report in self.bots]
        loads = [report.load for report in self.applications if report.load]
        tokens = sum(load.tokens for load in loads)
        stalls = sorted((s for loop in loops for s in loop.stalls), key=lambda s: -s.milliseconds)
        return Cell(
            transport=transport,
            model=model,
            bot=bot,
            sent=self.sent,
            acknowledged=len(self.latencies),
            p50_ms=percentile(self.latencies, 0.50),
            p99_ms=percentile(self.latencies, 0.99),
            max_ms=percentile(self.latencies, 1.0),
            longest_stall_ms=max(loop.longest_stall_ms for loop in loops),
            stall_p99_ms=max(loop.stall_p99_ms for loop in loops),
            collector_ms=max(loop.collector_ms for loop in loops),
            seconds=sum(loop.seconds for loop in loops),
            tokens=tokens,
            tokens_per_s=tokens / sum(load.seconds for load in loads),
            least_running=min(load.least_running for load in loads),
            least_waiting=min(load.least_waiting for load in loads),
            stalls=tuple(stalls[:8]),
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; infinite where there is no value."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else float("inf")


async def measure(number: int, concurrency: int, explain: bool = False) -> Result:
    """Measure everything; takes some minutes."""
    models = models_cache()
    for source in catalog.CATALOG:
        await weights.pull(source, models, _say)
    cells: list[Cell] = []
    starting: dict[Transport, float] = {}
    for transport in _TITLES:
        with tempfile.TemporaryDirectory() as folder:
            found, starting[transport] = await _measure_transport(
                Path(folder), models, transport, number, concurrency, explain
            )
        cells += found
    return Result(
        commands=number, concurrency=concurrency, cells=tuple(cells), starting_ms=starting
    )


async def _measure_transport(
    folder: Path, models: Path, transport: Transport, number: int, concurrency: int, explain: bool
) -> tuple[list[Cell], float]:
    home = folder / "home"
    write_starter(home)
    (home / "models").symlink_to(models)
    typed = commands(starter_commits(home)[0][0])
    options = ("--streams", str(_STREAMS), *(("--explain",) if explain else ()))
    tallies: dict[tuple[Model, Who], _Tally] = {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        application, start = await stack.enter_async_context(
            bot_in_workspace("Countersign", folder / "application", home, transport, options)
        )
        bare, _ = await stack.enter_async_context(
            bot_in_workspace("bare Bolt", folder / "bare", None, transport, options)
        )
        bots: list[tuple[Who, Bot]] = [("bare Bolt", bare), ("Countersign", application)]
        for _, bot in bots:  # connections, caches: not measured
            await bot.send(session, some(typed, 10), concurrency)
            await bot.worked_off()
        for turn in range(_ROUNDS):
            share = number // _ROUNDS + (number % _ROUNDS if turn == 0 else 0)
            situations: list[Model] = ["at rest", "full load"]
            for model in situations:
                await application.order("generate" if model == "full load" else "rest")
                for who, bot in bots if turn % 2 == 0 else reversed(bots):
                    _say(f"{_TITLES[transport]}, {model}: {share} commands to {who} …")
                    tally = tallies.setdefault((model, who), _Tally())
                    await application.order("measure")
                    await bot.order("measure")
                    records = await bot.send(session, some(typed, share), concurrency)
                    await bot.worked_off()
                    tally.sent += share
                    tally.latencies += [
                        r["latency_ms"] for r in records if r["outcome"] == "acknowledged"
                    ]
                    tally.bots.append(await bot.order("report"))
                    tally.applications.append(await application.order("report"))
            await application.order("rest")
    cells = [tally.cell(transport, model, who) for (model, who), tally in tallies.items()]
    return cells, start.loop.longest_stall_ms


def table(result: Result) -> str:
    """The result for people."""
    lines = [
        f"{result.commands} slash commands, {result.concurrency} at a time; milliseconds",
        f"{'':34}{'acked':>9}{'p50':>9}{'p99':>9}{'max':>9}{'stall':>9}{'tokens/s':>10}",
    ]
    for transport in result.starting_ms:
        for model in ("at rest", "full load"):
            for bot in ("bare Bolt", "Countersign"):
                cell = result.cell(transport, model, bot)
                name = f"{_TITLES[transport]}, {model}, {bot}"
                lines.append(
                    f"{name:<38}{cell.acknowledged:>5}{cell.p50_ms:>9.1f}{cell.p99_ms:>9.1f}"
                    f"{cell.max_ms:>9.1f}{cell.longest_stall_ms:>9.1f}{cell.tokens_per_s:>10.1f}"
                )
            ours, peer = (result.cell(transport, model, b) for b in ("Countersign", "bare Bolt"))
            lines.append(_ratios("  Countersign / bare Bolt", ours, peer))
        loaded, rest = (result.cell(transport, m, "Countersign") for m in ("full load", "at rest"))
        lines.append(_ratios("  Countersign, full load / at rest", loaded, rest))
        lines.append(
            f"  the model meanwhile: {loaded.tokens} tokens, never fewer than "
            f"{loaded.least_running} requests decoded and {loaded.least_waiting} waiting; "
            f"longest stall of the start {result.starting_ms[transport]:.0f}"
        )
        lines += [
            f"  {cell.model}, stall of {stall.milliseconds:.0f}: " + " > ".join(stall.where[-9:])
            for cell in (rest, loaded)
            for stall in cell.stalls[:5]
        ]
    return "\n".join(lines)


def _ratios(name: str, over: Cell, under: Cell) -> str:
    pairs = [
        (over.p50_ms, under.p50_ms),
        (over.p99_ms, under.p99_ms),
        (over.max_ms, under.max_ms),
        (over.longest_stall_ms, under.longest_stall_ms),
    ]
    return f"{name:<43}" + "".join(f"{_ratio(*pair):>9}" for pair in pairs)


def _ratio(over: float, under: float) -> str:
    return f"x {over / under:.1f}" if under else "-"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def main() -> int:
    """The command; 1 where a command was not acknowledged in time."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.acknowledgement")
    parser.add_argument("--commands", type=int, default=200, help="for each line of the table")
    parser.add_argument("--concurrency", type=int, default=8, help="people typing at a time")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--explain", action="store_true", help="say where the loop stalled")
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments.commands, arguments.concurrency, arguments.explain))
    if arguments.json:
        arguments.json.write_text(result.model_dump_json(indent=2) + "\n")
    print(table(result))
    for complaint in result.complaints:
        _say(complaint)
    return 1 if result.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
