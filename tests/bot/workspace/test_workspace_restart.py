"""What survives: the process is killed, the next one on the same file goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.workspace.errors import StorageError, WorkspaceError
from bot.workspace.ids import TsSource
from bot.workspace.seed import WorkspaceSeed, default_seed
from bot.workspace.server import WorkspaceServer
from tests.support.workspace import Page, running_workspace, until, web_client

GENERAL = "C0GENERAL"
ROOT = Path(__file__).parents[3]


class Process:
    """The workspace as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: dict[str, str]) -> None:
        self.process = process
        self.addresses = addresses

    def client(self) -> AsyncWebClient:
        return AsyncWebClient(token=self.addresses["bot_token"], base_url=self.addresses["api_url"])

    async def dev(self, session: aiohttp.ClientSession, path: str, **query: str) -> Any:
        url = f"{self.addresses['base_url']}/dev/{path}"
        async with session.get(url, params=query) as answer:
            return await answer.json()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def process(storage: Path) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot.workspace",
        "--storage",
        str(storage),
        "--command",
        "/ops",
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        line = await asyncio.wait_for(child.stdout.readline(), 20)
        yield Process(child, json.loads(line))
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(child.wait(), 10) == 0


async def test_everything_survives_a_kill(tmp_path: Path) -> None:
    storage = tmp_path / "workspace.db"
    metadata = {"event_type": "run", "event_payload": {"id": "7"}}
    home = {"type": "home", "blocks": [{"type": "divider"}]}
    async with aiohttp.ClientSession() as session:
        async with process(storage) as first:
            client = first.client()
            made = (await client.conversations_create(name="inc-7"))["channel"]["id"]
            parent = await client.chat_postMessage(channel=GENERAL, text="p", metadata=metadata)
            thread = {"channel": GENERAL, "thread_ts": parent["ts"]}
            await client.chat_postMessage(text="reply", **thread)
            await client.chat_postEphemeral(channel=GENERAL, user="U0BOB", text="psst")
            await client.reactions_add(channel=GENERAL, timestamp=parent["ts"], name="eyes")
            await client.files_upload_v2(channel=made, content="hello", filename="a.txt")
            await client.views_publish(user_id="U0BOB", view=home)
            whom = {"recipient_team_id": "T0ACME", "recipient_user_id": "U0BOB"}
            stream = await client.chat_startStream(**thread, **whom, markdown_text="half ")
            page = Page(session, first.addresses["base_url"], "U0BOB")
            direct = (await page.get("state"))["channels"][-1]["id"]
            await page.say(direct, "are you there?")
            before = await first.dev(session, "state")
            messages = [
                await first.dev(session, "messages", channel=channel)
                for channel in (GENERAL, made, direct)
            ]
            await first.kill()
        async with process(storage) as second:
            assert second.addresses["bot_token"] == first.addresses["bot_token"]
            assert await second.dev(session, "state") == before
            assert messages == [
                await second.dev(session, "messages", channel=channel)
                for channel in (GENERAL, made, direct)
            ]
            client = second.client()
            await client.chat_appendStream(channel=GENERAL, ts=stream["ts"], markdown_text="whole")
            replies = await client.conversations_replies(
                channel=GENERAL, ts=parent["ts"], include_all_metadata=True
            )
            assert [m["text"] for m in replies["messages"]] == ["p", "reply", "half whole"]
            assert replies["messages"][0]["metadata"] == metadata
            file = (await client.conversations_history(channel=made))["messages"][0]["files"][0]
            page = Page(session, second.addresses["base_url"], "U0BOB")
            async with session.get(
                f"{second.addresses['base_url']}/page/files/{file['id']}"
            ) as answer:
                assert await answer.text() == "hello"
            later = await page.say(GENERAL, "after")
            assert later["ts"] > stream["ts"]


