"""The Web API, driven with Slack's own client: what it does, and Slack's error codes."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.models.messages.chunk import MarkdownTextChunk, TaskUpdateChunk
from slack_sdk.web.async_client import AsyncWebClient

from bot.workspace.server import WorkspaceServer
from bot.workspace.web_api.endpoint import METHODS
from tests.support.workspace import Page, until, web_client

GENERAL = "C0GENERAL"


@pytest.fixture
def client(workspace: WorkspaceServer) -> AsyncWebClient:
    return web_client(workspace)


async def error_of(call: Awaitable[Any]) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response["error"]


def section(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def modal(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    title = {"type": "plain_text", "text": "Title"}
    return {"type": "modal", "title": title, "blocks": list(blocks or [section("x")]), **more}


async def test_every_method_of_the_specification_exists() -> None:
    expected = """api.test auth.test apps.connections.open oauth.v2.access
    chat.postMessage chat.update chat.delete chat.postEphemeral chat.getPermalink
    chat.scheduleMessage chat.unfurl chat.startStream chat.appendStream chat.stopStream
    assistant.threads.setStatus assistant.threads.setTitle assistant.threads.setSuggestedPrompts
    agents.sessions.setStatus agents.sessions.rename
    conversations.list conversations.info conversations.members conversations.open
    conversations.create conversations.invite conversations.join conversations.setTopic
    conversations.history conversations.replies users.conversations
    users.info users.list users.lookupByEmail usergroups.list usergroups.users.list bots.info
    reactions.add reactions.remove pins.add bookmarks.add
    files.getUploadURLExternal files.completeUploadExternal files.info
    views.open views.push views.update views.publish
    functions.completeSuccess functions.completeError blocks.validate entity.presentDetails"""
    assert set(METHODS) == set(expected.split())


class TestTokens:
    async def test_an_unknown_method_answers_as_slack_does(self, client: AsyncWebClient) -> None:
        assert await error_of(client.api_call("search.messages")) == "unknown_method"

    async def test_tokens_are_checked(self, workspace: WorkspaceServer) -> None:
        url = workspace.api_url
        anonymous = AsyncWebClient(base_url=url)
        forger = AsyncWebClient(token="xoxb-forged", base_url=url)
        app = AsyncWebClient(token=workspace.app_token.get_secret_value(), base_url=url)
        assert await error_of(anonymous.auth_test()) == "not_authed"
        assert await error_of(forger.auth_test()) == "invalid_auth"
        assert await error_of(app.auth_test()) == "not_allowed_token_type"
        assert (
            await error_of(
                web_client(workspace).apps_connections_open(
                    app_token=workspace.bot_token.get_secret_value()
                )
            )
            == "not_allowed_token_type"
        )
        assert (await anonymous.api_test(foo="bar"))["args"] == {"foo": "bar"}

    async def test_auth_test_names_the_bot(self, client: AsyncWebClient) -> None:
        answer = await client.auth_test()
        assert (answer["user_id"], answer["bot_id"], answer["team_id"]) == (
            "U0COUNTER",
            "B0COUNTER",
            "T0ACME",
        )

    async def test_secrets_are_not_recorded(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        token = workspace.bot_token.get_secret_value()
        async with aiohttp.ClientSession() as session:
            async with session.post(
                f"{workspace.api_url}auth.test", data={"token": token}
            ) as answer:
                assert (await answer.json())["ok"]
            async with session.get(f"{workspace.base_url}/dev/calls") as answer:
                assert token not in await answer.text()
            async with session.get(f"{workspace.base_url}/dev/state") as answer:
                assert token not in await answer.text()

    async def test_an_installation_code_works_once(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        secrets = workspace.workspace.secrets
        args = {
            "client_id": secrets.client_id,
            "client_secret": secrets.client_secret,
            "code": workspace.workspace.oauth_codes.issue(),
        }
        assert (await client.oauth_v2_access(**args))["access_token"] == secrets.bot_token
        assert await error_of(client.oauth_v2_access(**args)) == "invalid_code"


class TestMessages:
    async def test_metadata_and_unfurl_flags_are_kept(
        self, client: AsyncWebClient, alice: Page
    ) -> None:
        metadata = {"event_type": "run", "event_payload": {"id": "7"}}
        sent = await client.chat_postMessage(
            channel=GENERAL, text="x", metadata=metadata, unfurl_links=False, unfurl_media=False
        )
        plain = await client.conversations_history(channel=GENERAL)
        full = await client.conversations_history(channel=GENERAL, include_all_metadata=True)
        assert "metadata" not in plain["messages"][0]
        assert full["messages"][0]["metadata"] == metadata
        shown = (await alice.messages(GENERAL))[0]
        assert (shown["ts"], shown["unfurl_links"], shown["unfurl_media"]) == (
            sent["ts"],
            False,
            False,
        )

    async def test_name_and_icon_are_shown(self, client: AsyncWebClient, alice: Page) -> None:
        await client.chat_postMessage(
            channel="#general", text="x", username="Planner", icon_emoji=":map:"
        )
        shown = (await alice.messages(GENERAL))[0]
        assert (shown["username"], shown["icon_emoji"], shown["user"]) == (
            "Planner",
            ":map:",
            "U0COUNTER",
        )

    async def test_ts_rises_even_within_a_microsecond(self, client: AsyncWebClient) -> None:
        sent = [
            (await client.chat_postMessage(channel=GENERAL, text=str(n)))["ts"] for n in range(20)
        ]
        assert sent == sorted(set(sent))
        page = await client.conversations_history(channel=GENERAL, limit=8)
        seen = [m["ts"] for m in page["messages"]]
        while page["has_more"]:
            page = await client.conversations_history(
                channel=GENERAL, limit=8, cursor=page["response_metadata"]["next_cursor"]
            )
            seen += [m["ts"] for m in page["messages"]]
        assert seen == list(reversed(sent))
        window = await client.conversations_history(
            channel=GENERAL, oldest=sent[3], latest=sent[5], inclusive=True
        )
        assert [m["ts"] for m in window["messages"]] == [sent[5], sent[4], sent[3]]
        window = await client.conversations_history(channel=GENERAL, oldest=sent[3], latest=sent[5])
        assert [m["ts"] for m in window["messages"]] == [sent[4]]

    async def test_a_thread_is_read_with_its_parent_first(self, client: AsyncWebClient) -> None:
        parent = await client.chat_postMessage(channel=GENERAL, text="parent")
        first = await client.chat_postMessage(channel=GENERAL, text="a", thread_ts=parent["ts"])
        # A reply to a reply joins the same thread.
        await client.chat_postMessage(channel=GENERAL, text="b", thread_ts=first["ts"])
        answer = await client.conversations_replies(channel=GENERAL, ts=first["ts"])
        assert [m["text"] for m in answer["messages"]] == ["parent", "a", "b"]
        assert answer["messages"][0]["reply_count"] == 2
        assert {m["thread_ts"] for m in answer["messages"]} == {parent["ts"]}
        top = await client.conversations_history(channel=GENERAL)
        assert [m["text"] for m in top["messages"]] == ["parent"]

    async def test_update_and_delete_are_for_the_bots_own_messages(
        self, client: AsyncWebClient, alice: Page
    ) -> None:
        hers = await alice.say(GENERAL, "mine")
        own = await client.chat_postMessage(channel=GENERAL, text="x", blocks=[section("x")])
        ts = own["ts"]
        assert await error_of(client.chat_update(channel=GENERAL, ts=hers["ts"], text="y")) == (
            "cant_update_message"
        )
        assert await error_of(client.chat_delete(channel=GENERAL, ts=hers["ts"])) == (
            "cant_delete_message"
        )
        changed = await client.chat_update(channel=GENERAL, ts=ts, text="y", blocks=[])
        assert "edited" in changed["message"]
        assert "blocks" not in changed["message"]
        await client.chat_postMessage(channel=GENERAL, text="reply", thread_ts=ts)
        await client.chat_delete(channel=GENERAL, ts=ts)
        tombstone = (await client.conversations_replies(channel=GENERAL, ts=ts))["messages"][0]
        assert tombstone["subtype"] == "tombstone"
        assert await error_of(client.chat_update(channel=GENERAL, ts=ts, text="z")) == (
            "message_not_found"
        )

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
            ({"channel": GENERAL}, "no_text"),
            ({"channel": GENERAL, "text": "x", "thread_ts": "1.000000"}, "thread_not_found"),
            (
                {"channel": GENERAL, "text": "x", "metadata": {"no": "type"}},
                "invalid_metadata_format",
            ),
            ({"channel": GENERAL, "text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
            ({"channel": GENERAL, "text": "x", "blocks": "{"}, "invalid_blocks_format"),
            ({"channel": GENERAL, "blocks": [section("x" * 3001)]}, "invalid_blocks"),
            ({"channel": GENERAL, "blocks": [section("")]}, "invalid_blocks"),
            ({"channel": GENERAL, "blocks": [{"type": "nonsense"}]}, "invalid_blocks"),
            ({"channel": GENERAL, "blocks": ["text"]}, "invalid_blocks"),
            ({"channel": GENERAL, "blocks": [section("x")] * 51}, "invalid_blocks"),
            (
                {
                    "channel": GENERAL,
                    "blocks": [section("x", block_id="1"), section("y", block_id="1")],
                },
                "invalid_blocks",
            ),
            (
                {
                    "channel": GENERAL,
                    "blocks": [
                        {"type": "alert", "text": {"type": "mrkdwn", "text": "modals only"}}
                    ],
                },
                "invalid_blocks",
            ),
            (
                {
                    "channel": GENERAL,
                    "blocks": [
                        {"type": "actions", "elements": [{"type": "button", "action_id": "a"}]}
                    ],
                },
                "invalid_blocks",
            ),
            ({"channel": GENERAL, "blocks": [section("x" * 2900)] * 5}, "msg_blocks_too_long"),
        ],
    )
    async def test_bad_messages_get_slacks_error(
        self, client: AsyncWebClient, arguments: dict[str, Any], expected: str
    ) -> None:
        assert await error_of(client.api_call("chat.postMessage", json=arguments)) == expected

    async def test_invalid_blocks_say_where(self, client: AsyncWebClient) -> None:
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(
                channel=GENERAL, text="x", blocks=[section("fine"), section("x" * 3001)]
            )
        assert "/blocks/1" in caught.value.response["response_metadata"]["messages"][0]

    async def test_the_blocks_of_2026_are_taken(self, client: AsyncWebClient) -> None:
        text = {"type": "plain_text", "text": "x"}
        option = {"text": text, "value": "1"}
        cell = {"type": "raw_text", "text": "x"}
        blocks = [
            {"type": "header", "text": text},
            section("x", accessory={"type": "overflow", "action_id": "o", "options": [option]}),
            {"type": "markdown", "text": "**x**"},
            {"type": "divider"},
            {"type": "table", "rows": [[cell, cell]]},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}]},
            {
                "type": "plan",
                "title": "Plan",
                "tasks": [{"type": "task_card", "task_id": "1", "title": "x", "status": "pending"}],
            },
            {
                "type": "context_actions",
                "elements": [
                    {
                        "type": "feedback_buttons",
                        "action_id": "f",
                        "positive_button": option,
                        "negative_button": {"text": text, "value": "0"},
                    }
                ],
            },
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "text": text,
                        "style": "danger",
                        "confirm": {"title": text, "text": text, "confirm": text, "deny": text},
                    },
                    {
                        "type": "static_select",
                        "action_id": "s",
                        "placeholder": text,
                        "options": [option],
                    },
                    {"type": "datepicker", "action_id": "d"},
                ],
            },
        ]
        sent = await client.chat_postMessage(channel=GENERAL, text="x", blocks=blocks)
        kept = sent["message"]["blocks"]
        assert [b["type"] for b in kept] == [b["type"] for b in blocks]
        assert len({b["block_id"] for b in kept}) == len(blocks)
        assert kept[-1]["elements"][0]["action_id"]

    async def test_a_scheduled_message_comes_later(
        self, client: AsyncWebClient, workspace: WorkspaceServer, alice: Page
    ) -> None:
        now = int(workspace.workspace.options.clock())
        assert (
            await error_of(client.chat_scheduleMessage(channel=GENERAL, text="x", post_at=now - 5))
            == "time_in_past"
        )
        await client.chat_scheduleMessage(channel=GENERAL, text="later", post_at=now + 2)
        assert await alice.messages(GENERAL) == []
        posted = await until(lambda: alice.seen("message"))
        assert posted[0]["message"]["text"] == "later"

    async def test_links_get_previews(self, client: AsyncWebClient, alice: Page) -> None:
        said = await alice.say(GENERAL, "see https://example.com/x?a=1&b=2.")
        assert said["text"] == "see <https://example.com/x?a=1&amp;b=2>."
        await client.chat_unfurl(
            channel=GENERAL,
            ts=said["ts"],
            unfurls={"https://example.com/x": {"blocks": [section("p")]}},
        )
        assert (await alice.messages(GENERAL))[0]["attachments"][0]["blocks"][0]["text"][
            "text"
        ] == "p"


class TestStreams:
    async def test_a_stream_grows_and_ends_with_blocks(
        self, client: AsyncWebClient, alice: Page
    ) -> None:
        said = await alice.say(GENERAL, "go")
        stream = await client.chat_stream(
            channel=GENERAL,
            thread_ts=said["ts"],
            recipient_team_id="T0ACME",
            recipient_user_id="U0ALICE",
            buffer_size=1,
        )
        await stream.append(markdown_text="one ")
        await stream.append(
            chunks=[TaskUpdateChunk(id="t", title="Look", status="complete", output="done")]
        )
        await stream.append(chunks=[MarkdownTextChunk(text="two")])
        answer = await stream.stop(blocks=[section("below")], session_status="active")
        assert [b["type"] for b in answer["message"]["blocks"]] == [
            "markdown",
            "task_card",
            "markdown",
            "section",
        ]
        assert answer["message"]["text"] == "one two"
        assert not (await alice.replies(GENERAL, said["ts"]))[0]["streaming"]
        assert (
            await error_of(
                client.chat_appendStream(channel=GENERAL, ts=stream.ts, markdown_text="x")
            )
            == "message_not_in_streaming_state"
        )

    async def test_bad_streams_get_slacks_error(self, client: AsyncWebClient, alice: Page) -> None:
        said = await alice.say(GENERAL, "go")
        where = {"channel": GENERAL, "thread_ts": said["ts"]}
        assert await error_of(client.chat_startStream(**where)) == "missing_recipient_user_id"
        whom = {"recipient_team_id": "T0ACME", "recipient_user_id": "U0ALICE"}
        for chunks in ([{"type": "nonsense"}], [{"type": "task_update", "id": "1"}]):
            assert await error_of(client.chat_startStream(**where, **whom, chunks=chunks)) == (
                "invalid_chunks"
            )
        started = await client.chat_startStream(**where, **whom)
        mixed = client.api_call(
            "chat.appendStream",
            json={
                "channel": GENERAL,
                "ts": started["ts"],
                "markdown_text": "x",
                "chunks": [{"type": "markdown_text", "text": "y"}],
            },
        )
        assert await error_of(mixed) == "invalid_arguments"
        assert (
            await error_of(client.chat_update(channel=GENERAL, ts=started["ts"], text="x"))
            == "streaming_state_conflict"
        )


class TestPeopleAndChannels:
    async def test_the_team_is_there(self, client: AsyncWebClient) -> None:
        members = (await client.users_list())["members"]
        assert {m["name"] for m in members} == {"alice", "bob", "carol", "dave", "countersign"}
        groups = (await client.usergroups_list(include_users=True))["usergroups"]
        by_handle = {g["handle"]: g for g in groups}
        assert by_handle["oncall"]["users"] == ["U0BOB", "U0CAROL"]
        users = await client.usergroups_users_list(usergroup=by_handle["sre-leads"]["id"])
        assert users["users"] == ["U0CAROL"]
        found = await client.users_lookupByEmail(email="bob@acme.example")
        assert found["user"]["id"] == "U0BOB"
        assert await error_of(client.users_info(user="U0NOBODY")) == "user_not_found"

    async def test_channels_are_listed_in_pages(self, client: AsyncWebClient) -> None:
        names: list[str] = []
        async for page in await client.conversations_list(limit=2):
            names += [c["name"] for c in page["channels"]]
        assert sorted(names) == ["deploys", "general", "incidents"]
        members = await client.conversations_members(channel=GENERAL)
        assert "U0DAVE" in members["members"]

    async def test_channels_are_made_joined_and_named(self, client: AsyncWebClient) -> None:
        made = (await client.conversations_create(name="inc-7"))["channel"]
        assert await error_of(client.conversations_create(name="inc-7")) == "name_taken"
        await client.conversations_setTopic(channel=made["id"], topic="Disk")
        assert (await client.conversations_info(channel=made["id"]))["channel"]["topic"][
            "value"
        ] == ("Disk")
        assert (
            await error_of(client.conversations_invite(channel=made["id"], users="U0COUNTER"))
            == "already_in_channel"
        )

    async def test_a_direct_message_is_opened_on_demand(self, client: AsyncWebClient) -> None:
        im = (await client.conversations_open(users="U0BOB"))["channel"]["id"]
        by_user = await client.chat_postMessage(channel="U0BOB", text="hi")
        assert by_user["channel"] == im
        group = (await client.conversations_open(users="U0BOB,U0CAROL"))["channel"]["id"]
        again = (await client.conversations_open(users="U0CAROL,U0BOB"))["channel"]["id"]
        assert group == again != im

    async def test_reactions_are_once_a_person(self, client: AsyncWebClient) -> None:
        ts = (await client.chat_postMessage(channel=GENERAL, text="x"))["ts"]
        args = {"channel": GENERAL, "timestamp": ts, "name": "eyes"}
        await client.reactions_add(**args)
        assert await error_of(client.reactions_add(**args)) == "already_reacted"
        await client.reactions_remove(**args)
        assert await error_of(client.reactions_remove(**args)) == "no_reaction"


class TestViews:
    async def test_a_trigger_works_once_and_for_three_seconds(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        triggers = workspace.workspace.triggers
        first, second = triggers.issue("U0ALICE"), triggers.issue("U0ALICE")
        await client.views_open(trigger_id=first, view=modal())
        assert await error_of(client.views_open(trigger_id=first, view=modal())) == (
            "exchanged_trigger_id"
        )
        triggers.expire()
        assert await error_of(client.views_open(trigger_id=second, view=modal())) == (
            "expired_trigger_id"
        )
        assert await error_of(client.views_open(trigger_id="1.2.3", view=modal())) == (
            "invalid_trigger_id"
        )

    async def test_three_modals_are_the_limit(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        def trigger() -> str:
            return workspace.workspace.triggers.issue("U0ALICE")

        await client.views_open(trigger_id=trigger(), view=modal())
        for _ in range(2):
            await client.views_push(trigger_id=trigger(), view=modal())
        assert await error_of(client.views_push(trigger_id=trigger(), view=modal())) == (
            "push_limit_reached"
        )

    async def test_a_stale_hash_is_a_conflict(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        trigger = workspace.workspace.triggers.issue("U0ALICE")
        view = (await client.views_open(trigger_id=trigger, view=modal()))["view"]
        await client.views_update(view_id=view["id"], view=modal(), hash=view["hash"])
        assert (
            await error_of(client.views_update(view_id=view["id"], view=modal(), hash=view["hash"]))
            == "hash_conflict"
        )
        assert await error_of(client.views_update(view_id="V0NONE", view=modal())) == "not_found"
        home = {"type": "home", "blocks": [section("x")]}
        published = (await client.views_publish(user_id="U0BOB", view=home))["view"]
        await client.views_publish(user_id="U0BOB", view=home, hash=published["hash"])
        assert (
            await error_of(client.views_publish(user_id="U0BOB", view=home, hash=published["hash"]))
            == "hash_conflict"
        )

    @pytest.mark.parametrize(
        ("view", "expected"),
        [
            (modal(title={"type": "plain_text", "text": "x" * 25}), "invalid_arguments"),
            (modal(private_metadata="x" * 3001), "invalid_arguments"),
            (modal({"type": "markdown", "text": "not in modals"}), "invalid_blocks"),
            (
                modal(
                    {
                        "type": "input",
                        "label": {"type": "plain_text", "text": "x"},
                        "element": {"type": "plain_text_input", "action_id": "a"},
                    }
                ),
                "invalid_arguments",  # an input without a submit button
            ),
            ({"type": "modal", "blocks": [section("no title")]}, "invalid_arguments"),
            ({"type": "modal", "title": "x", "blocks": "x"}, "invalid_blocks_format"),
        ],
    )
    async def test_bad_views_are_refused(
        self,
        client: AsyncWebClient,
        workspace: WorkspaceServer,
        view: dict[str, Any],
        expected: str,
    ) -> None:
        trigger = workspace.workspace.triggers.issue("U0ALICE")
        assert await error_of(client.views_open(trigger_id=trigger, view=view)) == expected

    async def test_blocks_validate_says_why(self, client: AsyncWebClient) -> None:
        assert (await client.blocks_validate(blocks=[section("x")]))["ok"]
        with pytest.raises(SlackApiError) as caught:
            await client.blocks_validate(view=modal(private_metadata="x" * 3001))
        assert caught.value.response["errors"][0]["code"] == "invalid_arguments"


class TestFiles:
    async def test_a_file_is_uploaded_shown_and_read(
        self, client: AsyncWebClient, workspace: WorkspaceServer, alice: Page
    ) -> None:
        content = b"line\n" * 50_000
        await client.files_upload_v2(
            channel=GENERAL, content=content, filename="../log.html", initial_comment="The log"
        )
        shown = (await alice.messages(GENERAL))[0]
        file = shown["files"][0]
        assert (shown["text"], file["size"], "/" in file["name"]) == (
            "The log",
            len(content),
            False,
        )
        async with aiohttp.ClientSession(workspace.base_url) as session:
            async with session.get(file["url"]) as answer:
                assert await answer.read() == content
                assert answer.content_type == "application/octet-stream"
                assert answer.headers["Content-Disposition"].startswith("attachment")
                assert "sandbox" in answer.headers["Content-Security-Policy"]
            private = (await client.files_info(file=file["id"]))["file"]["url_private"]
            async with session.get(private) as answer:
                assert answer.status == 403
            headers = {"Authorization": f"Bearer {client.token}"}
            async with session.get(private, headers=headers) as answer:
                assert await answer.read() == content

    async def test_more_bytes_than_announced_are_refused(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        announced = await client.files_getUploadURLExternal(filename="x", length=10)
        async with (
            aiohttp.ClientSession() as session,
            session.post(announced["upload_url"], data=b"x" * 11) as answer,
        ):
            assert answer.status == 413
        assert (
            await error_of(
                client.files_completeUploadExternal(files=[{"id": announced["file_id"]}])
            )
            == "file_not_found"
        )
        assert not list(workspace.workspace.storage.files_dir.iterdir())


class TestFaults:
    async def test_a_rate_limit_is_a_real_429(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        async with aiohttp.ClientSession() as session:
            fault = {"method": "chat.postMessage", "status": 429, "retry_after": 1}
            async with session.post(f"{workspace.base_url}/dev/faults", json=fault) as answer:
                assert answer.status == 200
        client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
        await client.chat_postMessage(channel=GENERAL, text="x")
        assert [c.error for c in workspace.recorder.calls] == ["http_429", None]

    async def test_an_answer_can_be_lost_after_the_work_was_done(
        self, client: AsyncWebClient, workspace: WorkspaceServer, alice: Page
    ) -> None:
        async with aiohttp.ClientSession() as session:
            fault = {"method": "chat.postMessage", "error": "fatal_error", "after": True}
            async with session.post(f"{workspace.base_url}/dev/faults", json=fault) as answer:
                assert answer.status == 200
        assert await error_of(client.chat_postMessage(channel=GENERAL, text="x")) == "fatal_error"
        assert len(await alice.messages(GENERAL)) == 1


class TestHostileBodies:
    @pytest.mark.parametrize(
        ("body", "kind", "expected"),
        [
            (b"{", "application/json", "invalid_json"),
            (b"\xff\xfe", "application/json", "invalid_json"),
            (b"[]", "application/json", "json_not_object"),
            (json.dumps({"channel": {"a": 1}}).encode(), "application/json", "channel_not_found"),
            (b"channel=C0NOWHERE&text=x", "application/x-www-form-urlencoded", "channel_not_found"),
        ],
    )
    async def test_a_broken_body_is_an_error_not_a_crash(
        self,
        client: AsyncWebClient,
        workspace: WorkspaceServer,
        body: bytes,
        kind: str,
        expected: str,
    ) -> None:
        headers = {"Authorization": f"Bearer {client.token}", "Content-Type": kind}
        url = f"{workspace.api_url}chat.postMessage"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            assert (await answer.json())["error"] == expected

    async def test_the_record_of_calls_leaves_out_large_arguments(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        await client.chat_postMessage(channel=GENERAL, text="x" * 100_000)
        assert set(workspace.recorder.calls[0].arguments) == {"omitted_characters"}

    async def test_a_body_over_a_mebibyte_is_413(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        url = f"{workspace.api_url}chat.postMessage"
        async with aiohttp.ClientSession() as session:
            for make in (
                lambda: {"json": {"text": "x" * 2**21}},
                lambda: {"data": _form(b"x" * 2**21)},
            ):
                async with session.post(url, **make()) as answer:
                    assert answer.status == 413


def _form(value: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("text", value, filename="x")
    return form


class TestAddresses:
    async def test_a_permalink_leads_to_the_thread_on_the_page(
        self, client: AsyncWebClient, workspace: WorkspaceServer
    ) -> None:
        parent = (await client.chat_postMessage(channel=GENERAL, text="p"))["ts"]
        reply = await client.chat_postMessage(channel=GENERAL, text="r", thread_ts=parent)
        link = await client.chat_getPermalink(channel=GENERAL, message_ts=reply["ts"])
        assert f"thread_ts={parent}" in link["permalink"]
        # People follow links from anywhere; that alone does nothing.
        headers = {"Sec-Fetch-Site": "cross-site"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(link["permalink"], allow_redirects=False) as answer,
        ):
            assert answer.status == 302
            assert answer.headers["Location"] == f"/#//{GENERAL}/{parent}"
        assert (
            await error_of(client.chat_getPermalink(channel=GENERAL, message_ts="1.000000"))
            == "message_not_found"
        )

    async def test_only_new_messages_are_addressed_by_name_or_user(
        self, client: AsyncWebClient
    ) -> None:
        await client.chat_postMessage(channel="general", text="x")
        for channel in ("general", "#general", "U0BOB"):
            assert await error_of(client.conversations_history(channel=channel)) == (
                "channel_not_found"
            )
