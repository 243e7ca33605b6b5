"""The page in a real Chromium: writing, threads, countersigning, modals, App Home."""

from __future__ import annotations

from bot.workspace.server import WorkspaceServer
from tests.bot.workspace.page.demo_bot import BOB, CARD, DemoBot
from tests.support.browser import Browser
from tests.support.workspace import until


async def write(browser: Browser, text: str, composer: str = "composer") -> None:
    """Types into a composer and sends."""
    await browser.click(composer)
    await browser.type(text)
    await browser.press("Enter")


async def newest(browser: Browser) -> str:
    """The `ts` of the last message in the channel."""
    return str(
        await browser.evaluate(
            "[...document.querySelectorAll('main .message')].at(-1).dataset.testid.slice(8)"
        )
    )


async def test_the_first_visit_shows_a_channel_to_the_first_person(
    browser: Browser, workspace: WorkspaceServer
) -> None:
    await browser.evaluate("localStorage.clear()")
    await browser.open("about:blank")
    await browser.open(workspace.base_url)
    await browser.wait_for("composer")
    await browser.wait_for("user-switcher", "Alice Moreau")


async def test_a_mention_is_completed_and_what_is_typed_is_shown_as_it_is(
    browser: Browser,
) -> None:
    await browser.click("composer")
    await browser.type("@bo")
    await browser.wait_for(f"suggestion-{BOB}", "Bob Tanaka")
    await browser.press("Enter")
    await write(browser, "is <b>x</b> & *y* up?")
    await browser.wait_for("main .message", "@Bob Tanaka is <b>x</b> & y up?")


async def test_shift_enter_breaks_the_line(browser: Browser) -> None:
    await browser.click("composer")
    await browser.type("one")
    await browser.press("Enter", shift=True)
    await browser.type("two")
    await browser.press("Enter")
    await browser.wait_for("main .message", "one\ntwo")


async def test_a_command_is_completed_and_its_answer_is_for_the_asker_only(
    browser: Browser,
) -> None:
    await browser.click("composer")
    await browser.type("/o")
    await browser.wait_for("suggestion-ops", "help | run")
    await browser.press("Tab")
    await browser.type("hello")
    await browser.press("Enter")
    await browser.wait_for(".message.ephemeral", "Only visible to you")
    await browser.wait_for(".message.ephemeral", "Hello @Alice Moreau, try /ops run")


async def test_a_command_that_is_not_acknowledged_says_so_once(browser: Browser) -> None:
    await write(browser, "/ops hang")
    await browser.wait_for(".message.ephemeral", "operation_timeout")
    # The failure comes twice, in the answer and as an event half a second later.
    await write(browser, "afterwards")
    await browser.wait_for("main", "afterwards")
    count = "document.body.innerText.split('operation_timeout').length - 1"
    assert await browser.evaluate(f"new Promise(r => setTimeout(() => r({count}), 700))") == 1


async def test_a_streamed_answer_stands_in_the_thread_and_can_be_stopped(
    browser: Browser, bot: DemoBot
) -> None:
    await write(browser, "@countersign why does it crash")
    await browser.wait_for("main .message", "why does it crash")
    ts = await newest(browser)
    await browser.hover(f"message-{ts}")
    await browser.click(f"open-thread-{ts}")
    await browser.wait_for("thread-pane", "kubectl describe first")
    assert await browser.text(".thread .slack_blocks_to_jsx__markdown_block h2") == "Answer"
    await browser.click("stop")
    await until(lambda: bot.stopped, "the bot hears of the stop")
    await browser.wait_gone("stop")
    await browser.wait_for(f"replies-{ts}", "1 reply")
    await write(browser, "thanks", "thread-composer")
    await browser.wait_for("thread-pane", "thanks")
    await browser.wait_for(f"replies-{ts}", "2 replies")


async def test_the_requester_is_refused_and_another_person_signs(
    browser: Browser, bot: DemoBot
) -> None:
    ts = await bot.post(*CARD)
    await browser.click("action-approve")
    await browser.wait_for("confirm-dialog", "It changes production.")
    await browser.click("confirm-deny")
    await browser.wait_gone("confirm-dialog")
    assert bot.actions == []

    await browser.click("action-approve")
    await browser.click("confirm-yes")
    await browser.wait_for(".message.ephemeral", "You asked for this run.")

    await browser.click("user-switcher")
    await browser.click(f"user-option-{BOB}")
    await browser.wait_for("user-switcher", "Bob Tanaka")
    await browser.click("action-approve")
    await browser.click("confirm-yes")
    await browser.wait_for(f"message-{ts}", "Signed by @Bob Tanaka")
    await browser.wait_gone("action-approve")
    assert [action["value"] for action in bot.actions] == ["run-1", "run-1"]


