"""Slack as another process that calls us over signed HTTP: the bot cannot tell the difference."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot import names
from tests.support.countersign import ALICE, BOB, DEPLOYS, application
from tests.support.processes import free_port
from tests.support.until import until


@asynccontextmanager
async def slack(folder: Path, request_url: str, port: int) -> AsyncIterator[dict[str, Any]]:
    """The workspace as a process of its own; what it says of itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.workspace", "--storage", str(folder / "slack.db")),
        *("--port", str(port), "--request-url", request_url, "--command", "/ops"),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    finally:
        process.terminate()
        await process.wait()


async def test_a_run_is_asked_for_and_countersigned_over_signed_http(tmp_path: Path) -> None:
    http_port, page_port = free_port(), free_port()
    request_url = f"http://127.0.0.1:{http_port}/slack/events"
    async with slack(tmp_path, request_url, page_port) as workspace:
        environment = {
            "COUNTERSIGN_HTTP_PORT": str(http_port),
            "COUNTERSIGN_SLACK_BOT_TOKEN": workspace["bot_token"],
            "COUNTERSIGN_SLACK_SIGNING_SECRET": workspace["signing_secret"],
            "COUNTERSIGN_SLACK_API_URL": workspace["api_url"],
        }
        async with application(tmp_path / "home", None, environment) as app:
            app.page_port = page_port
            await until(lambda: "Countersign is ready" in app.log.read_text(), "it is up", 60)
            shop = app.home / "repositories" / "shop"

            def git(*arguments: str) -> str:
                command = ["git", "-C", str(shop), *arguments]
                return subprocess.run(command, check=True, capture_output=True, text=True).stdout

            commit = git("rev-parse", "HEAD").strip()
            async with app.page(ALICE) as alice, app.page(BOB) as bob:
                answer = await alice.command(DEPLOYS, f"/ops run revert-commit commit={commit}")
                assert answer["ok"], answer

                async def card() -> dict[str, Any] | None:
                    messages = await alice.messages(DEPLOYS)
                    return next((m for m in messages if "Revert a commit" in m["text"]), None)

                shown = await until(card, "the card")
                assert shown is not None
                await bob.press(shown, names.APPROVE)
                await until(
                    lambda: f"This reverts commit {commit}" in git("log", "-1"), "the effect"
                )