async def test_buttons_modals_and_response_urls_work_after_a_restart(tmp_path: Path) -> None:
    async with running_workspace(tmp_path) as first:
        url, _ = first.workspace.responses.issue(GENERAL, "U0BOB")
        trigger = first.workspace.triggers.issue("U0BOB")
        title = {"type": "plain_text", "text": "Run"}
        view = {"type": "modal", "title": title, "blocks": [{"type": "divider"}]}
        opened = await web_client(first).views_open(trigger_id=trigger, view=view)
        port = first.base_url.rpartition(":")[2]
    async with running_workspace(tmp_path, port=int(port)) as second:
        assert second.workspace.modals.stack("U0BOB")[0]["id"] == opened["view"]["id"]
        async with aiohttp.ClientSession() as session:
            for left in (4, 3, 2, 1, 0):
                async with session.post(url, json={"text": f"{left} left"}) as answer:
                    assert (answer.status, await answer.text()) == (200, "ok")
            async with session.post(url, json={"text": "a sixth"}) as answer:
                assert (answer.status, (await answer.json())["error"]) == (404, "used_url")
            page = Page(session, second.base_url, "U0BOB")
            assert len(await page.messages(GENERAL)) == 5


async def test_a_second_workspace_on_the_same_file_is_refused(
    workspace: WorkspaceServer, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match=r"another workspace running|Is another workspace"):
        WorkspaceServer(tmp_path / "workspace.db")


async def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and long enough to be looked at" * 100)
    with pytest.raises(StorageError, match=r"notes\.txt"):
        WorkspaceServer(text)
    assert text.read_text().startswith("not a database")
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(StorageError, match="another version"):
        WorkspaceServer(newer)


async def test_the_seed_counts_only_for_a_new_file(tmp_path: Path) -> None:
    async with running_workspace(tmp_path):
        assert (tmp_path / "workspace.db").exists()
    other = default_seed()
    other = other.model_copy(update={"team": other.team.model_copy(update={"name": "Other"})})
    async with running_workspace(tmp_path, seed=other) as second:
        assert second.workspace.directory.team.name == "Acme Infrastructure"


def test_a_seed_that_contradicts_itself_is_refused() -> None:
    seed = default_seed().model_dump()
    seed["groups"][0]["users"] = ["U0NOBODY"]
    with pytest.raises(ValueError, match="engineers has unknown members: U0NOBODY"):
        WorkspaceSeed.model_validate(seed)
    seed = default_seed().model_dump()
    seed["groups"][0]["handle"] = "alice"
    with pytest.raises(ValueError, match="handle used twice: alice"):
        WorkspaceSeed.model_validate(seed)


def test_ts_rises_when_the_clock_steps_back() -> None:
    times = iter([100.5, 99.0, 100.5, 101.0])
    source = TsSource(lambda: next(times), last="100.000000")
    assert [source.next() for _ in range(4)] == [
        "100.500000",
        "100.500001",
        "100.500002",
        "101.000000",
    ]


async def test_the_workspace_listens_on_loopback_only(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="loopback"):
        WorkspaceServer(tmp_path / "workspace.db", host="0.0.0.0")


async def test_a_taken_port_is_a_clear_error(workspace: WorkspaceServer, tmp_path: Path) -> None:
    port = int(workspace.base_url.rpartition(":")[2])
    second = WorkspaceServer(tmp_path / "second.db", port=port)
    with pytest.raises(WorkspaceError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
        await second.start()


async def test_a_stream_is_ended_after_its_lifetime_also_over_a_restart(tmp_path: Path) -> None:
    async def streaming(server: WorkspaceServer) -> bool:
        async with aiohttp.ClientSession() as session:
            page = Page(session, server.base_url, "U0BOB")
            parent = (await page.messages(GENERAL))[0]
            return (await page.replies(GENERAL, parent["ts"]))[0]["streaming"]

    async with running_workspace(tmp_path, stream_seconds=0.5) as first:
        client = web_client(first)
        parent = await client.chat_postMessage(channel=GENERAL, text="p")
        await client.chat_startStream(
            channel=GENERAL,
            thread_ts=parent["ts"],
            recipient_team_id="T0ACME",
            recipient_user_id="U0BOB",
        )
        assert await streaming(first)
    async with running_workspace(tmp_path, stream_seconds=0.5) as second:

        async def ended() -> bool:
            return not await streaming(second)

        await until(ended, "the end of the stream")
