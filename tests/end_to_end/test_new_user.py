"""A new user's first quarter of an hour, in a real Chromium, with nothing faked.

The four moments that the documentation shows are photographed here; with
`COUNTERSIGN_SCREENSHOTS=DIR` the pictures go there instead of into the test's own folder.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot import names
from tests.support.browser import Browser
from tests.support.countersign import ALICE, BOB, DEPLOYS, Application
from tests.support.until import until

CARD = "main .message:not(.ephemeral)"  # the only message in #deploys that all can see

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(app: Application) -> AsyncIterator[Browser]:
    """A browser on the page that the start names."""
    async with Browser(width=1440, height=1180, timeout=40) as browser:
        await browser.open(app.page_url)
        await browser.wait_for("composer")
        yield browser
        assert browser.errors == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    folder = os.environ.get("COUNTERSIGN_SCREENSHOTS")
    return Path(folder) if folder else tmp_path_factory.mktemp("pictures")


def shop_log(app: Application) -> list[str]:
    """Hash and subject of the shop's commits, newest first."""
    shop = str(app.home / "repositories" / "shop")
    log = subprocess.run(
        ["git", "-C", shop, "log", "--format=%h %s"], check=True, capture_output=True, text=True
    )
    return log.stdout.splitlines()


async def write(browser: Browser, text: str) -> None:
    """Type into the composer and send; the first Enter may only complete a suggestion."""
    await browser.click("composer")
    await browser.type(text + " ")
    await browser.press("Enter")


async def become(browser: Browser, user: str) -> None:
    """Switch to another person."""
    await browser.click("user-switcher")
    await browser.click(f"user-option-{user}")
    await browser.wait_for("composer")


async def test_the_planner_answers_with_the_runbooks_passage_and_its_link(
    app: Application, browser: Browser, pictures: Path
) -> None:
    await browser.click("channel-general")
    await write(browser, "@countersign how do I renew a certificate before it expires?")
    await browser.wait_for("main .message [data-testid^=replies]", "1 reply")
    await browser.click("main .message [data-testid^=replies]")
    await browser.wait_for("thread-pane", "Planner")
    await browser.wait_for("thread-pane", "cmctl renew CERTIFICATE -n NAMESPACE")
    link = await browser.evaluate(
        "document.querySelector('[data-testid=thread-pane] a[href*=\"/runbooks/\"]').href"
    )
    assert link.startswith(f"{app.http_url}/runbooks/certificate-expiry.md#")
    await browser.evaluate(
        "document.querySelector('[data-testid=thread-pane] a[href*=\"/runbooks/\"]')"
        ".scrollIntoView({block: 'start'})"
    )
    await browser.screenshot(pictures / "answer.png")
    await browser.open(link)
    await browser.wait_for("h1", "ertificate")
    await browser.open(f"{app.page_url}/#/{ALICE}/{DEPLOYS}")
    await browser.wait_for("composer")


async def test_a_run_shows_its_guardrails_refuses_its_requester_and_runs_once_signed(
    app: Application, browser: Browser, pictures: Path
) -> None:
    before = shop_log(app)
    commit, subject = before[0].split(" ", 1)
    assert subject == "Lower the payment timeout to 30 ms"

    await write(browser, f'/ops run revert-commit commit={commit} reason="Payments time out"')
    approve = f'[data-testid="action-{names.APPROVE}"]'
    await browser.wait_for(CARD, "Countersigned by 1 person with the role approver")
    await browser.wait_for(CARD, "timeout_ms = 3000")
    await browser.wait_for(approve)
    await browser.screenshot(pictures / "guardrails.png")

    await browser.click(approve)
    await browser.click("confirm-yes")
    await browser.wait_for("main", "somebody else must countersign it (four eyes)")
    await browser.screenshot(pictures / "refusal.png")
    assert shop_log(app) == before

    await become(browser, BOB)
    await browser.click("channel-deploys")
    await browser.click(approve)
    await browser.click("confirm-yes")
    await browser.wait_for(CARD, "Done: Revert a commit")
    await until(lambda: len(shop_log(app)) == len(before) + 1, "the commit is reverted")
    assert shop_log(app)[0].endswith(f'Revert "{subject}"')
    payments = app.home / "repositories" / "shop" / "config" / "payments.toml"
    assert "timeout_ms = 3000" in payments.read_text()
    await browser.screenshot(pictures / "done.png")
