"""Small workflows per second, beside bare DBOS workflows of the same steps.

    python -m tests.benchmarks.throughput [--workflows 300] [--steps 3] [--at-once 32]
                                          [--rounds 2] [--replicas 1,2,3] [--json FILE]

Countersign's runs are whole: planned, saved, begun, each step noted before and after, every
change in the hash-chained audit log. They only read, so that nobody must sign. The bare workflows
call `DBOS.run_step_async` as often. Neither's steps do anything. Both are measured in turns, in
processes of their own, so that whatever else the machine does meets both: read the ratios before
the rates. On PostgreSQL also with several replicas, each with its share of the workflows.

`busy` is the time for which the processes of Countersign or of the bare workflows used a
processor, without the database server's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict

from tests.support.postgres import Postgres, running_postgres

Who = Literal["dbos", "countersign"]
_START_S = 120.0


class Cell(BaseModel):
    """One kind of workflow on one database with some replicas: the median of the rounds.

    Attributes:
        per_s: workflows per second.
        busy_ms: processor time of a workflow.
    """

    model_config = ConfigDict(frozen=True)

    database: str
    who: Who
    replicas: int
    per_s: float
    busy_ms: float


class Result(BaseModel):
    """All cells."""

    model_config = ConfigDict(frozen=True)

    workflows: int
    steps: int
    at_once: int
    cells: tuple[Cell, ...]

    def cell(self, database: str, who: Who, replicas: int) -> Cell:
        """The one of these."""
        return next(
            cell
            for cell in self.cells
            if (cell.database, cell.who, cell.replicas) == (database, who, replicas)
        )

    def ratio(self, database: str, replicas: int) -> float:
        """How many times as long Countersign takes as bare DBOS."""
        bare, ours = (self.cell(database, who, replicas) for who in ("dbos", "countersign"))
        return bare.per_s / ours.per_s


def measure(
    workflows: int, steps: int, at_once: int, rounds: int, replicas: Sequence[int]
) -> Result:
    """Measure everything."""
    cells = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(running_postgres())
        for database, count in [("sqlite", 1), *(("postgresql", count) for count in replicas)]:
            timed: dict[Who, list[tuple[float, float]]] = {"dbos": [], "countersign": []}
            for number in range(rounds):
                for who, times in timed.items():
                    url = _new(database, postgres, folder / f"{who}-{number}.db")
                    times.append(_one(who, url, count, workflows, steps, at_once))
            for who, times in timed.items():
                cells.append(
                    Cell(
                        database=database,
                        who=who,
                        replicas=count,
                        per_s=workflows / median(wall for wall, _ in times),
                        busy_ms=median(busy for _, busy in times) * 1000 / workflows,
                    )
                )
    return Result(workflows=workflows, steps=steps, at_once=at_once, cells=tuple(cells))


def _new(database: str, postgres: Postgres, file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}" if database == "sqlite" else postgres.new_database()


def _one(
    who: Who, url: str, replicas: int, workflows: int, steps: int, at_once: int
) -> tuple[float, float]:
    """Seconds until the last replica is done, and processor seconds of all of them."""
    shares = [workflows // replicas + (n < workflows % replicas) for n in range(replicas)]
    with ExitStack() as stack:
        workers = []
        for number, share in enumerate(shares):
            command = [sys.executable, "-m", "tests.benchmarks.throughput_worker", who, url]
            command += [f"replica{number}", str(share), str(steps), str(at_once)]
            worker = stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            stack.callback(worker.kill)
            workers.append(worker)
            _expect(worker.stdout, "ready")  # one after the other: they make the same tables
        for worker in workers:
            _pipe(worker.stdin).write("go\n")
            _pipe(worker.stdin).flush()
        times = [_expect(worker.stdout).split() for worker in workers]
        for worker in workers:
            worker.wait(_START_S)
    return max(float(wall) for wall, _ in times), sum(float(busy) for _, busy in times)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("the worker has no pipe")
    return pipe


def _expect(pipe: IO[str] | None, word: str | None = None) -> str:
    line = _pipe(pipe).readline().strip()
    if not line or (word is not None and line != word):
        raise RuntimeError(f"the worker said {line!r}; run it by hand to see why")
    return line


def report(result: Result) -> Iterator[str]:
    """What was measured, in lines."""
    yield f"{result.workflows} workflows of {result.steps} steps, {result.at_once} at once"
    yield f"{'':24}{'bare DBOS':>20}{'Countersign':>20}{'ratio':>8}{'busy':>8}"
    for cell in result.cells:
        if cell.who == "countersign":
            continue
        ours = result.cell(cell.database, "countersign", cell.replicas)
        many = f", {cell.replicas} replicas" if cell.replicas > 1 else ""
        yield (
            f"{cell.database + many:24}{cell.per_s:>15.1f} /s  {ours.per_s:>15.1f} /s  "
            f"{result.ratio(cell.database, cell.replicas):>8.2f}{ours.busy_ms / cell.busy_ms:>8.2f}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Small workflows per second.")
    parser.add_argument("--workflows", type=int, default=300)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--replicas", default="1,2,3")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    replicas = [int(count) for count in given.replicas.split(",")]
    result = measure(given.workflows, given.steps, given.at_once, given.rounds, replicas)
    print("\n".join(report(result)))
    if given.json:
        given.json.write_text(result.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
