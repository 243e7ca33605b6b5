"""A real Bolt app beside the workspace, over HTTP and over Socket Mode."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError

from bot.workspace.server import WorkspaceServer
from tests.support.workspace import Mode, Page, bolt_app, connected, until, web_client

GENERAL = "C0GENERAL"
BOT = "U0COUNTER"


def text(value: str) -> dict[str, str]:
    return {"type": "plain_text", "text": value}


def buttons(*elements: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "actions", "block_id": "buttons", "elements": list(elements)}]


def button(action_id: str, value: str) -> dict[str, Any]:
    return {"type": "button", "action_id": action_id, "text": text(action_id), "value": value}


MODAL: dict[str, Any] = {
    "type": "modal",
    "callback_id": "run",
    "private_metadata": "plan 7",
    "notify_on_close": True,
    "title": text("Run"),
    "submit": text("Go"),
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": text("Reason"),
            "element": {"type": "plain_text_input", "action_id": "why", "min_length": 3},
        },
        {
            "type": "input",
            "block_id": "service",
            "optional": True,
            "label": text("Service"),
            "element": {
                "type": "external_select",
                "action_id": "pick",
                "min_query_length": 0,
                "placeholder": text("Service"),
            },
        },
    ],
}


async def test_a_mention_arrives_as_two_events_and_is_answered_in_the_thread(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app, seen = bolt_app(workspace), []

    @app.event("app_mention")
    async def mentioned(event: dict, say: Any) -> None:
        seen.append(event)
        await say(text=f"Hello <@{event['user']}>", thread_ts=event["ts"])

    @app.event("message")
    async def message(event: dict) -> None:
        seen.append(event)

    async with connected(app, workspace, mode):
        sent = await alice.say(GENERAL, "@countersign incident: is <prod> up?")
        assert sent["text"] == f"<@{BOT}> incident: is &lt;prod&gt; up?"
        reply = (await until(lambda: alice.replies(GENERAL, sent["ts"])))[0]
        await until(lambda: len(seen) == 2, "both events")
    assert sorted(event["type"] for event in seen) == ["app_mention", "message"]
    by_type = {event["type"]: event for event in seen}
    assert by_type["message"]["channel_type"] == "channel"
    assert by_type["app_mention"]["text"] == sent["text"]
    assert (reply["user"], reply["text"]) == (BOT, "Hello <@U0ALICE>")
    parent = (await alice.messages(GENERAL))[0]
    assert (parent["reply_count"], parent["latest_reply"]) == (1, reply["ts"])
    await until(lambda: alice.seen("message_changed"), "the parent's new count")


async def test_the_bot_hears_its_direct_messages(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app = bolt_app(workspace)

    @app.event("message")
    async def message(event: dict, say: Any) -> None:
        await say(f"{event['channel_type']}: {event['text']}")

    async with connected(app, workspace, mode):
        im = next(c for c in (await alice.get("state"))["channels"] if c["is_im"])
        await alice.say(im["id"], "hello")
        found = await until(
            lambda: alice.messages(im["id"]) if len(alice.seen("message")) == 2 else None
        )
    assert found[-1]["text"] == "im: hello"


async def test_a_slash_command_is_acknowledged_and_answered(
    workspace: WorkspaceServer, alice: Page, bob: Page, mode: Mode
) -> None:
    app, bodies = bolt_app(workspace), []

    @app.command("/ops")
    async def ops(ack: Any, body: dict, respond: Any) -> None:
        bodies.append(body)
        await ack(f"Got {body['text']}")
        await respond("For everyone", response_type="in_channel")
        await respond("For you")

    @app.command("/tell")
    async def tell(ack: Any, body: dict) -> None:
        bodies.append(body)
        await ack()

    async with connected(app, workspace, mode):
        assert await alice.command(GENERAL, "/ops run deploy <api>") == {
            "ok": True,
            "error": None,
            "message": None,
        }
        await until(lambda: len(alice.seen("ephemeral")) == 2, "both private answers")
        await alice.command(GENERAL, "/tell @bob about #deploys")
        unknown = await alice.command(GENERAL, "/nope")
        in_thread = await alice.command(
            GENERAL, "/ops x", thread_ts=(await alice.messages(GENERAL))[0]["ts"]
        )
    # Bolt sends the acknowledgement beside the listener, so either may come first.
    assert {e["message"]["text"] for e in alice.seen("ephemeral")} == {
        "Got run deploy <api>",
        "For you",
    }
    assert bodies[0]["text"] == "run deploy <api>"
    assert bodies[0]["channel_name"] == "general"
    assert bodies[1]["text"] == "<@U0BOB|bob> about <#C0DEPLOYS|deploys>"
    assert unknown["error"] == "unknown_command"
    assert in_thread["error"] == "not_in_threads"
    shown_to_bob = [m["text"] for m in await bob.messages(GENERAL)]
    assert shown_to_bob == ["For everyone"]
    assert bob.seen("ephemeral") == []


async def test_a_late_acknowledgement_is_a_timeout_that_the_person_sees(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app, forever = bolt_app(workspace), asyncio.Event()

    @app.command("/ops")
    async def ops(ack: Any) -> None:
        await forever.wait()
        await ack()

    workspace.workspace.delivery.policy = type(workspace.workspace.delivery.policy)(ack_seconds=0.2)
    async with connected(app, workspace, mode):
        answer = await alice.command(GENERAL, "/ops help")
        forever.set()
    assert (answer["ok"], answer["error"]) == (False, "operation_timeout")
    assert answer["message"] == '/ops failed with the error "operation_timeout"'
    failed = await until(lambda: alice.seen("delivery_failed"))
    assert failed[0]["what"] == "command"
    assert failed[0]["channel"] == GENERAL


async def test_buttons_send_the_stored_value_and_can_replace_their_message(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app, bodies = bolt_app(workspace), []

    @app.action(re.compile("approve"))
    async def approve(ack: Any, body: dict, action: dict, respond: Any) -> None:
        await ack()
        bodies.append(body)
        await respond(f"Approved {action['value']}", replace_original=True)

    async with connected(app, workspace, mode):
        posted = await app.client.chat_postMessage(
            channel=GENERAL, text="Plan", blocks=buttons(button("approve", "digest-1"))
        )
        shown = (await alice.messages(GENERAL))[0]
        assert shown["ts"] == posted["ts"]
        answer = await alice.press(shown, "approve", value="forged")
        assert answer["ok"]
        changed = await until(
            lambda: [m for m in alice.seen("message_changed") if "Approved" in m["message"]["text"]]
        )
    assert changed[0]["message"]["text"] == "Approved digest-1"
    assert changed[0]["message"]["blocks"] == []
    body = bodies[0]
    assert body["user"] == {
        "id": "U0ALICE",
        "username": "alice",
        "name": "alice",
        "team_id": "T0ACME",
    }
    assert body["container"] == {
        "type": "message",
        "message_ts": posted["ts"],
        "channel_id": GENERAL,
        "is_ephemeral": False,
    }
    assert body["message"]["blocks"][0]["block_id"] == "buttons"
    assert body["channel"] == {"id": GENERAL, "name": "general"}


async def test_an_ephemeral_message_has_working_buttons_for_its_reader_only(
    workspace: WorkspaceServer, alice: Page, bob: Page, mode: Mode
) -> None:
    app, bodies = bolt_app(workspace), []

    @app.action("dismiss")
    async def dismiss(ack: Any, body: dict, respond: Any) -> None:
        bodies.append(body)
        await ack()
        await respond(delete_original=True)

    async with connected(app, workspace, mode):
        await app.client.chat_postEphemeral(
            channel=GENERAL, user="U0ALICE", text="Psst", blocks=buttons(button("dismiss", "1"))
        )
        shown = (await alice.messages(GENERAL))[0]
        assert shown["ephemeral"]
        assert await bob.messages(GENERAL) == []
        refused = await bob.post(
            "action",
            expect=404,
            channel=GENERAL,
            message_ts=shown["ts"],
            block_id="buttons",
            action_id="dismiss",
            type="button",
        )
        assert refused["error"] == "no_such_message"
        await alice.press(shown, "dismiss")
        await until(lambda: alice.seen("message_deleted"))
    assert await alice.messages(GENERAL) == []
    assert bodies[0]["container"]["is_ephemeral"] is True
    assert "message" not in bodies[0]


async def test_a_modal_is_opened_filled_refused_and_submitted(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app, submitted = bolt_app(workspace), []

    @app.command("/ops")
    async def ops(ack: Any, body: dict, client: Any) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.options("pick")
    async def services(ack: Any, payload: dict) -> None:
        await ack(options=[{"text": text(f"api {payload['value']}"), "value": "api"}])

    @app.view("run")
    async def run(ack: Any, view: dict, body: dict) -> None:
        why = view["state"]["values"]["reason"]["why"]["value"]
        if why == "because":
            await ack(response_action="errors", errors={"reason": "Say more"})
            return
        submitted.append(body)
        await ack()

    async with connected(app, workspace, mode):
        await alice.command(GENERAL, "/ops run")
        view = (await until(lambda: alice.seen("view_opened")))[0]["view"]
        options = await alice.post(
            "options", view_id=view["id"], block_id="service", action_id="pick", value="x"
        )
        assert options["options"][0]["text"]["text"] == "api x"

        async def submit(why: str) -> dict[str, Any]:
            values = {
                "reason": {"why": {"type": "plain_text_input", "value": why}},
                "service": {
                    "pick": {"type": "external_select", "selected_option": options["options"][0]}
                },
                "forged": {"x": {"value": "y"}},
            }
            return await alice.post("submit", view_id=view["id"], values=values)

        empty = await submit("")
        assert empty["errors"] == {"reason": "Please complete this required field."}
        refused = await submit("because")
        assert (refused["response_action"], refused["errors"]) == ("errors", {"reason": "Say more"})
        assert len(await alice.views()) == 1
        done = await submit("the disk is full")
        assert (done["ok"], done["response_action"]) == (True, None)
        await until(lambda: alice.seen("view_closed"))
    assert [e["errors"] for e in alice.seen("view_errors")][-1] == {"reason": "Say more"}
    assert await alice.views() == []
    view = submitted[0]["view"]
    assert view["private_metadata"] == "plan 7"
    assert "forged" not in view["state"]["values"]
    chosen = view["state"]["values"]["service"]["pick"]
    assert (chosen["type"], chosen["selected_option"]["value"]) == ("external_select", "api")


async def test_modals_are_pushed_updated_cleared_and_closed(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app, closed = bolt_app(workspace), []
    second = {**MODAL, "callback_id": "second", "title": text("Second")}

    @app.shortcut("start_run")
    async def start(ack: Any, body: dict, client: Any) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.view("run")
    async def run(ack: Any) -> None:
        await ack(response_action="push", view=second)

    @app.view("second")
    async def done(ack: Any, view: dict) -> None:
        if view["state"]["values"]["reason"]["why"]["value"] == "update":
            await ack(response_action="update", view={**second, "title": text("Third")})
        else:
            await ack(response_action="clear")

    @app.view_closed("run")
    async def gone(ack: Any, body: dict) -> None:
        await ack()
        closed.append(body)

    def why(value: str) -> dict[str, Any]:
        return {"reason": {"why": {"type": "plain_text_input", "value": value}}}

    async with connected(app, workspace, mode):
        await alice.post("shortcut", callback_id="start_run")
        first = (await until(lambda: alice.views()))[0]
        pushed = await alice.post("submit", view_id=first["id"], values=why("push"))
        assert pushed["response_action"] == "push"
        top = (await alice.views())[-1]
        assert (top["root_view_id"], top["previous_view_id"]) == (first["id"], first["id"])
        await alice.post("submit", view_id=top["id"], values=why("update"))
        renewed = (await alice.views())[-1]
        assert (renewed["id"], renewed["title"]["text"]) == (top["id"], "Third")
        assert renewed["hash"] != top["hash"]
        await alice.post("submit", view_id=top["id"], values=why("clear"))
        assert await alice.views() == []
        await alice.post("shortcut", callback_id="start_run")
        again = (await until(lambda: alice.views()))[0]
        await alice.post("close_view", view_id=again["id"])
        await until(lambda: closed)
    assert closed[0]["is_cleared"] is False


async def test_the_app_home_is_published_and_its_buttons_work(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app, tabs = bolt_app(workspace), []

    @app.event("app_home_opened")
    async def opened(event: dict, client: Any) -> None:
        tabs.append((event["tab"], "view" in event))
        if event["tab"] == "home" and "view" not in event:
            view = {"type": "home", "blocks": buttons(button("refresh", "1"))}
            await client.views_publish(user_id=event["user"], view=view)

    @app.action("refresh")
    async def refresh(ack: Any, body: dict, client: Any) -> None:
        await ack()
        header = {"type": "header", "text": text("Fresh")}
        await client.views_publish(
            user_id=body["user"]["id"],
            view={"type": "home", "blocks": [header]},
            hash=body["view"]["hash"],
        )

    async with connected(app, workspace, mode):
        assert (await alice.get("home"))["view"] is None
        view = (await until(lambda: alice.seen("home_published")))[0]["view"]
        await alice.press_in_view(view, "refresh")
        await until(lambda: len(alice.seen("home_published")) == 2)
        assert (await alice.get("home"))["view"]["blocks"][0]["text"]["text"] == "Fresh"
        await alice.post("opened", tab="messages")
        await until(lambda: len(tabs) == 3)
    assert tabs == [("home", False), ("home", True), ("messages", False)]


async def test_an_answer_is_streamed_with_a_plan_and_can_be_stopped(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app, stopped, errors = bolt_app(workspace), asyncio.Event(), []

    @app.event("app_mention")
    async def mentioned(event: dict, client: Any, say_stream: Any, set_status: Any) -> None:
        await set_status("is thinking…", loading_messages=["Reading", "Writing"])
        await client.agents_sessions_setStatus(
            channel_id=event["channel"], thread_ts=event["ts"], status="processing", title="Disk"
        )
        stream = await say_stream(buffer_size=1, task_display_mode="plan", thread_ts=event["ts"])
        task = {"type": "task_update", "id": "1", "title": "Look"}
        await stream.append(chunks=[{**task, "status": "in_progress", "details": "df -h"}])
        await stream.append(markdown_text="The **disk** ")
        await stream.append(chunks=[{**task, "status": "complete"}])
        await stream.append(markdown_text="is full")
        await stopped.wait()
        try:
            await client.chat_appendStream(
                channel=event["channel"], ts=stream.ts, markdown_text="more"
            )
        except SlackApiError as error:
            errors.append(error.response["error"])
        await client.agents_sessions_setStatus(
            channel_id=event["channel"], thread_ts=event["ts"], status="active"
        )

    @app.event("agent_session_stopped")
    async def stop(event: dict) -> None:
        assert event["streaming_message_ts"]
        stopped.set()

    async with connected(app, workspace, mode):
        sent = await alice.say(GENERAL, "@countersign why?")
        await until(
            lambda: any("full" in e["message"]["text"] for e in alice.seen("message_changed")),
            "the streamed text",
        )
        streaming = (await alice.replies(GENERAL, sent["ts"]))[0]
        assert streaming["streaming"]
        plan, prose = streaming["blocks"]
        assert (plan["type"], plan["tasks"][0]["status"]) == ("plan", "complete")
        details = plan["tasks"][0]["details"]["elements"][0]["elements"][0]["text"]
        assert details == "df -h"
        assert prose["text"] == "The **disk** is full"
        status = (await alice.get("state"))["statuses"][0]
        assert (status["session"], status["stoppable"], status["title"]) == (
            "processing",
            True,
            "Disk",
        )
        assert status["status"] == ""  # taken away by the answer
        await alice.post("stop", channel=GENERAL, thread_ts=sent["ts"])
        await until(lambda: errors, "the refused append")
        await until(
            lambda: any(e["status"]["session"] == "active" for e in alice.seen("status")),
            "the session's end",
        )
    assert errors == ["message_not_in_streaming_state"]
    assert not (await alice.replies(GENERAL, sent["ts"]))[0]["streaming"]
    first = alice.seen("status")[0]["status"]
    assert (first["status"], first["loading_messages"]) == ("is thinking…", ["Reading", "Writing"])


async def test_message_shortcuts_reactions_and_joins_reach_the_bot(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app, seen = bolt_app(workspace), {}

    @app.shortcut({"type": "message_action", "callback_id": "explain"})
    async def explain(ack: Any, body: dict, respond: Any) -> None:
        await ack()
        seen["shortcut"] = body
        await respond("It means this")

    @app.event("reaction_added")
    async def reacted(event: dict) -> None:
        seen["reaction"] = event

    @app.event("member_joined_channel")
    async def joined(event: dict) -> None:
        seen["joined"] = event

    async with connected(app, workspace, mode):
        sent = await alice.say(GENERAL, "OOMKilled")
        await alice.post("shortcut", callback_id="explain", channel=GENERAL, message_ts=sent["ts"])
        await alice.post("react", channel=GENERAL, ts=sent["ts"], name="eyes")
        created = await app.client.conversations_create(name="war-room")
        await app.client.conversations_invite(channel=created["channel"]["id"], users="U0ALICE")
        await until(lambda: len(seen) == 3, "all three")
        await until(lambda: alice.seen("ephemeral"))
    assert seen["shortcut"]["message"]["text"] == "OOMKilled"
    assert seen["shortcut"]["message_ts"] == sent["ts"]
    assert seen["reaction"]["item"] == {"type": "message", "channel": GENERAL, "ts": sent["ts"]}
    assert seen["joined"]["user"] == "U0ALICE"
    assert alice.seen("channel")[-1]["channel"]["name"] == "war-room"


async def test_custom_functions_run_and_complete(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app = bolt_app(workspace)

    @app.function("run_workflow")
    async def run(inputs: dict, complete: Any) -> None:
        await complete(outputs={"doubled": inputs["n"] * 2})

    async with connected(app, workspace, mode):
        record = workspace.workspace.functions.execute(
            "run_workflow", {"n": 21}, workspace.bot_token.get_secret_value()
        )
        await until(lambda: workspace.workspace.functions.all()[0].state == "success")
    assert workspace.workspace.functions.all()[0].outputs == {"doubled": 42}
    assert workspace.workspace.functions.all()[0].id == record.id


async def test_an_unacknowledged_event_is_redelivered_with_its_reason(
    workspace: WorkspaceServer, alice: Page, mode: Mode
) -> None:
    app: AsyncApp = bolt_app(workspace)
    tries: list[tuple[str, str | None, str | None]] = []

    @app.middleware
    async def fail_twice(req: Any, body: dict, next: Any) -> Any:  # noqa: A002 - Bolt's name
        headers = req.headers
        number = (headers.get("x-slack-retry-num") or [None])[0]
        reason = (headers.get("x-slack-retry-reason") or [None])[0]
        tries.append((body["event_id"], number, reason))
        if len(tries) < 3:
            raise RuntimeError("not now")
        await next()

    @app.event("message")
    async def message() -> None:
        return None

    policy = type(workspace.workspace.delivery.policy)(
        ack_seconds=0.3, retry_delays=(0.0, 0.01, 0.02)
    )
    workspace.workspace.delivery.policy = policy
    async with connected(app, workspace, mode):
        await alice.say(GENERAL, "hello")
        await workspace.workspace.delivery.settle()
    assert len({event_id for event_id, _, _ in tries}) == 1
    assert [number for _, number, _ in tries] == [None, "1", "2"]
    assert tries[1][2] == ("http_error" if mode == "http" else "timeout")
    outcomes = [d.outcome for d in workspace.recorder.deliveries]
    assert outcomes[-1] == "acknowledged"
    assert len(outcomes) == 3


async def test_with_nothing_connected_the_person_is_told_and_the_event_is_dropped(
    workspace: WorkspaceServer, alice: Page
) -> None:
    answer = await alice.command(GENERAL, "/ops help")
    assert answer["message"] == '/ops failed with the error "dispatch_failed"'
    await alice.say(GENERAL, "@countersign hello")
    await workspace.workspace.delivery.settle()
    failed = await until(
        lambda: len(alice.seen("delivery_failed")) == 2 and alice.seen("delivery_failed")
    )
    assert [(e["what"], e["why"]) for e in failed] == [
        ("command", "dispatch_failed"),
        ("app_mention", "dispatch_failed"),
    ]


async def test_several_socket_connections_share_the_work_and_survive_a_refresh(
    workspace: WorkspaceServer, alice: Page
) -> None:
    seen: list[int] = []

    def app_number(number: int) -> AsyncApp:
        app = bolt_app(workspace)

        @app.event("message")
        async def message() -> None:
            seen.append(number)

        return app

    async with (
        connected(app_number(1), workspace, "socket"),
        connected(app_number(2), workspace, "socket"),
    ):
        await until(lambda: workspace.workspace.delivery.sockets.count == 2)
        for _ in range(4):
            await alice.say(GENERAL, "hello")
        await until(lambda: len(seen) == 4)
        assert sorted(seen) == [1, 1, 2, 2]
        await workspace.workspace.delivery.sockets.disconnect("refresh_requested")
        await until(lambda: workspace.workspace.delivery.sockets.count == 2, "new connections")
        await alice.say(GENERAL, "hello again")
        await until(lambda: len(seen) == 5)


async def test_a_forged_delivery_is_refused_by_bolt(
    workspace: WorkspaceServer, alice: Page
) -> None:
    app = bolt_app(workspace)
    workspace.workspace.secrets = workspace.workspace.secrets.model_copy(
        update={"signing_secret": "another"}
    )
    async with connected(app, workspace, "http"):
        answer = await alice.command(GENERAL, "/ops help")
    assert answer["error"] == "http_status_401"


async def test_the_messages_of_the_bot_itself_are_no_mentions(
    workspace: WorkspaceServer, alice: Page
) -> None:
    await web_client(workspace).chat_postMessage(channel=GENERAL, text=f"I am <@{BOT}>")
    await workspace.workspace.delivery.settle()
    assert [d.what for d in workspace.recorder.deliveries] == ["message"]
