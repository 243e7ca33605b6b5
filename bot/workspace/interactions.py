"""Commands, presses, modals and shortcuts: what a person does, told to the bot as Slack does.

https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

from bot.workspace import protocol
from bot.workspace.delivery import Delivery
from bot.workspace.directory import Directory
from bot.workspace.elements import action_payload, find_element, input_errors, input_values
from bot.workspace.errors import MethodError, NotAcknowledgedError, PageError
from bot.workspace.ids import TsSource
from bot.workspace.live import LiveHub
from bot.workspace.modals import Modals
from bot.workspace.protocol import ViewErrors
from bot.workspace.records import ChannelRecord, Json, MessageRecord
from bot.workspace.rendering import Renderer
from bot.workspace.responses import Responses
from bot.workspace.timeline import Timeline
from bot.workspace.triggers import Triggers


class Interactions:
    """Delivers what people do and acts on the acknowledgement.

    Every method raises `PageError` for what is not there (404) or cannot be (400), and
    `NotAcknowledgedError` when the bot did not take it.
    """

    def __init__(
        self,
        directory: Directory,
        timeline: Timeline,
        renderer: Renderer,
        modals: Modals,
        triggers: Triggers,
        responses: Responses,
        delivery: Delivery,
        live: LiveHub,
        ts: TsSource,
        commands: tuple[protocol.SlashCommand, ...],
        shortcuts: tuple[protocol.Shortcut, ...],
    ) -> None:
        self._directory = directory
        self._timeline = timeline
        self._renderer = renderer
        self._modals = modals
        self._triggers = triggers
        self._responses = responses
        self._delivery = delivery
        self._live = live
        self._ts = ts
        self.commands = commands
        self.shortcuts = shortcuts

    # --- slash commands ---

    async def command(self, channel: ChannelRecord, request: protocol.Command) -> None:
        """Runs a slash command and shows the answer that came with the acknowledgement."""
        name, _, text = request.text.partition(" ")
        known = next((item for item in self.commands if item.command == name.lower()), None)
        if known is None:
            raise PageError(
                404,
                "unknown_command",
                f"{name} is not a valid command. In a channel, type / for a list",
            )
        if request.thread_ts is not None:
            raise PageError(
                409, "not_in_threads", f"{known.command} is not supported in threads. Sorry!"
            )
        text = text.strip()
        if known.should_escape:
            text = self._directory.composer().compose(text, labelled=True)
        team, user = self._directory.team, self._directory.users[request.user]
        url, hook = self._responses.issue(channel.id, user.id)
        payload = {
            "token": self._delivery.verification_token,
            "team_id": team.id,
            "team_domain": team.domain,
            "channel_id": channel.id,
            "channel_name": "directmessage" if channel.is_im else channel.name,
            "user_id": user.id,
            "user_name": user.name,
            "command": known.command,
            "text": text,
            "api_app_id": self._directory.bot.app_id,
            "is_enterprise_install": "false",
            "response_url": url,
            "trigger_id": self._triggers.issue(user.id),
        }
        answer = await self._delivery.ask(
            "slash_commands", "command", payload, user=user.id, channel=channel.id
        )
        if answer.get("text") or answer.get("blocks") or answer.get("attachments"):
            try:
                self._responses.respond(hook, answer)
            except MethodError as error:
                self._delivery.tell_failed(
                    "command", error.code, user=user.id, channel=channel.id, name=known.command
                )
                raise NotAcknowledgedError(error.code) from error

    # --- presses and choices ---

    async def action(self, request: protocol.Action) -> None:
        """Delivers `block_actions`."""
        place = self._place(request.user, request.channel, request.message_ts, request.view_id)
        payload = self._base("block_actions", request.user)
        if isinstance(place, MessageRecord):
            element = find_element(
                [*place.blocks, *place.attachments], request.block_id, request.action_id
            )
            values = input_values({"blocks": list(place.blocks)}, request.state.values)
            payload |= self._about_message(request.user, place)
            payload |= {
                "trigger_id": self._triggers.issue(request.user),
                "state": {"values": values},
            }
        else:
            view = place
            element = find_element(view["blocks"], request.block_id, request.action_id)
            values = input_values(view, request.state.values)
            view = self._modals.with_state(request.user, view, values)
            payload |= {
                "trigger_id": self._triggers.issue(request.user, view["id"]),
                "container": {"type": "view", "view_id": view["id"]},
                "view": view,
            }
        payload["actions"] = [action_payload(element, request, self._ts.next())]
        await self._delivery.ask(
            "interactive", "block_actions", payload, user=request.user, channel=request.channel
        )

    async def options(self, request: protocol.OptionsQuery) -> protocol.OptionList:
        """Asks the bot for the options of an external select."""
        place = self._place(request.user, request.channel, request.message_ts, request.view_id)
        payload = self._base("block_suggestion", request.user) | {
            "action_id": request.action_id,
            "block_id": request.block_id,
            "value": request.value,
        }
        if isinstance(place, MessageRecord):
            find_element(place.blocks, request.block_id, request.action_id)
            payload |= self._about_message(request.user, place, with_url=False)
        else:
            find_element(place["blocks"], request.block_id, request.action_id)
            payload |= {"container": {"type": "view", "view_id": place["id"]}, "view": place}
        answer = await self._delivery.ask(
            "interactive", "block_suggestion", payload, user=request.user, channel=request.channel
        )
        return protocol.OptionList(
            ok=True,
            options=answer.get("options") or [],
            option_groups=answer.get("option_groups") or [],
        )

    # --- modals ---

    async def submit(self, request: protocol.Submit) -> protocol.Submitted:
        """Delivers `view_submission` and does what the bot's `response_action` says."""
        view = self._modal(request.user, request.view_id)
        values = input_values(view, request.values)
        if errors := input_errors(view, values):
            return self._refused(request.user, view, errors)
        view = self._modals.with_state(request.user, view, values)
        payload = self._base("view_submission", request.user) | {
            "trigger_id": self._triggers.issue(request.user, view["id"]),
            "view": view,
            "response_urls": [],
        }
        answer = await self._delivery.ask(
            "interactive", "view_submission", payload, user=request.user
        )
        try:
            return self._after_submission(request.user, view, answer)
        except MethodError as error:
            detail = "; ".join((error.code, *error.messages))
            self._delivery.tell_failed("view_submission", detail, user=request.user)
            raise NotAcknowledgedError(error.code) from error

    def _after_submission(self, user: str, view: Json, answer: Json) -> protocol.Submitted:
        action = answer.get("response_action")
        if action == "errors":
            errors = answer.get("errors")
            known = {block["block_id"] for block in view["blocks"]}
            if not isinstance(errors, dict) or not errors or not set(errors) <= known:
                raise MethodError("bad_response", ["errors must name blocks of the view"])
            return self._refused(user, view, {key: str(text) for key, text in errors.items()})
        if action == "update":
            self._modals.replace(user, view, answer.get("view") or {})
        elif action == "push":
            self._modals.push(user, answer.get("view") or {})
        elif action == "clear":
            self._modals.drop(user)
        elif action is None:
            self._modals.pop(user, view["id"])
        else:
            raise MethodError("bad_response", [f"unknown response_action {action!r}"])
        return protocol.Submitted(ok=True, response_action=action)

    def _refused(self, user: str, view: Json, errors: dict[str, str]) -> protocol.Submitted:
        self._live.publish(ViewErrors(view_id=view["id"], errors=errors), [user])
        return protocol.Submitted(ok=True, response_action="errors", errors=errors)

    async def close_view(self, request: protocol.CloseView) -> None:
        """Closes a modal (or all), and delivers `view_closed` where the bot asked for it."""
        view = self._modal(request.user, request.view_id)
        everything = request.all or bool(view["clear_on_close"])
        closed = (
            self._modals.drop(request.user)
            if everything
            else self._modals.pop(request.user, view["id"])
        )
        for gone in closed:
            if gone["notify_on_close"]:
                payload = self._base("view_closed", request.user)
                payload |= {"view": gone, "is_cleared": everything}
                await self._delivery.ask("interactive", "view_closed", payload, user=request.user)

    # --- shortcuts ---

    async def shortcut(self, request: protocol.RunShortcut) -> None:
        """Delivers `shortcut` or `message_action`."""
        known = next((s for s in self.shortcuts if s.callback_id == request.callback_id), None)
        if known is None:
            raise PageError(404, "no_such_shortcut", f"No shortcut {request.callback_id!r}")
        what = "shortcut" if known.type == "global" else "message_action"
        payload = self._base(what, request.user) | {
            "callback_id": known.callback_id,
            "trigger_id": self._triggers.issue(request.user),
            "action_ts": self._ts.next(),
        }
        if known.type == "message":
            message = self._place(request.user, request.channel, request.message_ts, None)
            if not isinstance(message, MessageRecord) or message.for_user is not None:
                raise PageError(
                    400, "no_message", "A message shortcut needs a message of a channel"
                )
            about = self._about_message(request.user, message)
            payload |= {key: about[key] for key in ("channel", "message", "response_url")}
            payload["message_ts"] = message.ts
        await self._delivery.ask(
            "interactive", what, payload, user=request.user, channel=request.channel
        )

    # --- shared ---

    def _base(self, type_: str, user_id: str) -> Json:
        team, user = self._directory.team, self._directory.users[user_id]
        return {
            "type": type_,
            "token": self._delivery.verification_token,
            "team": {"id": team.id, "domain": team.domain},
            "user": {
                "id": user.id,
                "username": user.name,
                "name": user.name,
                "team_id": team.id,
            },
            "api_app_id": self._directory.bot.app_id,
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _about_message(self, user: str, message: MessageRecord, *, with_url: bool = True) -> Json:
        channel = self._directory.channels[message.channel]
        container: Json = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": message.for_user is not None,
        }
        if message.thread_ts is not None:
            container["thread_ts"] = message.thread_ts
        about: Json = {
            "container": container,
            "channel": {
                "id": channel.id,
                "name": "directmessage" if channel.is_im else channel.name,
            },
        }
        if with_url:
            about["response_url"], _ = self._responses.issue(
                channel.id, user, message.ts, message.thread_ts
            )
        if message.for_user is None:
            summary = self._timeline.storage.summaries(channel.id, [message.ts]).get(message.ts)
            about["message"] = self._renderer.message(message, summary)
        return about

    def _modal(self, user: str, view_id: str) -> Json:
        view = next((v for v in self._modals.stack(user) if v["id"] == view_id), None)
        if view is None:
            raise PageError(404, "no_such_view", "The modal is not open any more")
        return view

    def _place(
        self, user: str, channel: str | None, message_ts: str | None, view_id: str | None
    ) -> MessageRecord | Json:
        if (message_ts is None) == (view_id is None) or (message_ts and channel is None):
            raise PageError(400, "no_place", "Send either channel and message_ts, or view_id")
        if view_id is not None:
            view = self._modals.find(user, view_id)
            if view is None:
                raise PageError(404, "no_such_view", "The view is not open any more")
            return view
        known = self._directory.channels.get(channel or "")
        message = self._timeline.storage.message(channel or "", message_ts or "")
        if (
            known is None
            or user not in known.members
            or message is None
            or message.for_user not in (None, user)
        ):
            raise PageError(404, "no_such_message", "The message is not there any more")
        return message
