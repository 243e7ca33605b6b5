"""A small Bolt bot, and the blocks that it posts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.support.workspace import until

DEPLOYS = "C0DEPLOYS"
ALICE, BOB = "U0ALICE", "U0BOB"


def plain(text: str) -> dict[str, Any]:
    """A `plain_text` object."""
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> dict[str, Any]:
    """A `mrkdwn` object."""
    return {"type": "mrkdwn", "text": text}


def option(value: str) -> dict[str, Any]:
    """An option whose text is its value in capitals."""
    return {"text": plain(value.upper()), "value": value}


CARD: list[dict[str, Any]] = [
    {"type": "header", "text": plain("Revert a commit")},
    {"type": "section", "block_id": "what", "text": mrkdwn("Asked by <@U0ALICE>")},
    {
        "type": "actions",
        "block_id": "sign",
        "elements": [
            {
                "type": "button",
                "action_id": "approve",
                "text": plain("Approve"),
                "style": "primary",
                "value": "run-1",
                "confirm": {
                    "title": plain("Approve this plan?"),
                    "text": mrkdwn("It changes *production*."),
                    "confirm": plain("Approve"),
                    "deny": plain("Not yet"),
                },
            }
        ],
    },
]

MODAL: dict[str, Any] = {
    "type": "modal",
    "callback_id": "start",
    "title": plain("Run a workflow"),
    "submit": plain("Show the plan"),
    "blocks": [
        {
            "type": "input",
            "block_id": "commit",
            "label": plain("Commit"),
            "element": {"type": "plain_text_input", "action_id": "commit", "min_length": 4},
        },
        {
            "type": "input",
            "block_id": "ticket",
            "optional": True,
            "label": plain("Ticket"),
            "element": {
                "type": "external_select",
                "action_id": "ticket",
                "min_query_length": 2,
            },
        },
    ],
}


@dataclass
class DemoBot:
    """What the bot was told, and its client."""

    client: AsyncWebClient
    actions: list[dict[str, Any]] = field(default_factory=list)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[dict[str, Any]] = field(default_factory=list)

    async def post(self, *blocks: dict[str, Any], text: str = "blocks") -> str:
        """Posts to #deploys; the message's `ts`."""
        posted = await self.client.chat_postMessage(
            channel=DEPLOYS, text=text, blocks=list(blocks) or None
        )
        return str(posted["ts"])

    async def action(self, action_id: str) -> dict[str, Any]:
        """Waits for an action of this id."""
        found = await until(
            lambda: [one for one in self.actions if one["action_id"] == action_id],
            f"the action {action_id}",
        )
        return found[0]


def listen(app: AsyncApp, bot: DemoBot) -> None:
    """Lets `app` behave as the demo bot, which keeps what it was told."""

    @app.command("/ops")
    async def ops(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        match body["text"].split():
            case ["run"]:
                await ack()
                await client.views_open(trigger_id=body["trigger_id"], view=MODAL)
            case ["hang"]:
                return  # without an acknowledgement
            case _:
                await ack(text=f"Hello <@{body['user_id']}>, try `/ops run`")

    @app.event("app_mention")
    async def mentioned(event: dict[str, Any], client: AsyncWebClient, say_stream: Any) -> None:
        thread = {"channel_id": event["channel"], "thread_ts": event["ts"]}
        await client.assistant_threads_setStatus(**thread, status="is reading the runbook…")
        await client.agents_sessions_setStatus(**thread, status="processing")
        stream = await say_stream(buffer_size=1)
        await stream.append(markdown_text="## Answer\nLook at `kubectl describe` **first**")

    @app.event("agent_session_stopped")
    async def stopped(event: dict[str, Any], client: AsyncWebClient) -> None:
        bot.stopped.append(event)
        await client.agents_sessions_setStatus(
            channel_id=event["channel"], thread_ts=event["thread_ts"], status="active"
        )

    @app.event("message")
    async def message() -> None:
        """Seen, and nothing to do."""

    @app.shortcut("explain")
    async def explain(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        await client.chat_postMessage(
            channel=body["channel"]["id"], thread_ts=body["message"]["ts"], text="Explained."
        )

    @app.action(re.compile(".*"))
    async def acted(ack: Any, body: dict[str, Any], client: AsyncWebClient, respond: Any) -> None:
        await ack()
        action = body["actions"][0]
        bot.actions.append(action)
        if action["action_id"] != "approve":
            return
        if body["user"]["id"] == ALICE:
            await respond(text="You asked for this run.", replace_original=False)
            return
        signed = {"type": "context", "elements": [mrkdwn(f"Signed by <@{body['user']['id']}>")]}
        await client.chat_update(
            channel=body["channel"]["id"],
            ts=body["message"]["ts"],
            text="signed",
            blocks=[*CARD[:-1], signed],
        )

    @app.options("ticket")
    async def tickets(ack: Any, body: dict[str, Any]) -> None:
        await ack(options=[option(f"{body['value']}-1")])

    @app.view("start")
    async def start(ack: Any, body: dict[str, Any]) -> None:
        values = body["view"]["state"]["values"]
        if values["commit"]["commit"]["value"] == "ffff":
            await ack(response_action="errors", errors={"commit": "No such commit."})
            return
        if values["commit"]["commit"]["value"] == "more":
            await ack(response_action="push", view=MODAL | {"title": plain("One more")})
            return
        bot.submitted.append(values)
        await ack(response_action="clear")

    @app.event("app_home_opened")
    async def home(event: dict[str, Any], client: AsyncWebClient) -> None:
        if event["tab"] != "home":
            prompts = [{"title": "What is failing?", "message": "What is failing?"}]
            await client.assistant_threads_setSuggestedPrompts(
                channel_id=event["channel"], prompts=prompts
            )
            return
        button = {"type": "button", "action_id": "manage", "text": plain("Manage")}
        section = {"type": "section", "block_id": "home", "text": mrkdwn("Nothing waits for you")}
        view = {"type": "home", "blocks": [section | {"accessory": button}]}
        await client.views_publish(user_id=event["user"], view=view)
