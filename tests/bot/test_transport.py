"""Socket Mode when Slack is away: the application comes up, and a refused token is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.transport import check_tokens, socket_mode
from core.errors import ConfigurationError
from core.settings import Settings
from tests.support.processes import free_port


def settings_for(home: Path, port: int) -> Settings:
    return Settings(
        home=home,
        slack_bot_token=SecretStr("xoxb-test"),
        slack_app_token=SecretStr("xapp-test"),
        slack_api_url=f"http://127.0.0.1:{port}/api/",
    )


def client_for(settings: Settings) -> AsyncWebClient:
    return AsyncWebClient(token="xoxb-test", base_url=settings.slack_api_url)


async def test_without_a_network_the_application_comes_up_and_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(tmp_path, free_port())
    await check_tokens(client_for(settings), settings)
    async with (
        asyncio.timeout(10),
        socket_mode(AsyncApp(client=client_for(settings)), settings, patience_s=0.2),
    ):
        assert "cannot be reached" in caplog.text


@pytest.mark.parametrize(
    ("refused", "setting"),
    [
        ("auth.test", "COUNTERSIGN_SLACK_BOT_TOKEN"),
        ("apps.connections.open", "COUNTERSIGN_SLACK_APP_TOKEN"),
    ],
)
async def test_a_token_that_slack_refuses_ends_the_start_and_names_its_setting(
    tmp_path: Path, refused: str, setting: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        wrong = request.match_info["method"] == refused
        return web.json_response({"ok": False, "error": "invalid_auth"} if wrong else {"ok": True})

    slack = web.Application()
    slack.router.add_route("*", "/api/{method}", answer)
    runner = web.AppRunner(slack)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = settings_for(tmp_path, runner.addresses[0][1])
    try:
        with pytest.raises(ConfigurationError, match=rf"{setting} \(invalid_auth\)"):
            await check_tokens(client_for(settings), settings)
    finally:
        await runner.cleanup()
