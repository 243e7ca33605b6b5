"""A storm of deliveries at twice what the intake can take, and `kill -9` in the middle of storms.

    python -m tests.benchmarks.intake_storm [--seconds 60] [--kills 20] [--times 2]
                                            [--database sqlite]

First the intake's capacity is measured, by a short storm of far more than it can take. Then
deliveries are sent at `--times` that rate, whether those before were answered or not (pipelined
over 64 connections). The sender needs a processor, too: on two, the capacity that is measured so
is below what the intake takes later, which the count of deliveries held back shows.
Whatever was answered 2xx must be in the database, under its id; what was answered 429 or 503 had
a `Retry-After`. A delivery that the full connection does not take is held back: its sender knows.

The kills: each time the server is started on the same database, and killed at some moment of the
storm; then the database is compared with the answers that had arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import random
import socket
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from core.store.database import Database
from core.store.tables import deliveries
from tests.benchmarks.intake import new_database
from tests.benchmarks.intake_server import SECRET
from tests.support.postgres import running_postgres

_BODY = json.dumps({"action": "completed", "note": "x" * 1000}).encode()
_SIGNATURE = hmac.new(SECRET.encode(), _BODY, hashlib.sha256).hexdigest()
_HEAD = (
    "POST /webhooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"X-GitHub-Event: workflow_run\r\nX-Hub-Signature-256: sha256={_SIGNATURE}\r\n"
    f"Content-Length: {len(_BODY)}\r\nX-GitHub-Delivery: "
).encode()
_TAIL = b"\r\n\r\n" + _BODY
_TICK_S = 0.005
_LAST_ANSWERS_S = 60.0


@dataclass
class Answers:
    """What became of a storm.

    Attributes:
        accepted: ids that were answered 2xx.
        statuses: how many answers of each status.
        bare: answers of 429 and 503 without `Retry-After`.
        held_back: deliveries that a full connection did not take.
        unanswered: ids that were sent, and not answered when it ended.
    """

    accepted: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    bare: int = 0
    held_back: int = 0
    unanswered: set[str] = field(default_factory=set)


class _Line(asyncio.Protocol):
    """One connection; answers come in the order of the requests."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._asked: deque[str] = deque()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # Else megabytes of each connection stand in the kernel, sent and not yet read.
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.full = True
        self._answers.unanswered.update(self._asked)

    def send(self, key: str) -> None:
        assert self._transport is not None
        self._asked.append(key)
        self._transport.write(_HEAD + key.encode() + _TAIL)

    @property
    def waits(self) -> bool:
        return bool(self._asked) and not self.closed

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answered(int(head[9:12]), b"retry-after: " in head)

    def _answered(self, status: int, later: bool) -> None:
        key = self._asked.popleft()
        self._answers.statuses[status] += 1
        if 200 <= status < 300:
            self._answers.accepted.add(key)
        elif status in {429, 503} and not later:
            self._answers.bare += 1


async def storm(
    port: int, per_s: float, seconds: float, run: str, connections: int = 64
) -> Answers:
    """Send at that rate for so long, or until the server is gone; wait for the last answers."""
    answers = Answers()
    loop = asyncio.get_running_loop()
    lines = [
        (await loop.create_connection(lambda: _Line(answers), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    begun = time.monotonic()
    offered = 0
    while (passed := time.monotonic() - begun) < seconds:
        while offered < per_s * passed:
            line = lines[offered % connections]
            if line.full:
                answers.held_back += 1
            else:
                line.send(f"{run}-{offered}")
            offered += 1
        if all(line.closed for line in lines):
            break
        await asyncio.sleep(_TICK_S)
    deadline = time.monotonic() + _LAST_ANSWERS_S
    while any(line.waits for line in lines) and time.monotonic() < deadline:
        await asyncio.sleep(_TICK_S)
    for line in lines:
        line.close()
    await asyncio.sleep(0)
    return answers


@asynccontextmanager
async def served(url: str) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """The intake in a process of its own: its port, and the process, which may be killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.intake_server", "countersign", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 120)
        assert line, "the server did not start: run it by hand to see why"
        yield int(line), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def lost(url: str, accepted: set[str]) -> set[str]:
    """What was answered 2xx and is not in the database."""
    database = Database(url)
    try:
        async with database.read() as connection:
            stored = set(await connection.scalars(select(deliveries.c.key)))
    finally:
        await database.close()
    return accepted - stored


async def killed_in_storms(url: str, kills: int, per_s: float, longest_s: float) -> list[Answers]:
    """As many storms, each ended by `kill -9`; raises where an accepted delivery is lost."""
    outcomes = []
    chance = random.Random(kills)
    for number in range(kills):
        async with served(url) as (port, process):
            raging = asyncio.create_task(storm(port, per_s, 60, f"kill{number}"))
            await asyncio.sleep(chance.uniform(0.3, longest_s))
            process.kill()
            answers = await raging
        if missing := await lost(url, answers.accepted):
            raise AssertionError(f"kill {number}: {len(missing)} accepted deliveries are lost")
        outcomes.append(answers)
    return outcomes


async def _capacity(url: str) -> float:
    async with served(url) as (port, _):
        begun = time.monotonic()
        answers = await storm(port, per_s=100_000, seconds=6, run="capacity")
        return len(answers.accepted) / (time.monotonic() - begun)


async def _measure(url: str, per_s: float, seconds: int, kills: int) -> list[str]:
    lines = []
    if seconds:
        async with served(url) as (port, process):
            answers = await storm(port, per_s, seconds, "storm")
            status = Path(f"/proc/{process.pid}/status").read_text()
        missing = await lost(url, answers.accepted)
        memory = next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)
        lines.append(
            f"storm of {seconds} s at {per_s:.0f} a second: answers {dict(answers.statuses)}, "
            f"held back {answers.held_back}, unanswered {len(answers.unanswered)}, "
            f"without Retry-After {answers.bare}, accepted and lost {len(missing)}, "
            f"most memory {int(memory) // 1024} MiB"
        )
    outcomes = await killed_in_storms(url, kills, per_s, 2.0)
    accepted = sum(len(one.accepted) for one in outcomes)
    lines.append(f"{len(outcomes)} kills: {accepted} accepted, none lost")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Storms of deliveries, and kills in them.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--times", type=float, default=2)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(running_postgres(durable=True))
        url = new_database(given.database, postgres, folder / "capacity.db")
        most = asyncio.run(_capacity(url))
        print(f"{given.database}: capacity {most:.0f} a second", flush=True)
        url = new_database(given.database, postgres, folder / "storm.db")
        print("\n".join(asyncio.run(_measure(url, given.times * most, given.seconds, given.kills))))


if __name__ == "__main__":
    main()
