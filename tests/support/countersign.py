"""The real application as a process of its own: `countersign run` in a home of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from core.starter import write_starter
from tests.support.processes import free_port
from tests.support.until import until
from tests.support.workspace import Page

ALICE, BOB, CAROL, DAVE = "U0ALICE", "U0BOB", "U0CAROL", "U0DAVE"
DEPLOYS, GENERAL, INCIDENTS = "C0DEPLOYS", "C0GENERAL", "C0INCIDENTS"


class Application:
    """One home with its process, which can be killed and started again.

    Args:
        models: folder of installed models; None runs without any, which starts faster.
    """

    def __init__(
        self, home: Path, models: Path | None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        write_starter(home)
        if models is not None:
            (home / "models").symlink_to(models)
        self.http_port, self.page_port = free_port(), free_port()
        self.log = home / "run.log"
        self.environment = {
            **os.environ,
            "COUNTERSIGN_HOME": str(home),
            "COUNTERSIGN_HTTP_PORT": str(self.http_port),
            "COUNTERSIGN_WORKSPACE_PORT": str(self.page_port),
            **({} if models else {"COUNTERSIGN_ORCHESTRATOR_URL": "http://127.0.0.1:9/v1"}),
            **(environment or {}),
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def page_url(self) -> str:
        """Address of the local workspace's page."""
        return f"http://127.0.0.1:{self.page_port}"

    @property
    def http_url(self) -> str:
        """Address of the webhooks."""
        return f"http://127.0.0.1:{self.http_port}"

    def secret(self, name: str) -> str:
        """A value of `secrets.env`."""
        lines = (self.home / "secrets.env").read_text().splitlines()
        return next(line.removeprefix(f"{name}=") for line in lines if line.startswith(f"{name}="))

    async def start(self) -> None:
        """Start the process, in a group of its own, without waiting."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "from bot.cli import main; main()",
                "run",
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    async def connected(self) -> None:
        """Wait until the bot hears the workspace."""
        async with aiohttp.ClientSession() as session:

            async def asked() -> bool:
                assert self._process is not None
                assert self._process.returncode is None, f"it ended:\n{self.tail()}"
                try:
                    async with session.get(f"{self.page_url}/dev/state") as answer:
                        return bool((await answer.json())["bot_connected"])
                except aiohttp.ClientError:
                    return False

            await until(asked, "the bot is connected", limit_s=60)

    async def ready(self) -> None:
        """Wait until the models and runbooks are there, too."""
        await until(
            lambda: "Countersign is ready" in self.log.read_text(), "it is ready", limit_s=120
        )

    async def kill(self) -> None:
        """`kill -9` the whole process group, the model server included."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
            async with asyncio.timeout(30):
                await self._process.wait()
        return self._process.returncode or 0

    async def ended(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        assert self._process is not None
        async with asyncio.timeout(60):
            return await self._process.wait()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-6000:]

    @asynccontextmanager
    async def page(self, user: str) -> AsyncIterator[Page]:
        """The page's API as one person."""
        async with aiohttp.ClientSession() as session:
            yield Page(session, self.page_url, user)


@asynccontextmanager
async def application(
    home: Path, models: Path | None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Application]:
    """A started application; stopped at the end."""
    running = Application(home, models, environment)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()
