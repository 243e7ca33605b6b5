"""How Slack reaches the app: Socket Mode, or HTTP mounted beside the webhooks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack.client import error_code
from core.errors import ConfigurationError
from core.settings import Settings

PATH = "/slack/events"
Transport = Literal["socket", "http"]
_log = logging.getLogger(__name__)


def transport_of(settings: Settings) -> Transport:
    """Which of the two the settings ask for; Socket Mode where both could be.

    Raises:
        ConfigurationError: a token or secret is missing; the message names the settings.
    """
    if settings.slack_bot_token is None:
        raise ConfigurationError(
            "COUNTERSIGN_SLACK_BOT_TOKEN is not set: it is the bot token (xoxb-…) of the installed "
            "Slack app. `countersign manifest` prints the app's manifest."
        )
    if settings.slack_app_token is not None:
        return "socket"
    if settings.slack_signing_secret is not None:
        return "http"
    raise ConfigurationError(
        "Slack cannot reach this bot: set COUNTERSIGN_SLACK_APP_TOKEN (xapp-…, for Socket Mode, "
        "which needs no open port), or COUNTERSIGN_SLACK_SIGNING_SECRET (for HTTP)."
    )


def mount(app: AsyncApp, web_app: web.Application) -> None:
    """Answer Slack's requests at `/slack/events` of our own HTTP service."""

    async def receive(request: web.Request) -> web.Response:
        # Bolt parses before it verifies and answers 500 to what it cannot parse.
        if not request.headers.get("X-Slack-Request-Timestamp", "0").isdecimal():
            return web.Response(status=401, text="The timestamp is not a number.")
        try:
            readable = _holds_object(await request.text())
        except (ValueError, LookupError):
            readable = False
        if not readable:
            return web.Response(status=400, text="The body cannot be read.")
        bolt_request = await to_bolt_request(request)
        return await to_aiohttp_response(await app.async_dispatch(bolt_request))

    web_app.router.add_post(PATH, receive)


def _holds_object(body: str) -> bool:
    """Whether a body is a JSON object, or a form whose `payload`, if it has one, is.

    Raises:
        ValueError: it is neither.
    """
    if body.lstrip().startswith(("{", "[")):
        return isinstance(json.loads(body), dict)
    payloads = parse_qs(body, strict_parsing=True, max_num_fields=100).get("payload", [])
    return all(isinstance(json.loads(payload), dict) for payload in payloads)


@asynccontextmanager
async def socket_mode(
    app: AsyncApp, settings: Settings, patience_s: float = 10.0
) -> AsyncIterator[None]:
    """Keep a Socket Mode connection open; where there is no network, come up without it.

    Args:
        patience_s: how long the start waits for the connection; it is tried on after that.

    Raises:
        ConfigurationError: there is no app token. Whether Slack takes it, `check_tokens` says.
    """
    token = settings.slack_app_token
    if token is None:
        raise ConfigurationError("Set COUNTERSIGN_SLACK_APP_TOKEN (xapp-…) for Socket Mode.")
    handler = AsyncSocketModeHandler(app, token.get_secret_value(), web_client=app.client)
    # Bolt tries again and again by itself, and logs why; it never gives up.
    connecting = asyncio.create_task(handler.connect_async())  # type: ignore[no-untyped-call]
    try:
        await asyncio.wait({connecting}, timeout=patience_s)
        if connecting.done():
            _log.info("connected to Slack in Socket Mode")
        else:  # webhooks and the clock do not wait for Slack
            _log.warning("Slack cannot be reached at %s; trying on", settings.slack_api_url)
        yield
    finally:
        connecting.cancel()
        await asyncio.wait({connecting})
        await handler.close_async()  # type: ignore[no-untyped-call]


async def check_tokens(client: AsyncWebClient, settings: Settings) -> None:
    """Let pass tokens that Slack takes, and an unreachable Slack.

    Raises:
        ConfigurationError: Slack refuses one of them; the message names its setting.
    """
    await _take(
        client.auth_test(),
        settings,
        "COUNTERSIGN_SLACK_BOT_TOKEN",
        "it must be the bot token (xoxb-…) of the installed app",
    )
    if token := settings.slack_app_token:
        await _take(
            client.apps_connections_open(app_token=token.get_secret_value()),
            settings,
            "COUNTERSIGN_SLACK_APP_TOKEN",
            "it must be an app-level token (xapp-…) with the scope connections:write",
        )


async def _take(
    call: Awaitable[AsyncSlackResponse], settings: Settings, name: str, mend: str
) -> None:
    try:
        await call
    except SlackApiError as error:
        raise ConfigurationError(
            f"Slack does not take {name} ({error_code(error)}): {mend}."
        ) from error
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        _log.warning("Slack cannot be reached at %s (%s)", settings.slack_api_url, error)
