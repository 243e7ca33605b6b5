"""The page's JSON API: what it shows, what it refuses, and that only its own page may use it."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from bot.workspace.composer import Composer, mentions, rich_text
from bot.workspace.protocol import LIVE_EVENT, MessageList, PageState
from bot.workspace.seed import default_seed
from bot.workspace.server import WorkspaceServer
from tests.support.workspace import Page, until, web_client

GENERAL = "C0GENERAL"


@pytest.fixture
def composer() -> Composer:
    seed = default_seed()
    return Composer([*seed.users, seed.bot.user], seed.groups, seed.channels)


@pytest.mark.parametrize(
    ("typed", "wire"),
    [
        ("@countersign help", "<@U0COUNTER> help"),
        ("hey @bob, @Carol.", "hey <@U0BOB>, <@U0CAROL>."),
        (
            "@oncall and @sre-leads",
            "<!subteam^S0ONCALL|@oncall> and <!subteam^S0SRELEADS|@sre-leads>",
        ),
        ("@here #deploys #nowhere", "<!here> <#C0DEPLOYS|deploys> #nowhere"),
        ("mail bob@acme.example @nobody", "mail bob@acme.example @nobody"),
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
        ("<!channel> <@U0BOB>", "&lt;!channel&gt; &lt;@U0BOB&gt;"),
        ("see (https://a.example/x?y=1&z=2).", "see (<https://a.example/x?y=1&amp;z=2>)."),
        ("https://a.example/@bob#deploys", "<https://a.example/@bob#deploys>"),
    ],
)
def test_typed_text_becomes_slacks_wire_form(composer: Composer, typed: str, wire: str) -> None:
    assert composer.compose(typed) == wire


def test_typed_markup_is_no_mention(composer: Composer) -> None:
    assert mentions(composer.compose("@countersign hi"), "U0COUNTER")
    assert not mentions(composer.compose("<@U0COUNTER> hi"), "U0COUNTER")


def test_people_messages_have_rich_text_beside_them(composer: Composer) -> None:
    block = rich_text(composer.compose("@bob a<b https://x.example"), "b1")
    assert block["elements"][0]["elements"] == [
        {"type": "user", "user_id": "U0BOB"},
        {"type": "text", "text": " a<b "},
        {"type": "link", "url": "https://x.example"},
    ]


async def test_the_state_has_all_that_a_frame_needs(alice: Page) -> None:
    state = PageState.model_validate(await alice.get("state"))
    assert [c.name for c in state.channels if not c.is_im] == ["deploys", "general", "incidents"]
    direct = state.channels[-1]
    assert (direct.is_im, direct.user) == (True, "U0COUNTER")
    assert {g.handle for g in state.user_groups} == {"engineers", "oncall", "sre-leads"}
    assert [c.command for c in state.commands] == ["/ops", "/tell"]
    assert [s.type for s in state.shortcuts] == ["global", "message"]
    assert not state.bot_connected


async def test_a_page_that_names_nobody_is_the_first_persons(workspace: WorkspaceServer) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{workspace.base_url}/page/state") as answer,
    ):
        assert (await answer.json())["user"] == "U0ALICE"


async def test_two_people_see_the_same_channel_live(alice: Page, bob: Page) -> None:
    sent = await alice.say(GENERAL, "hello")
    await bob.say(GENERAL, "hi", thread_ts=sent["ts"])
    await bob.post("react", channel=GENERAL, ts=sent["ts"], name="wave")
    for page in (alice, bob):
        await until(lambda page=page: len(page.seen("message")) == 2)
        changed = await until(
            lambda page=page: [e for e in page.seen("message_changed") if e["message"]["reactions"]]
        )
        assert changed[0]["message"]["reply_count"] == 1
        assert changed[0]["message"]["reactions"] == [
            {"name": "wave", "count": 1, "users": ["U0BOB"]}
        ]
        for event in page.events:
            LIVE_EVENT.validate_python(event)
    assert MessageList.model_validate(await bob.get("messages", channel=GENERAL)).messages
    again = await bob.post("react", expect=409, channel=GENERAL, ts=sent["ts"], name="wave")
    assert again["error"] == "already_reacted"
    await bob.post("react", channel=GENERAL, ts=sent["ts"], name="wave", remove=True)


async def test_a_direct_message_is_between_two(
    workspace: WorkspaceServer, alice: Page, bob: Page
) -> None:
    hers = (await alice.get("state"))["channels"][-1]["id"]
    await alice.say(hers, "secret")
    refused = await bob.post("say", expect=404, channel=hers, text="x")
    assert refused["error"] == "no_such_channel"
    assert bob.seen("message") == []
    url = f"{workspace.base_url}/page/messages"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, params={"user": "U0BOB", "channel": hers}) as answer,
    ):
        assert answer.status == 404


async def test_status_and_prompts_are_shown_and_taken_away(
    workspace: WorkspaceServer, alice: Page
) -> None:
    client = web_client(workspace)
    direct = (await alice.get("state"))["channels"][-1]["id"]
    sent = await alice.say(direct, "hello")
    prompts = [{"title": "Runs", "message": "show the runs"}]
    await client.assistant_threads_setSuggestedPrompts(channel_id=direct, prompts=prompts)
    await client.assistant_threads_setStatus(
        channel_id=direct, thread_ts=sent["ts"], status="is reading…"
    )
    state = await alice.get("state")
    assert state["prompts"][0]["prompts"] == prompts
    assert state["statuses"][0]["status"] == "is reading…"
    nothing = await alice.post("stop", expect=409, channel=direct, thread_ts=sent["ts"])
    assert nothing["error"] == "nothing_to_stop"
    await client.chat_postMessage(channel=direct, thread_ts=sent["ts"], text="done")
    await until(lambda: alice.seen("status")[-1]["status"]["status"] == "")


async def test_a_button_that_is_not_drawn_cannot_be_pressed(
    workspace: WorkspaceServer, alice: Page
) -> None:
    text = {"type": "plain_text", "text": "x"}
    select = {
        "type": "static_select",
        "action_id": "pick",
        "placeholder": text,
        "options": [{"text": text, "value": "staging"}],
    }
    sent = await web_client(workspace).chat_postMessage(
        channel=GENERAL,
        text="x",
        blocks=[{"type": "actions", "block_id": "b", "elements": [select]}],
    )
    action: dict[str, Any] = {
        "channel": GENERAL,
        "message_ts": sent["ts"],
        "block_id": "b",
        "action_id": "pick",
        "type": "static_select",
    }
    option = {"text": text, "value": "production"}
    wrong = await alice.post("action", expect=400, **action, selected_option=option)
    assert wrong["error"] == "wrong_option"
    other = await alice.post("action", expect=404, **{**action, "action_id": "approve"})
    assert other["error"] == "no_such_element"
    kind = await alice.post("action", expect=400, **{**action, "type": "button"})
    assert kind["error"] == "wrong_type"
    assert list(workspace.recorder.deliveries)[1:] == []  # the message's own event only


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("say", {"channel": GENERAL, "text": ""}, 400),
        ("say", {"channel": GENERAL, "text": "   "}, 400),
        ("say", {"channel": "general", "text": "x"}, 400),
        ("say", {"channel": "C0NOWHERE", "text": "x"}, 404),
        ("say", {"channel": GENERAL, "text": "x", "thread_ts": "1.000000"}, 404),
        ("say", {"channel": GENERAL, "text": "x", "bot_id": "B0COUNTER"}, 400),
        ("say", {"channel": GENERAL, "text": "x" * 40_001}, 400),
        ("command", {"channel": GENERAL, "text": "ops"}, 400),
        ("submit", {"view_id": "V0NONE", "values": {}}, 404),
        ("close_view", {"view_id": "V0NONE"}, 404),
        ("shortcut", {"callback_id": "none"}, 404),
        ("action", {"block_id": "b", "action_id": "a", "type": "button"}, 400),
        ("react", {"channel": GENERAL, "ts": "1.000000", "name": "eyes"}, 404),
    ],
)
async def test_a_wrong_request_is_refused(
    alice: Page, path: str, body: dict[str, Any], status: int
) -> None:
    problem = await alice.post(path, expect=status, **body)
    assert set(problem) == {"error", "message"}


async def test_nobody_can_act_as_the_bot(workspace: WorkspaceServer) -> None:
    async with aiohttp.ClientSession() as session:
        page = Page(session, workspace.base_url, "U0COUNTER")
        problem = await page.post("say", expect=404, channel=GENERAL, text="x")
    assert problem["error"] == "no_such_user"


class TestForeignSites:
    """A website open in the same browser must not be able to drive the workspace."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Host": "evil.example"},
            {"Host": "127.0.0.1.evil.example"},
            {"Host": ""},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    @pytest.mark.parametrize(
        "path", ["/page/state?user=U0BOB", "/page/home?user=U0BOB", "/dev/state"]
    )
    async def test_foreign_requests_are_refused(
        self, workspace: WorkspaceServer, headers: dict[str, str], path: str
    ) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.get(workspace.base_url + path, headers=headers) as answer,
        ):
            assert answer.status == 403
        assert list(workspace.recorder.deliveries) == []

    async def test_a_foreign_page_cannot_listen(self, workspace: WorkspaceServer) -> None:
        url = f"{workspace.base_url}/page/live?user=U0BOB"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(url, origin="https://evil.example")
        assert caught.value.status == 403

    async def test_a_form_cannot_post(self, workspace: WorkspaceServer) -> None:
        body = b'{"user": "U0BOB", "channel": "C0GENERAL", "text": "x"}'
        for path in ("/page/say", "/dev/faults"):
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    workspace.base_url + path, data=body, headers={"Content-Type": "text/plain"}
                ) as answer,
            ):
                assert answer.status == 415

    async def test_the_own_page_may(self, workspace: WorkspaceServer) -> None:
        headers = {"Origin": workspace.base_url, "Sec-Fetch-Site": "same-origin"}
        async with aiohttp.ClientSession(headers=headers) as session:
            page = Page(session, workspace.base_url, "U0BOB")
            assert (await page.say(GENERAL, "hello"))["text"] == "hello"

    async def test_answers_carry_a_strict_policy(self, workspace: WorkspaceServer) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.get(workspace.base_url + "/page/state?user=U0BOB") as answer,
        ):
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self'")
            assert "unsafe" not in policy
            assert "http" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


