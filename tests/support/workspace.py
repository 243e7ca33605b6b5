"""The local workspace for tests: a running server, people on its page, and a Bolt app beside it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiohttp
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.workspace.server import WorkspaceServer

Mode = Literal["http", "socket"]
T = TypeVar("T")


async def until(
    look: Callable[[], T | Awaitable[T]], what: str = "the condition", timeout: float = 8.0
) -> T:
    """Polls until `look` gives something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = look()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running_workspace(folder: Path, **options: Any) -> AsyncIterator[WorkspaceServer]:
    """A workspace on a free port, stored in `folder`; options are `WorkspaceServer`'s."""
    server = WorkspaceServer(folder / "workspace.db", **options)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


class Page:
    """One person's open page: the JSON API, and what came over its WebSocket."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, user: str) -> None:
        self._session = session
        self._base = base_url
        self.user = user
        self.events: list[dict[str, Any]] = []

    async def get(self, path: str, **query: str) -> Any:
        """GET /page/{path} as this person; the answer must be 200."""
        url = f"{self._base}/page/{path}"
        async with self._session.get(url, params={"user": self.user, **query}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, *, expect: int = 200, **body: Any) -> Any:
        """POST /page/{path} as this person; the answer must have the expected status."""
        url = f"{self._base}/page/{path}"
        async with self._session.post(url, json={"user": self.user, **body}) as answer:
            assert answer.status == expect, await answer.text()
            return await answer.json()

    async def say(self, channel: str, text: str, **more: Any) -> Any:
        """Writes a message and returns it."""
        return (await self.post("say", channel=channel, text=text, **more))["message"]

    async def command(self, channel: str, text: str, **more: Any) -> Any:
        """Runs a slash command."""
        return await self.post("command", channel=channel, text=text, **more)

    async def press(self, message: dict[str, Any], action_id: str, **more: Any) -> Any:
        """Uses an element of a message, found by its action id."""
        block_id, element = find_element(message["blocks"], action_id)
        return await self.post(
            "action",
            channel=message["channel"],
            message_ts=message["ts"],
            block_id=block_id,
            action_id=action_id,
            type=element["type"],
            **more,
        )

    async def press_in_view(self, view: dict[str, Any], action_id: str, **more: Any) -> Any:
        """Uses an element of a modal or of the home tab."""
        block_id, element = find_element(view["blocks"], action_id)
        return await self.post(
            "action",
            view_id=view["id"],
            block_id=block_id,
            action_id=action_id,
            type=element["type"],
            **more,
        )

    async def messages(self, channel: str) -> Any:
        """Top-level messages, oldest first."""
        return (await self.get("messages", channel=channel))["messages"]

    async def replies(self, channel: str, ts: str) -> Any:
        """A thread without its parent."""
        return (await self.get("replies", channel=channel, ts=ts))["messages"][1:]

    async def views(self) -> Any:
        """Open modals, bottom first."""
        return (await self.get("state"))["views"]

    def seen(self, type_: str) -> list[dict[str, Any]]:
        """Events of a type that came so far."""
        return [event for event in self.events if event["type"] == type_]


def find_element(blocks: list[dict[str, Any]], action_id: str) -> tuple[str, dict[str, Any]]:
    """The block id and the element with this action id."""

    def walk(value: Any) -> dict[str, Any] | None:
        if isinstance(value, dict):
            if value.get("action_id") == action_id:
                return value
            value = list(value.values())
        if isinstance(value, list):
            return next((found for item in value if (found := walk(item))), None)
        return None

    for block in blocks:
        if element := walk(block):
            return block["block_id"], element
    raise AssertionError(f"no element {action_id} in {json.dumps(blocks)[:500]}")


@asynccontextmanager
async def open_page(server: WorkspaceServer, user: str) -> AsyncIterator[Page]:
    """A person's page, listening."""
    async with aiohttp.ClientSession() as session:
        page = Page(session, server.base_url, user)
        url = f"{server.base_url}/page/live"
        async with session.ws_connect(url, params={"user": user}) as socket:

            async def listen() -> None:
                async for frame in socket:
                    page.events.append(json.loads(frame.data))

            listening = asyncio.create_task(listen())
            await until(lambda: page.seen("hello"), "hello")
            try:
                yield page
            finally:
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening


def web_client(server: WorkspaceServer) -> AsyncWebClient:
    """Slack's own client, pointed at the workspace."""
    return AsyncWebClient(
        token=server.bot_token.get_secret_value(), base_url=server.api_url, timeout=10
    )


def bolt_app(server: WorkspaceServer) -> AsyncApp:
    """An empty Bolt app for the workspace."""
    return AsyncApp(
        client=web_client(server), signing_secret=server.signing_secret.get_secret_value()
    )


@asynccontextmanager
async def connected(app: AsyncApp, server: WorkspaceServer, mode: Mode) -> AsyncIterator[None]:
    """Runs a Bolt app against the workspace, over HTTP or Socket Mode."""
    if mode == "http":
        runner = web.AppRunner(app.server(0, path="/slack/events", host="127.0.0.1").web_app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.use_request_url(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
        try:
            yield
        finally:
            server.use_request_url(None)
            await runner.cleanup()
        return
    handler = AsyncSocketModeHandler(
        app, server.app_token.get_secret_value(), web_client=app.client
    )
    await handler.connect_async()  # type: ignore[no-untyped-call]
    await until(lambda: server.workspace.delivery.connected, "the connection")
    try:
        yield
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]
