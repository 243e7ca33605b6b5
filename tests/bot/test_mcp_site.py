"""Our MCP server's part of the HTTP service: one request is one answer, whatever is asked."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.mcp.limits import BURST, TokenLimits
from bot.mcp.server import PATH, McpSite
from bot.mcp.tools import Desk
from core.security.tokens import AccessToken, AccessTokens

VERSION = "2026-07-28"


class Tokens:
    """Every token is Alice's, and known by what it is."""

    async def recognise(self, token: str) -> AccessToken:
        now = datetime.now(UTC)
        return AccessToken(
            id=token, user="U1", label="editor", created_at=now, expires_at=now + timedelta(hours=1)
        )


async def is_member(_user: str) -> None:
    """Everybody is."""


@asynccontextmanager
async def site(
    limits: TokenLimits | None = None,
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    served = McpSite(cast("Desk", None), cast("AccessTokens", Tokens()), is_member, limits)
    app = web.Application()
    app.add_routes(served.routes())
    async with served.running(), TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
def _ends() -> Iterator[None]:
    """An event loop that never waits cannot be ended by a time limit of its own."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError("the event loop is blocked")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_ends")
async def test_a_subscription_is_refused_and_holds_up_nobody() -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "editor", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    asked: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "subscriptions/listen",
        "params": {"notifications": {"toolsListChanged": True}, "_meta": meta},
    }
    headers = {
        "Authorization": "Bearer cst_alice",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": "subscriptions/listen",
    }
    async with site() as client, client.post(PATH, json=asked, headers=headers) as answer:
        said = await answer.json()
    assert said["error"]["code"] == -32601  # JSON-RPC: there is no such method


async def test_a_token_that_asks_too_often_is_told_when_to_ask_again_and_others_are_not() -> None:
    moment = 0.0
    async with site(TokenLimits(clock=lambda: moment)) as client:

        async def ask(token: str) -> Any:
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            async with client.post(PATH, json={"jsonrpc": "2.0"}, headers=headers) as answer:
                return answer.status, answer.headers.get("Retry-After"), await answer.text()

        no_message = 400  # the token was good
        for _ in range(BURST):
            assert (await ask("cst_alice"))[0] == no_message
        status, later, body = await ask("cst_alice")
        assert (status, later) == (429, "1")
        assert "more than 5 requests a second with this token" in body
        assert (await ask("cst_bob"))[0] == no_message
        moment = 0.2
        assert [(await ask("cst_alice"))[0] for _ in range(2)] == [no_message, 429]
