"""What an editor asks over MCP: one key is one request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from bot.mcp.tools import Desk
from core.errors import InvalidRequestError
from core.security.permissions import Permissions
from core.security.policy import Right
from core.security.tokens import AccessToken
from tests.core.workflows.countersigning import World, world
from tests.core.workflows.parts import ALICE
from tests.support.postgres import postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

__all__ = ["postgres", "world"]


class SeesAll:
    """May see every workflow; whether one may start it is the service's to say."""

    async def may(self, _user: str, right: Right, _workflow: str, _channel: str | None) -> bool:
        return right is Right.SEE


class Channels:
    """Every channel is there, and called as its id."""

    async def channel_id(self, name: str) -> str:
        return name

    async def channel_name(self, channel: str) -> str:
        return channel

    async def can_post_in(self, _channel: str) -> bool:
        return True


def token() -> AccessToken:
    now = datetime.now(UTC)
    return AccessToken(
        id="1", user=ALICE, label="editor", created_at=now, expires_at=now + timedelta(hours=1)
    )


async def test_a_key_that_was_for_another_request_is_refused(world: World) -> None:
    desk = Desk(world.service, cast("Permissions", SeesAll()), Channels())
    first = await desk.request_run(token(), "note", {"line": "a"}, "#deploys", "deploy")
    again = await desk.request_run(token(), "note", {"line": "a"}, "#deploys", "deploy")
    assert again.id == first.id
    for workflow, line, channel in (
        ("twice", "a", "#deploys"),
        ("note", "b", "#deploys"),
        ("note", "a", "#other"),
    ):
        with pytest.raises(InvalidRequestError, match="was the key of another request"):
            await desk.request_run(token(), workflow, {"line": line}, channel, "deploy")
