"""Several replicas of the real application on one database, and Slack's stand-in beside them.

Each replica is a process, `countersign run`; any of them can be killed and started again while the
others go on. They share a home: configuration, repositories, and whatever their actions touch.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp

from core.starter import write_starter
from tests.support.nursery import Child, Nursery, nursery
from tests.support.processes import free_port
from tests.support.until import until
from tests.support.workspace import Page

T = TypeVar("T")
_COUNTERSIGN = "from bot.cli import main; main()"
_READY = "Countersign is ready"


class ReplicaProcess:
    """One `countersign run`, again and again.

    Args:
        log: file of what it writes, all its starts one after the other.
    """

    def __init__(
        self, name: str, log: Path, environment: Mapping[str, str], nursery: Nursery
    ) -> None:
        self.name = name
        self._nursery = nursery
        self.log = log
        self.environment = dict(environment)
        self._process: Child | None = None
        self._from = 0  # where the log of this start begins

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and not self._process.ended.done()

    @property
    def pid(self) -> int | None:
        """Of its last start."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process, in a group of its own, without waiting."""
        assert not self.alive, f"{self.name} runs already"
        self.log.touch()
        self._from = self.log.stat().st_size
        self._process = await self._nursery.start(self.environment, self.log)

    async def ready(self, limit_s: float = 90.0) -> None:
        """Wait until it is up."""

        def up() -> bool:
            assert self.alive, f"{self.name} ended:\n{self.tail()}"
            return _READY in self.said()

        await until(up, f"{self.name} is ready:\n{self.tail()}", limit_s)

    async def kill(self) -> None:
        """`kill -9` the whole process group; nothing is said to anybody."""
        assert self._process is not None
        if self.alive:
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.shield(self._process.ended)

    def pause(self) -> None:
        """Stop it as a suspended machine does: it does not know."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    async def ended(self) -> int:
        """Wait until it has ended by itself, and return its exit code."""
        assert self._process is not None
        async with asyncio.timeout(30):
            return await asyncio.shield(self._process.ended)

    async def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self._process is not None
        if self.alive:
            os.kill(self._process.pid, signal.SIGTERM)
        return await self.ended()

    def said(self) -> str:
        """What it has written since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self._from)
            return log.read().decode(errors="replace")

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:]


class Cluster:
    """Replicas, their home, and the workspace.

    Attributes:
        page_url: address of the workspace.
    """

    def __init__(self, home: Path, page_url: str, replicas: Mapping[str, ReplicaProcess]) -> None:
        self.home = home
        self.page_url = page_url
        self.replicas = dict(replicas)

    async def start(self) -> None:
        """Start those that do not run, and wait until all are up."""
        for replica in self.replicas.values():
            if not replica.alive:
                await replica.start()
        await asyncio.gather(*(replica.ready() for replica in self.replicas.values()))

    async def until(
        self, check: Callable[[], Awaitable[T] | T], what: str, limit_s: float = 40.0
    ) -> T:
        """As `until`; where it fails, with what the replicas have said."""
        try:
            return await until(check, what, limit_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tails()}") from error

    @asynccontextmanager
    async def page(self, user: str) -> AsyncIterator[Page]:
        """The workspace's page as one person."""
        async with aiohttp.ClientSession() as session:
            yield Page(session, self.page_url, user)

    async def command(self, *arguments: str) -> str:
        """What `countersign …` prints, errors included; it must end well."""
        environment = next(iter(self.replicas.values())).environment
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _COUNTERSIGN, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        printed, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, printed.decode()
        return printed.decode()

    def tails(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {name}\n{r.tail()}" for name, r in self.replicas.items())


@asynccontextmanager
async def cluster(
    folder: Path,
    names: tuple[str, ...],
    database_url: str | None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Cluster]:
    """A cluster whose replicas are not started yet, so that its configuration can be changed.

    Args:
        folder: an empty one, for everything.
        names: of the replicas; on SQLite (`database_url` is None) one.
        environment: more of it, for all replicas.
    """
    home = folder / "home"
    write_starter(home)
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(_workspace(folder))
        born_in = await stack.enter_async_context(nursery(folder / "nursery.log"))
        shared = {
            **os.environ,
            "COUNTERSIGN_HOME": str(home),
            "COUNTERSIGN_ORCHESTRATOR_URL": "http://127.0.0.1:9/v1",  # no models: a quicker start
            "COUNTERSIGN_SLACK_BOT_TOKEN": slack["bot_token"],
            "COUNTERSIGN_SLACK_APP_TOKEN": slack["app_token"],
            "COUNTERSIGN_SLACK_API_URL": slack["api_url"],
            **({"COUNTERSIGN_DATABASE_URL": database_url} if database_url else {}),
            **(environment or {}),
        }
        replicas = {}
        for name in names:
            own = {"COUNTERSIGN_REPLICA": name, "COUNTERSIGN_HTTP_PORT": str(free_port())}
            replicas[name] = ReplicaProcess(name, folder / f"{name}.log", shared | own, born_in)
        yield Cluster(home, slack["base_url"], replicas)


@asynccontextmanager
async def _workspace(folder: Path) -> AsyncIterator[dict[str, str]]:
    """The workspace as a process of its own; its addresses and tokens."""
    with (folder / "workspace.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot.workspace", "--storage", str(folder / "slack.db")),
            *("--command", "/ops"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        said = json.loads(line)
        yield {**said, "base_url": said["api_url"].removesuffix("/api/")}
    finally:
        process.terminate()
        await process.wait()
