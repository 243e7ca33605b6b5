"""Block Kit on the page: every input sends what Slack would send, and text cannot do harm."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bot.workspace.page.demo_bot import BOB, DEPLOYS, DemoBot, mrkdwn, option, plain
from tests.support.browser import Browser

OPTIONS = [option("a"), option("b")]


def actions(element: dict[str, Any]) -> dict[str, Any]:
    """An actions block around one element."""
    return {"type": "actions", "block_id": "block", "elements": [{**element, "action_id": "one"}]}


@pytest.mark.parametrize(
    ("element", "clicks", "expected"),
    [
        pytest.param(
            {"type": "static_select", "options": OPTIONS, "placeholder": plain("Pick")},
            ["select-one", "option-b"],
            {"selected_option": OPTIONS[1]},
            id="static_select",
        ),
        pytest.param(
            {"type": "multi_static_select", "options": OPTIONS, "placeholder": plain("Pick")},
            ["select-one", "option-b"],
            {"selected_options": [OPTIONS[1]]},
            id="multi_static_select",
        ),
        pytest.param(
            {"type": "users_select", "placeholder": plain("Who")},
            ["select-one", f"option-{BOB}"],
            {"selected_user": BOB},
            id="users_select",
        ),
        pytest.param(
            {"type": "channels_select", "placeholder": plain("Where")},
            ["select-one", f"option-{DEPLOYS}"],
            {"selected_channel": DEPLOYS},
            id="channels_select",
        ),
        pytest.param(
            {"type": "conversations_select", "placeholder": plain("Where")},
            ["select-one", f"option-{DEPLOYS}"],
            {"selected_conversation": DEPLOYS},
            id="conversations_select",
        ),
        pytest.param(
            {"type": "overflow", "options": OPTIONS},
            ["action-one", "option-a"],
            {"selected_option": OPTIONS[0]},
            id="overflow",
        ),
        pytest.param(
            {"type": "radio_buttons", "options": OPTIONS},
            ["option-b"],
            {"selected_option": OPTIONS[1]},
            id="radio_buttons",
        ),
        pytest.param(
            {"type": "checkboxes", "options": OPTIONS, "initial_options": [OPTIONS[0]]},
            ["option-b"],
            {"selected_options": OPTIONS},
            id="checkboxes",
        ),
    ],
)
async def test_a_choice_reaches_the_bot(
    browser: Browser,
    bot: DemoBot,
    element: dict[str, Any],
    clicks: list[str],
    expected: dict[str, Any],
) -> None:
    await bot.post(actions(element))
    for target in clicks:
        await browser.click(target)
    action = await bot.action("one")
    assert action["type"] == element["type"]
    assert {key: _bare(action[key]) for key in expected} == expected


def _bare(value: Any) -> Any:
    """Without the `emoji: true` that the workspace adds to plain text, as Slack does."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if key != "emoji"}
    return [_bare(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("type_", "typed", "field", "value"),
    [
        ("datepicker", "2026-11-24", "selected_date", "2026-11-24"),
        ("timepicker", "13:05", "selected_time", "13:05"),
    ],
)
async def test_a_date_or_time_reaches_the_bot(
    browser: Browser, bot: DemoBot, type_: str, typed: str, field: str, value: str
) -> None:
    await bot.post(actions({"type": type_}))
    await browser.wait_for("input-one")
    # As a date picker's own pop-up would: it is the browser's, out of the page's reach.
    await browser.evaluate(
        "(() => { const one = document.querySelector('[data-testid=input-one]');"
        "Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(one, "
        f"'{typed}'); one.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"
    )
    assert (await bot.action("one"))[field] == value


async def test_feedback_reaches_the_bot(browser: Browser, bot: DemoBot) -> None:
    await bot.post(
        {
            "type": "context_actions",
            "block_id": "feedback",
            "elements": [
                {
                    "type": "feedback_buttons",
                    "action_id": "rate",
                    "positive_button": {"text": plain("Good"), "value": "good"},
                    "negative_button": {"text": plain("Bad"), "value": "bad"},
                }
            ],
        }
    )
    await browser.click("action-rate-negative")
    assert (await bot.action("rate"))["value"] == "bad"


async def test_a_buttons_link_opens_elsewhere_and_the_bot_is_told(
    browser: Browser, bot: DemoBot
) -> None:
    await bot.post(actions({"type": "button", "text": plain("Run"), "url": "https://ci.example/"}))
    await browser.wait_for("action-one")
    await browser.evaluate("window.open = (...args) => { window.opened = args; }")
    await browser.click("action-one")
    await bot.action("one")
    opened = await browser.evaluate("window.opened")
    assert opened == ["https://ci.example/", "_blank", "noopener,noreferrer"]


async def test_an_escaped_mention_stays_text_and_a_live_one_shows_as_such(
    browser: Browser, bot: DemoBot
) -> None:
    escaped = await bot.post(
        {"type": "section", "text": mrkdwn("&lt;!channel&gt; &lt;@U0BOB&gt; # x 2*3*4")},
        {"type": "header", "text": plain("*no* <@U0BOB>")},
        {"type": "table", "rows": [[{"type": "raw_text", "text": "*n*"}]]},
    )
    live = await bot.post({"type": "markdown", "text": "hey <!channel> and <@U0BOB>"})
    await browser.wait_for(f"message-{live}", "hey @channel and @Bob Tanaka")
    text = await browser.text(f"message-{escaped}") or ""
    assert "<!channel> <@U0BOB> # x 2*3*4" in text
    assert "*no* <@U0BOB>" in text
    assert "*n*" in text
    assert await browser.text(f"message-{escaped} .mention") is None


async def test_links_open_apart_and_scripts_and_foreign_pictures_are_inert(
    browser: Browser, bot: DemoBot
) -> None:
    ts = await bot.post(
        {"type": "section", "text": mrkdwn("<https://a.example/x|good> <javascript:alert(1)|bad>")},
        {"type": "markdown", "text": "[md](https://b.example) ![p](https://c.example/p.png)"},
        {"type": "image", "image_url": "https://d.example/p.png", "alt_text": "a graph"},
    )
    await browser.wait_for(f"message-{ts}", "a graph")
    here = f"document.querySelector('[data-testid=\"message-{ts}\"]')"
    links = await browser.evaluate(
        f"[...{here}.querySelectorAll('a')].map((a) => [a.href, a.target, a.rel.split(' ').sort()])"
    )
    apart = ["_blank", ["noopener", "noreferrer"]]
    assert links == [
        ["https://a.example/x", *apart],
        ["https://b.example/", *apart],
        ["https://c.example/p.png", *apart],
        ["https://d.example/p.png", *apart],
    ]
    assert await browser.evaluate(f"{here}.querySelectorAll('img').length") == 0
    assert "<javascript:alert(1)|bad>" in (await browser.text(f"message-{ts}") or "")
