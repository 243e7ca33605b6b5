"""Channels that the configuration names and that are not there: said before anything happens."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.channels import ChannelWatch, MissingChannelsError
from bot.slack.client import open_client
from bot.slack.directory import SlackDirectory
from core.starter import write_starter
from core.state import ApplicationState
from tests.support.workspace import running_workspace


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[ChannelWatch]:
    """Over a real workspace, with one trigger whose channel nobody has made."""
    write_starter(tmp_path)
    trigger = next((tmp_path / "config" / "triggers").glob("*.yaml"))
    text = trigger.read_text()
    (trigger.parent / "astray.yaml").write_text(
        "\n".join(
            'channel: "#no-such"' if line.startswith("channel:") else line
            for line in text.splitlines()
        )
    )
    async with (
        running_workspace(tmp_path) as server,
        open_client(server.bot_token.get_secret_value(), server.api_url) as client,
    ):
        state = ApplicationState.load(tmp_path / "config")
        yield ChannelWatch(state, SlackDirectory(client), first_look_s=0.01)


async def test_one_that_is_not_there_is_named_once_in_the_log_and_in_the_status(
    watch: ChannelWatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "bot.channels")
    assert await watch.respond("health") == "not looked for yet"
    assert not await watch.look()
    assert not await watch.look()
    (line,) = caplog.messages
    assert line.startswith("triggers/astray.yaml: There is no channel #no-such that I can see.")
    with pytest.raises(MissingChannelsError, match="astray") as caught:
        await watch.respond("health")
    assert "#deploys" not in str(caught.value)


async def test_where_slack_cannot_be_asked_nothing_is_said_to_be_missing(
    watch: ChannelWatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Away:
        async def find_channel(self, name: str) -> str | None:
            return await SlackDirectory(nowhere).find_channel(name)

        async def can_post_in(self, channel: str) -> bool:
            raise AssertionError(channel)

    async with open_client("xoxb-1", "http://127.0.0.1:9/api/") as nowhere:
        watch._directory = Away()
        assert not await watch.look()
    assert await watch.respond("health") == "not looked for yet"
    assert "cannot be reached" in caplog.text


async def test_one_that_the_bot_is_not_in_is_named_with_the_mend(watch: ChannelWatch) -> None:
    class Outside:
        async def find_channel(self, name: str) -> str | None:
            return f"C{name}"

        async def can_post_in(self, channel: str) -> bool:
            return channel != "C#incidents"

    watch._directory = Outside()
    assert not await watch.look()
    with pytest.raises(MissingChannelsError, match=r"I am not in #incidents\. Invite me"):
        await watch.respond("health")
