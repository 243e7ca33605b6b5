"""A real browser on the page of a real workspace, with a small Bolt bot behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.workspace.server import WorkspaceServer
from tests.bot.workspace.page.demo_bot import ALICE, DEPLOYS, DemoBot, listen
from tests.support.browser import Browser
from tests.support.workspace import bolt_app, connected, web_client


@pytest.fixture
async def bot(workspace: WorkspaceServer) -> AsyncIterator[DemoBot]:
    """A connected bot."""
    app = bolt_app(workspace)
    demo = DemoBot(web_client(workspace))
    listen(app, demo)
    async with connected(app, workspace, "socket"):
        yield demo


@pytest.fixture
async def browser(workspace: WorkspaceServer, bot: DemoBot) -> AsyncIterator[Browser]:
    """Chromium, showing #deploys to Alice; the page may log no error."""
    async with Browser() as browser:
        await browser.open(f"{workspace.base_url}/#/{ALICE}/{DEPLOYS}")
        await browser.wait_for("composer")
        yield browser
        assert browser.errors == []
