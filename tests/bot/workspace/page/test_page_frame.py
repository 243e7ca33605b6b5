"""The page around the messages: narrow windows, lost connections, assistive technology."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.workspace.page.demo_bot import ALICE, CARD, DEPLOYS, DemoBot
from tests.support.browser import Browser, BrowserMissingError
from tests.support.npm import unpacked
from tests.support.workspace import open_page, running_workspace

AXE = "4.14.1"
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']"


async def test_on_a_telephone_channels_and_threads_are_drawers(
    browser: Browser, bot: DemoBot
) -> None:
    ts = await bot.post(text="The parent")
    await bot.client.chat_postMessage(channel=DEPLOYS, text="A reply", thread_ts=ts)
    await browser.set_viewport(390, 844, mobile=True)
    await browser.wait_for("main", "The parent")
    assert await browser.evaluate("document.documentElement.scrollWidth") == 390
    await browser.click(f"replies-{ts}")
    await browser.wait_for("thread-pane", "A reply")
    assert await browser.evaluate("document.querySelector('.thread').offsetWidth") == 390
    await browser.click("close-thread")
    await browser.click("open-sidebar")
    await browser.wait_for("channel-general")
    focused = "document.activeElement.dataset.testid"
    assert await browser.evaluate(focused) == "channel-deploys"
    await browser.click("channel-general")
    await browser.wait_for("main h2", "general")
    assert await browser.evaluate("document.querySelector('main').inert") is False


async def test_what_was_missed_while_the_workspace_was_away_is_fetched(tmp_path: Path) -> None:
    async with Browser() as browser:
        async with running_workspace(tmp_path) as server:
            address = server.base_url
            await browser.open(f"{address}/#/{ALICE}/{DEPLOYS}")
            await browser.wait_for("composer")
        await browser.wait_for(".offline", "Connecting to the workspace")
        port = int(address.rsplit(":", 1)[1])
        async with (
            running_workspace(tmp_path, port=port) as server,
            open_page(server, "U0BOB") as bob,
        ):
            await bob.say(DEPLOYS, "While you were away")
            await browser.wait_for("main", "While you were away", timeout=15)
            await browser.wait_gone(".offline")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_axe_finds_nothing(browser: Browser, bot: DemoBot, dark: bool) -> None:
    """Channel, thread, suggestions and modal, checked with axe-core."""
    (axe,) = unpacked("axe-core", AXE, "axe.min.js")
    await browser.set_dark(dark)
    ts = await bot.post(*CARD, {"type": "markdown", "text": "`code` [link](https://a.example)"})
    await bot.client.chat_postMessage(channel=DEPLOYS, text="Reply of <@U0ALICE>", thread_ts=ts)
    await browser.click(f"replies-{ts}")
    await browser.wait_for("thread-pane", "Reply of")
    await browser.evaluate(axe.read_text() + "; 0")
    assert await _violations(browser) == []
    await browser.click("composer")
    await browser.type("@a")
    await browser.wait_for("suggestions")
    assert await _violations(browser) == []
    await browser.evaluate("document.activeElement.select()")
    await browser.type("/ops run")
    await browser.press("Enter")
    await browser.click("modal-submit")
    await browser.wait_for("error-commit")
    assert await _violations(browser) == []


async def _violations(browser: Browser) -> list[str]:
    found = await browser.evaluate(
        f"axe.run(document, {{ runOnly: {RULES} }}).then((result) => result.violations.map("
        "(one) => one.id + ': ' + one.nodes.map((node) => node.html.slice(0, 200)).join(' | ')))"
    )
    return [str(one) for one in found]


async def test_a_missing_browser_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrowserMissingError, match="Debian package `chromium`"):
        async with Browser():
            pytest.fail("there is none")
