"""Processes that start quickly: forked from one that has imported the application already.

Four fifths of what a start costs are imports. A forked process is one like any other: it has its
own memory, files and connections, and dies alone.

    python -m tests.support.nursery

reads from standard input, one JSON object a line, `environment` and `log` of processes to start,
and writes `{"started": PID}`, and later `{"ended": PID, "status": CODE}`, for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import selectors
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any


class Child:
    """A process that was started.

    Attributes:
        ended: its exit status, once it has ended; negative: the signal that killed it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class Nursery:
    """Starts `countersign run` in new processes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._one = asyncio.Lock()
        self._started: asyncio.Queue[Child] = asyncio.Queue()
        self._children: dict[int, Child] = {}

    async def start(self, environment: Mapping[str, str], log: Path) -> Child:
        """A new process that has nothing but this environment and appends to this log."""
        order = {"environment": dict(environment), "log": str(log)}
        async with self._one:
            self._writer.write(json.dumps(order).encode() + b"\n")
            return await self._started.get()

    async def listen(self) -> None:
        """Take in what the process says, until it ends."""
        async for line in self._reader:
            said = json.loads(line)
            if pid := said.get("started"):
                self._children[pid] = Child(pid)
                self._started.put_nowait(self._children[pid])
            else:
                self._children.pop(said["ended"]).ended.set_result(said["status"])


@asynccontextmanager
async def nursery(log: Path) -> AsyncIterator[Nursery]:
    """A nursery; what it has started and still runs is killed at the end."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.nursery"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=Path(__file__).parents[2],
        )
    assert process.stdin is not None
    assert process.stdout is not None
    made = Nursery(process.stdout, process.stdin)
    listening = asyncio.create_task(made.listen())
    try:
        yield made
    finally:
        process.stdin.close()
        await process.wait()
        await listening


def main() -> None:
    """Be the process that others are forked from."""
    import bot.cli
    import bot.composition

    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting = selectors.DefaultSelector()
    waiting.register(woken, selectors.EVENT_READ)
    waiting.register(sys.stdin, selectors.EVENT_READ)
    children: set[int] = set()
    while True:
        ready = [key.fileobj for key, _ in waiting.select()]
        if woken in ready:
            os.read(woken, 1024)
            for pid, status in _ended():
                children.remove(pid)
                _say(ended=pid, status=status)
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                break
            pid = _fork(json.loads(line), bot.cli.main)
            children.add(pid)
            _say(started=pid)
    for pid in children:
        os.killpg(pid, signal.SIGKILL)
        _say(ended=pid, status=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _ended() -> list[tuple[int, int]]:
    found = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, os.waitstatus_to_exitcode(status)))


def _say(**said: int) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _fork(order: dict[str, Any], run: Any) -> int:
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)  # here, too: whoever comes first
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(number, target)
        os.environ.clear()
        os.environ.update(order["environment"])
        random.seed()
        sys.argv = ["countersign", "run"]
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001  it must not go on as a second nursery
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
