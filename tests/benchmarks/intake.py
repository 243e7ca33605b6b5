"""Durable deliveries per second, beside bare aiohttp that reads the body and answers 200.

    python -m tests.benchmarks.intake [--seconds 10] [--connections 64] [--rounds 3] [--json FILE]

A delivery of GitHub's (signed, 7 KB, each with an id of its own) is sent by `wrk`, which takes
little of a processor, over connections that stay open; each sends its next delivery when the last
was answered. Three servers take turns on one processor each: bare aiohttp, the intake on SQLite,
the intake on PostgreSQL, both of which answer when the delivery is on the disk (`synchronous=FULL`,
`fsync=on`). So whatever else the machine does meets all three: read the ratios before the rates,
and on a machine that does other things the processor time before both.
After each round the deliveries in the database are counted: all that were answered must be there.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select

from core.store.database import Database
from core.store.tables import deliveries
from tests.benchmarks.intake_server import SECRET
from tests.support.postgres import Postgres, running_postgres

Who = Literal["bare", "sqlite", "postgresql"]
WHO: tuple[Who, ...] = ("bare", "sqlite", "postgresql")

_SCRIPT = """
local thread = 0
function setup(t) t:set("id", thread); thread = thread + 1 end
function init(args)
  n = 0
  local file = io.open(args[1], "rb"); body = file:read("*all"); file:close()
  headers = {["Content-Type"] = "application/json", ["X-GitHub-Event"] = "workflow_run",
    ["User-Agent"] = "GitHub-Hookshot/044aadd", ["X-Hub-Signature-256"] = args[2]}
  run = args[3]
end
function request()
  n = n + 1
  headers["X-GitHub-Delivery"] = run .. "-" .. id .. "-" .. n
  return wrk.format("POST", nil, headers, body)
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d,' ..
    ' "refused": %d, "broken": %d}\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
