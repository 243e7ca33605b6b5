"""Streams: batches, the roll-over in time, and Slack's own end of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.blocks.lists import sentence
from bot.slack.client import open_client
from bot.slack.escaping import LinkPolicy
from bot.slack.streaming import AnswerStream
from bot.workspace.server import WorkspaceServer
from core.records import Place
from tests.support.workspace import Page, open_page, running_workspace, until

WORDS = "word " * 100


@asynccontextmanager
async def streaming(
    folder: Path, roll_over_s: float = 240.0, **options: Any
) -> AsyncIterator[tuple[AnswerStream, Page, str, WorkspaceServer]]:
    """A stream in a thread, with a page to look at it."""
    async with (
        running_workspace(folder, **options) as server,
        open_client(server.bot_token.get_secret_value(), server.api_url) as client,
        open_page(server, "U0ALICE") as page,
    ):
        asked = await page.say("C0DEPLOYS", "hello")
        place = Place(channel="C0DEPLOYS", thread=asked["ts"])
        stream = AnswerStream(client, place, "U0ALICE", "T0ACME", LinkPolicy(), roll_over_s)
        yield stream, page, asked["ts"], server


async def test_many_small_pieces_are_few_calls(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (stream, page, thread, server):
        for _ in range(300):
            await stream.write("a few words ")
        await stream.finish(sentence("the end").blocks)

        (reply,) = await page.replies("C0DEPLOYS", thread)
        calls = [c.method for c in server.workspace.recorder.calls if "Stream" in c.method]
        assert reply["text"].count("a few words") == 300
        assert not reply["streaming"]
        assert reply["blocks"][-1]["type"] == "rich_text"
        assert len(calls) <= 12
        assert (calls[0], calls[-1]) == ("chat.startStream", "chat.stopStream")


async def test_a_long_answer_goes_on_in_another_message_and_loses_nothing(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (stream, page, thread, _):
        for number in range(60):
            await stream.write(f"{WORDS}number{number} ")
        await stream.finish([])

        replies = await page.replies("C0DEPLOYS", thread)
        whole = "".join(reply["text"] for reply in replies)
        assert len(replies) >= 3
        assert [f"number{n}" for n in range(60)] == [w for w in whole.split() if "number" in w]
        assert all(len(reply["text"]) <= 12_000 for reply in replies)


async def test_a_stream_is_followed_by_another_in_time(tmp_path: Path) -> None:
    async with streaming(tmp_path, roll_over_s=0.0) as (stream, page, thread, _):
        await stream.write(f"{WORDS}{WORDS}first ")
        await stream.write(f"{WORDS}{WORDS}second ")
        await stream.finish([])

        first, second = await page.replies("C0DEPLOYS", thread)
        assert "first" in first["text"]
        assert "second" in second["text"]


async def test_what_slack_ended_is_gone_on_with_in_another_message(tmp_path: Path) -> None:
    async with streaming(tmp_path, stream_seconds=0.2) as (stream, page, thread, _):
        await stream.write(f"{WORDS}{WORDS}before ")

        async def ended() -> bool:
            replies = await page.replies("C0DEPLOYS", thread)
            return bool(replies) and not replies[0]["streaming"]

        await until(ended, "Slack's end of the stream")
        await stream.write(f"{WORDS}{WORDS}after ")
        await stream.finish([])

        before, after = await page.replies("C0DEPLOYS", thread)
        assert "before" in before["text"]
        assert "after" in after["text"]
