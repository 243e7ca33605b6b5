"""The rollout of `docs/expressions.md` on its card, in a real Chromium: before, and in the middle.

The documentation's own workflow, with shorter waits. With `COUNTERSIGN_SCREENSHOTS=DIR` the
pictures go there instead of into the test's own folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot import names
from tests.support.browser import Browser
from tests.support.countersign import ALICE, BOB, DEPLOYS, Application

DOCS = Path(__file__).parents[2] / "docs" / "expressions.md"
CARD = "main .message:not(.ephemeral)"  # the only message in #deploys that all can see
PROGRAM = """
    deploy:
      path: {path}
      arguments: ['web-\\d+', 'v\\d+\\.\\d+\\.\\d+']
      risk: change
      idempotency: natural
"""

pytestmark = pytest.mark.slow


def configure(home: Path) -> None:
    """Write the documented workflow, and a program that says what it would do."""
    program = home / "deploy"
    program.write_text('#!/bin/sh\necho "$1 runs $2"\n')
    program.chmod(0o755)
    with (home / "config" / "integrations" / "commands.yaml").open("a") as commands:
        commands.write(PROGRAM.format(path=program))
    written = re.search(r"```yaml\n(name: Roll out a version\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert written is not None
    quick = written[1].replace("wait: 5m", "wait: 1s").replace("pause: 1m", "pause: 10m")
    (home / "config" / "workflows" / "roll-out.yaml").write_text(quick)


@pytest_asyncio.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    """Countersign with that workflow, without models."""
    running = Application(tmp_path / "home", None)
    configure(running.home)
    await running.start()
    try:
        await running.connected()
        yield running
    finally:
        await running.stop()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where the pictures go."""
    folder = os.environ.get("COUNTERSIGN_SCREENSHOTS")
    return Path(folder) if folder else tmp_path / "pictures"


async def test_a_rollout_is_told_whole_before_and_step_by_step_on_one_card(
    app: Application, pictures: Path
) -> None:
    async with app.page(ALICE) as alice:
        await alice.command(
            DEPLOYS,
            "/ops run roll-out version=v1.4.0 before=v1.3.0 hosts=web-1,web-2,web-3,web-4,web-5",
        )
    async with Browser(width=1440, height=1240, timeout=40) as browser:
        await browser.open(f"{app.page_url}/#/{BOB}/{DEPLOYS}")
        await browser.wait_for(CARD, "Up to 3 attempts, the second after 30 s")
        await browser.wait_for(CARD, "For each of 4: web-2, web-3, web-4, web-5 · 2 at once")
        await browser.wait_for(CARD, "The same for web-3, web-4, web-5, in the place of web-2")
        await browser.wait_for(CARD, "If a step fails, what was done is taken back, last first")
        approve = f'[data-testid="action-{names.APPROVE}"]'
        await browser.click(approve)
        await browser.click("confirm-yes")

        await browser.wait_for(CARD, "Waits for a person: Roll out a version")
        await browser.wait_for(CARD, "Are the errors of web-1 as low as before?")
        await browser.wait_for(CARD, "web-1 runs v1.4.0")
        await browser.screenshot(pictures / "rollout.png")
        await browser.click(f'[data-testid="action-{names.STEP_DONE}"]')
        for host in ("web-2", "web-3"):
            await browser.wait_for(CARD, f"Deploy ({host}) · ✓ Done")
        await browser.wait_for(CARD, "Deploy (web-4) · Not begun")
        assert browser.errors == []
