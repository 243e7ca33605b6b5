"""Slack's side: workspaces and bots as processes, and the commands that people type."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

import aiohttp

from bot.transport import PATH
from tests.benchmarks.measured_bot import Report
from tests.support.countersign import ALICE, BOB, DEPLOYS, GENERAL
from tests.support.processes import free_port
from tests.support.until import until

Transport = Literal["socket", "http"]
_COMMAND = "/ops"
_START_S = 120.0
_WORK_S = 300.0


def commands(commit: str) -> Iterator[tuple[str, str, str]]:
    """What people type, for ever: (user, channel, text). A fifth of it asks for runs."""
    texts = (
        "help",
        "runs",
        f"run revert-commit commit={commit} reason=measuring",
        "workflows",
        "status",
        "help run",
        "schedules",
        f"run revert-commit commit={commit}",
        "assistants",
        "models",
    )
    for text in cycle(texts):
        for_runs = text.startswith("run ")
        yield (BOB, DEPLOYS, text) if for_runs else (ALICE, GENERAL, text)


class Bot:
    """A measured bot with a workspace of its own.

    Args:
        home: of the application; None for the bare Bolt app.
    """

    def __init__(self, name: str, home: Path | None, workspace: str) -> None:
        self.name = name
        self._home = home
        self._workspace = workspace
        self._orders: asyncio.StreamWriter | None = None
        self._answers: asyncio.StreamReader | None = None
        self._log: Path | None = None

    @asynccontextmanager
    async def running(
        self, environment: dict[str, str], log: Path, options: Sequence[str]
    ) -> AsyncIterator[Report]:
        """The bot's process, from when it is ready; gives the figures of its start."""
        self._log = log
        which = "application" if self._home else "bare"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.benchmarks.measured_bot", which, *options),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                limit=2**22,
            )
        self._orders, self._answers = process.stdin, process.stdout
        try:
            yield await self._answer()
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(30):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def order(self, order: str) -> Report:
        """Send an order and read the figures."""
        assert self._orders is not None
        self._orders.write(order.encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> Report:
        assert self._answers is not None
        async with asyncio.timeout(_START_S):
            line = await self._answers.readline()
        if not line:
            assert self._log is not None
            raise RuntimeError(f"{self.name} ended:\n{self._log.read_text()[-4000:]}")
        return Report.model_validate_json(line)

    async def send(
        self,
        session: aiohttp.ClientSession,
        typed: Iterator[tuple[str, str, str]],
        concurrency: int,
    ) -> list[dict[str, Any]]:
        """Let people type, `concurrency` of them at a time; return the workspace's records."""
        before = await self._deliveries(session, 0)
        after = before[-1]["number"] if before else 0

        async def person() -> None:
            for user, channel, text in typed:
                body = {"user": user, "channel": channel, "text": f"{_COMMAND} {text}"}
                async with session.post(f"{self._workspace}/page/command", json=body) as answer:
                    answer.raise_for_status()

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(person())
        return await self._deliveries(session, after)

    async def _deliveries(self, session: aiohttp.ClientSession, after: int) -> list[dict[str, Any]]:
        url = f"{self._workspace}/dev/deliveries"
        async with session.get(url, params={"what": "command", "after": after}) as answer:
            found: list[dict[str, Any]] = (await answer.json())["deliveries"]
            return found

    async def worked_off(self) -> None:
        """Wait until nothing that was acknowledged is still to be done.

        Raises:
            RuntimeError: something could not be done.
        """
        if self._home is None:
            return
        database = self._home / "data" / "countersign.db"

        def open_and_failed() -> tuple[int, int]:
            query = "SELECT sum(state IN ('received', 'working')), sum(state = 'failed') "
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                still, failed = connection.execute(query + "FROM deliveries").fetchone()
            return still or 0, failed or 0

        await until(lambda: open_and_failed()[0] == 0, "all commands are worked off", _WORK_S)
        if failed := open_and_failed()[1]:
            raise RuntimeError(f"{failed} commands could not be carried out")


@asynccontextmanager
async def workspace(folder: Path, request_url: str | None) -> AsyncIterator[dict[str, str]]:
    """A workspace process; gives what it says of itself."""
    over = ("--request-url", request_url) if request_url else ()
    with (folder / "workspace.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot.workspace", "--storage", str(folder / "workspace.db")),
            *("--command", _COMMAND, *over),
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    try:
        yield json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def bot_in_workspace(
    name: str, folder: Path, home: Path | None, transport: Transport, options: Sequence[str]
) -> AsyncIterator[tuple[Bot, Report]]:
    """A bot beside a workspace, both started, with the figures of the bot's start.

    Args:
        folder: for logs and the workspace's database; made here.
        home: of the application; None for the bare Bolt app.
        options: of `measured_bot`.
    """
    folder.mkdir()
    port = free_port()
    request_url = f"http://127.0.0.1:{port}{PATH}" if transport == "http" else None
    async with workspace(folder, request_url) as slack:
        over_http = transport == "http"
        environment = {
            **os.environ,
            "COUNTERSIGN_HOME": str(home or folder),
            "COUNTERSIGN_HTTP_PORT": str(port),
            "COUNTERSIGN_COMMAND": _COMMAND,
            "COUNTERSIGN_SLACK_API_URL": slack["api_url"],
            "COUNTERSIGN_SLACK_BOT_TOKEN": slack["bot_token"],
            **(
                {"COUNTERSIGN_SLACK_SIGNING_SECRET": slack["signing_secret"]}
                if over_http
                else {"COUNTERSIGN_SLACK_APP_TOKEN": slack["app_token"]}
            ),
        }
        bot = Bot(name, home, slack["base_url"])
        async with bot.running(environment, folder / "bot.log", options) as start:
            yield bot, start


def some(typed: Iterator[tuple[str, str, str]], number: int) -> Iterator[tuple[str, str, str]]:
    """The next `number` commands, to be shared by the people who type."""
    return islice(typed, number)
