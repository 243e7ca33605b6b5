"""Fixtures: a fresh workspace, and the two ways to reach a bot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.workspace.delivery import DeliveryPolicy
from bot.workspace.page_records import Shortcut, SlashCommand
from bot.workspace.server import WorkspaceServer
from tests.support.workspace import Mode, Page, open_page, running_workspace

COMMANDS = (
    SlashCommand(command="/ops", description="Ask or run", usage_hint="help | run …"),
    SlashCommand(command="/tell", description="Escaped text", should_escape=True),
)
SHORTCUTS = (
    Shortcut(callback_id="start_run", name="Start a run", type="global"),
    Shortcut(callback_id="explain", name="Explain this", type="message"),
)
QUICK = DeliveryPolicy(ack_seconds=3.0, retry_delays=(0.0, 0.01, 0.02))


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[WorkspaceServer]:
    """A workspace with two commands and two shortcuts; redelivery is quick."""
    async with running_workspace(
        tmp_path, commands=COMMANDS, shortcuts=SHORTCUTS, policy=QUICK
    ) as server:
        yield server


@pytest.fixture
async def alice(workspace: WorkspaceServer) -> AsyncIterator[Page]:
    """Alice's open page."""
    async with open_page(workspace, "U0ALICE") as page:
        yield page


@pytest.fixture
async def bob(workspace: WorkspaceServer) -> AsyncIterator[Page]:
    """Bob's open page."""
    async with open_page(workspace, "U0BOB") as page:
        yield page


@pytest.fixture(params=["http", "socket"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """How the workspace reaches the bot."""
    return request.param