"""


class Round(BaseModel):
    """One round as `wrk` saw it.

    Attributes:
        cpu_us: processor time of the server for an answer, without the database server's.
        refused: answers of 400 and more.
        broken: requests that were not answered.
        stored: deliveries in the database afterwards; for bare aiohttp 0.
    """

    model_config = ConfigDict(frozen=True)

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    refused: int
    broken: int
    cpu_us: float = 0
    stored: int = 0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.requests * 1e6 / self.duration_us


class Result(BaseModel):
    """All rounds."""

    model_config = ConfigDict(frozen=True)

    connections: int
    seconds: int
    rounds: dict[Who, list[Round]]

    def per_s(self, who: Who) -> float:
        """The median of the rounds."""
        return median(one.per_s for one in self.rounds[who])

    def cpu(self, who: Who) -> float:
        """The median of the rounds; never 0, which the coarse clock may say of a few answers."""
        return max(median(one.cpu_us for one in self.rounds[who]), 0.1)

    def ratio(self, who: Who) -> float:
        """The median over the rounds of the rate by that of bare aiohttp beside it."""
        return median(
            ours.per_s / bare.per_s
            for ours, bare in zip(self.rounds[who], self.rounds["bare"], strict=True)
        )


def measure(seconds: int, connections: int, rounds: int) -> Result:
    """Measure everything."""
    if shutil.which("wrk") is None:
        raise SystemExit("`wrk` sends the load and is not installed: apt-get install wrk")
    timed: dict[Who, list[Round]] = {who: [] for who in WHO}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(running_postgres(durable=True))
        for number in range(rounds):
            for who in WHO:
                url = new_database(who, postgres, folder / f"{number}.db")
                timed[who].append(_one(who, url, folder, seconds, connections))
    return Result(connections=connections, seconds=seconds, rounds=timed)


def new_database(who: Who, postgres: Postgres, file: Path) -> str:
    """The URL of an empty one."""
    return postgres.new_database() if who == "postgresql" else f"sqlite+aiosqlite:///{file}"


def _one(who: Who, url: str, folder: Path, seconds: int, connections: int) -> Round:
    with _served("bare" if who == "bare" else "countersign", url) as (port, process):
        _load(port, folder, 1, connections, "warming")
        before = _busy_s(process.pid)
        seen = _load(port, folder, seconds, connections, "measured")
        cpu_us = (_busy_s(process.pid) - before) * 1e6 / seen.requests
    seen = seen.model_copy(update={"cpu_us": cpu_us})
    if who == "bare":
        return seen
    stored = asyncio.run(_stored(url))
    if stored < seen.requests - seen.refused:
        raise RuntimeError(f"{seen.requests - seen.refused} were accepted, {stored} are stored")
    return seen.model_copy(update={"stored": stored})


@contextmanager
def _served(what: str, url: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.benchmarks.intake_server", what, url]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            if process.stdout is None or not (line := process.stdout.readline()):
                log.seek(0)
                raise RuntimeError(f"the server did not start: {log.read().decode()[-2000:]}")
            yield int(line), process
            if process.stdin:
                process.stdin.close()
            process.wait(30)
        finally:
            process.kill()


def _load(port: int, folder: Path, seconds: int, connections: int, run: str) -> Round:
    (folder / "send.lua").write_text(_SCRIPT)
    (folder / "body.json").write_bytes(_body())
    signature = hmac.new(SECRET.encode(), (folder / "body.json").read_bytes(), hashlib.sha256)
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{seconds}s", "--script", str(folder / "send.lua"), "--latency"]
    command += [f"http://127.0.0.1:{port}/webhooks/github", "--", str(folder / "body.json")]
    command += [f"sha256={signature.hexdigest()}", run]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return Round.model_validate_json(done.stdout.splitlines()[-1])


def _busy_s(pid: int) -> float:
    """For how long a process has used a processor (`man proc_pid_stat`, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _stored(url: str) -> int:
    database = Database(url)
    measured = deliveries.c.key.startswith("measured-")
    try:
        async with database.read() as connection:
            count = select(func.count()).select_from(deliveries).where(measured)
            return int(await connection.scalar(count) or 0)
    finally:
        await database.close()


def _body() -> bytes:
    """A `workflow_run` in the size in which GitHub sends it."""
    repository = {
        "id": 186853002,
        "full_name": "Codertocat/Hello-World",
        "html_url": "https://github.com/Codertocat/Hello-World",
        "default_branch": "main",
        **{f"{name}_url": f"https://api.github.com/repos/Codertocat/Hello-World/{name}{{/sha}}"
           for name in ("archive", "assignees", "blobs", "branches", "collaborators", "comments",
                        "commits", "compare", "contents", "contributors", "deployments",
                        "downloads", "events", "forks", "hooks", "issues", "keys", "labels",
                        "languages", "merges", "milestones", "notifications", "pulls",
                        "releases", "stargazers", "statuses", "subscribers", "tags", "teams")},
    }  # fmt: skip
    actor = {"login": "Codertocat", "id": 21031067, "type": "User", "site_admin": False}
    run = {
        "id": 289782451,
        "name": "CI",
        "head_branch": "main",
        "head_sha": "acb5820ced9479c074f688cc328bf03f341a511d",
        "run_attempt": 1,
        "event": "push",
        "status": "completed",
        "conclusion": "failure",
        "html_url": "https://github.com/Codertocat/Hello-World/actions/runs/289782451",
        "actor": actor,
        "repository": repository,
    }
    whole = {
        "action": "completed",
        "workflow_run": run,
        "repository": repository,
        "sender": actor,
    }
    return json.dumps(whole, indent=1).encode()


def report(result: Result) -> Iterator[str]:
    """What was measured, in lines."""
    yield (
        f"{len(result.rounds['bare'])} rounds of {result.seconds} s, "
        f"{result.connections} connections, bodies of {len(_body())} bytes"
    )
    columns = ("a second", "of bare", "cpu us", "of bare", "p50 ms", "p99 ms", "refused", "stored")
    yield " " * 12 + "".join(f"{column:>10}" for column in columns)
    for who in WHO:
        rounds = result.rounds[who]
        p50, p99 = (median(getattr(one, name) for one in rounds) for name in ("p50_us", "p99_us"))
        yield (
            f"{who:12}{result.per_s(who):>10.0f}{result.ratio(who):>10.2f}"
            f"{result.cpu(who):>10.0f}{result.cpu('bare') / result.cpu(who):>10.2f}"
            f"{p50 / 1000:>10.1f}{p99 / 1000:>10.1f}"
            f"{sum(one.refused + one.broken for one in rounds):>10}"
            f"{sum(one.stored for one in rounds):>10}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Durable deliveries per second.")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = measure(given.seconds, given.connections, given.rounds)
    print("\n".join(report(result)))
    if given.json:
        given.json.write_text(result.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