async def test_a_modal_shows_errors_under_its_inputs_and_keeps_what_was_typed(
    browser: Browser, bot: DemoBot
) -> None:
    await write(browser, "/ops run")
    await browser.wait_for("modal", "Run a workflow")
    await browser.click("modal-submit")
    await browser.wait_for("error-commit", "Please complete this required field.")
    await browser.fill("input-commit", "ffff")
    await browser.click("select-ticket")
    await browser.type("ops")
    await browser.click("option-ops-1")
    await browser.click("modal-submit")
    await browser.wait_for("error-commit", "No such commit.")
    assert await browser.text("select-ticket") == "OPS-1"
    await browser.fill("input-commit", "4f2a")
    await browser.click("modal-submit")
    await browser.wait_gone("modal")
    assert bot.submitted[0]["commit"]["commit"]["value"] == "4f2a"
    assert bot.submitted[0]["ticket"]["ticket"]["selected_option"]["value"] == "ops-1"


async def test_a_modal_over_a_modal(browser: Browser, bot: DemoBot) -> None:
    await write(browser, "/ops run")
    await browser.fill("input-commit", "more")
    await browser.click("modal-submit")
    await browser.wait_for("modal h2", "One more")
    await browser.click("modal-close")
    await browser.wait_for("modal h2", "Run a workflow")
    assert await browser.evaluate("document.activeElement.value") == "more"
    await browser.click("modal-submit")
    await browser.wait_for("modal h2", "One more")
    await browser.fill("input-commit", "4f2a")
    await browser.click("modal-submit")
    await browser.wait_gone("modal")
    assert len(bot.submitted) == 1


async def test_a_shortcut_on_a_message(browser: Browser, bot: DemoBot) -> None:
    ts = await bot.post(text="Something unclear")
    await browser.hover(f"message-{ts}")
    await browser.click(f"more-{ts}")
    await browser.click("shortcut-explain")
    await browser.click(f"replies-{ts}")
    await browser.wait_for("thread-pane", "Explained.")


async def test_a_modal_keeps_the_focus_and_closes_with_escape(browser: Browser) -> None:
    await write(browser, "/ops run")
    await browser.wait_for("modal")
    for _ in range(8):
        await browser.press("Tab")
        # Past its last element Chromium goes on to its own toolbar, where the page has no focus.
        assert await browser.evaluate(
            "document.activeElement === document.body"
            " || document.activeElement.closest('dialog') !== null"
        )
    await browser.press("Escape")
    await browser.wait_gone("modal")
    assert await browser.evaluate("document.activeElement.dataset.testid") == "composer"


async def test_the_apps_home_and_its_suggested_prompts(browser: Browser, bot: DemoBot) -> None:
    await browser.click("channel-dm-bot")
    await browser.wait_for("prompts", "What is failing?")
    await browser.click("tab-home")
    await browser.wait_for("app-home", "Nothing waits for you")
    await browser.click("action-manage")
    await bot.action("manage")


async def test_reactions(browser: Browser, bot: DemoBot) -> None:
    ts = await bot.post(text="Deployed.")
    await browser.hover(f"message-{ts}")
    await browser.click(f"react-eyes-{ts}")
    await browser.wait_for(f"reaction-eyes-{ts}", "1")
    await browser.click(f"reaction-eyes-{ts}")
    await browser.wait_gone(f"reaction-eyes-{ts}")


async def test_another_channels_messages_are_announced_in_the_sidebar(
    browser: Browser, bot: DemoBot
) -> None:
    await bot.client.chat_postMessage(channel="C0GENERAL", text="For <@U0ALICE>: look here")
    await browser.wait_for("channel-general", "(unread)")
    await browser.wait_for("channel-general .badge", "1")
    await browser.click("channel-general")
    await browser.wait_for("main", "look here")
    assert "unread" not in (await browser.text("channel-general") or "")