class TestDev:
    async def test_a_request_url_can_be_set_and_unset(
        self, workspace: WorkspaceServer, alice: Page
    ) -> None:
        url = f"{workspace.base_url}/dev/request_url"
        async with aiohttp.ClientSession() as session:
            async with session.post(url, json={"url": "http://127.0.0.1:9/slack/events"}) as answer:
                assert answer.status == 200
            assert (await alice.get("state"))["bot_connected"]
            failed = await alice.command(GENERAL, "/ops x")
            assert failed["error"] == "dispatch_failed"
            async with session.post(url, json={"url": "file:///etc/passwd"}) as answer:
                assert answer.status == 400
            async with session.post(url, json={"url": None}) as answer:
                assert answer.status == 200
            assert not (await alice.get("state"))["bot_connected"]
            deliveries = f"{workspace.base_url}/dev/deliveries?what=command"
            async with session.get(deliveries) as answer:
                record = (await answer.json())["deliveries"][0]
        assert (record["transport"], record["outcome"]) == ("http", "dispatch_failed")
        assert record["latency_ms"] > 0

    async def test_a_fault_needs_one_effect(self, workspace: WorkspaceServer) -> None:
        url = f"{workspace.base_url}/dev/faults"
        async with aiohttp.ClientSession() as session:
            for fault in ({"method": "*"}, {"method": "*", "status": 200}, {"nonsense": 1}):
                async with session.post(url, json=fault) as answer:
                    assert answer.status == 400
