"""The page's routes; `protocol` is their description."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeVar
from urllib.parse import quote

from aiohttp import WSMsgType, web
from pydantic import BaseModel, ValidationError

from bot.workspace import protocol
from bot.workspace.delivery import failure_sentence
from bot.workspace.errors import NotAcknowledgedError, PageError
from bot.workspace.page_records import Out, Team, User, UserGroup
from bot.workspace.records import ChannelRecord, MessageRecord
from bot.workspace.state import Workspace

M = TypeVar("M", bound=BaseModel)

_MESSAGES_SHOWN = 500
_REPLIES_SHOWN = 1_000
_INLINE = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_HEARTBEAT_SECONDS = 20.0


async def body_of(request: web.Request, model: type[M]) -> M:
    """Reads a JSON body.

    Raises:
        PageError: 400, it does not fit the model.
    """
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        detail = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()[:5]
        )
        raise PageError(400, "bad_request", detail) from error


def _json(value: Out) -> web.Response:
    return web.Response(text=value.model_dump_json(), content_type="application/json")


class PageApi:
    """Answers the page."""

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def routes(self) -> list[web.RouteDef]:
        """All routes under `/page/`."""
        return [
            web.get("/page/state", self.state),
            web.get("/page/messages", self.messages),
            web.get("/page/replies", self.replies),
            web.get("/page/home", self.home),
            web.get("/page/files/{id}", self.file),
            web.get("/page/live", self.live),
            web.post("/page/opened", self.opened),
            web.post("/page/say", self.say),
            web.post("/page/command", self.command),
            web.post("/page/action", self.action),
            web.post("/page/submit", self.submit),
            web.post("/page/close_view", self.close_view),
            web.post("/page/options", self.options),
            web.post("/page/shortcut", self.shortcut),
            web.post("/page/stop", self.stop),
            web.post("/page/react", self.react),
        ]

    # --- reading ---

    async def state(self, request: web.Request) -> web.Response:
        """Everything that a page needs to draw its frame; by default for the first person."""
        ws, directory = self._ws, self._ws.directory
        first = next((id_ for id_ in directory.users if id_ != directory.bot_user), "")
        user = self._person(request.query.get("user", first))
        directory.open_im(user)
        channels = directory.channels_of(user)
        ids = {channel.id for channel in channels}
        return _json(
            protocol.PageState(
                team=Team(**directory.team.model_dump()),
                user=user,
                bot_user_id=directory.bot_user,
                users=[
                    User(**person.model_dump(include=set(User.model_fields)))
                    for person in directory.users.values()
                ],
                channels=[directory.page_channel(channel, user) for channel in channels],
                user_groups=[
                    UserGroup(**group.model_dump()) for group in directory.groups.values()
                ],
                commands=list(ws.options.commands),
                shortcuts=list(ws.options.shortcuts),
                statuses=ws.agents.statuses(ids),
                prompts=ws.agents.prompts(ids),
                views=list(ws.modals.stack(user)),
                bot_connected=ws.delivery.connected,
            )
        )

    async def messages(self, request: web.Request) -> web.Response:
        """The newest top-level messages of a channel, oldest first."""
        user, channel = self._place(request)
        found = self._ws.storage.top_level(channel.id, viewer=user, limit=_MESSAGES_SHOWN)
        return self._message_list(channel, list(reversed(found)))

    async def replies(self, request: web.Request) -> web.Response:
        """A thread, its parent first."""
        user, channel = self._place(request)
        parent = self._ws.storage.message(channel.id, request.query.get("ts", ""))
        if parent is None or parent.for_user not in (None, user):
            raise PageError(404, "no_such_message", "The thread is not there any more")
        found = self._ws.storage.thread(channel.id, parent.ts, viewer=user, limit=_REPLIES_SHOWN)
        return self._message_list(channel, [parent, *found])

    def _message_list(self, channel: ChannelRecord, messages: list[MessageRecord]) -> web.Response:
        summaries = self._ws.storage.summaries(channel.id, [message.ts for message in messages])
        render = self._ws.renderer.page
        return _json(
            protocol.MessageList(
                messages=[render(message, summaries.get(message.ts)) for message in messages]
            )
        )

    async def home(self, request: web.Request) -> web.Response:
        """The user's App Home; tells the bot that it was opened."""
        user = self._person(request.query.get("user", ""))
        return _json(protocol.HomeView(view=self._ws.people.opened(user, "home")))

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file's bytes; anything but a plain picture is a download."""
        record = self._ws.files.get(request.match_info["id"])
        if record is None or record.size is None or not self._ws.files.path(record.id).is_file():
            raise PageError(404, "no_such_file", "The file is not there any more")
        picture = record.mimetype in _INLINE
        shown = "inline" if picture else "attachment"
        return web.FileResponse(
            self._ws.files.path(record.id),
            headers={
                "Content-Type": record.mimetype if picture else "application/octet-stream",
                "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(record.name, safe='')}",
                "Content-Security-Policy": "default-src 'none'; sandbox",
            },
        )

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Pushes events until the page goes."""
        user = self._person(request.query.get("user", ""))
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS, max_msg_size=1_024)
        await socket.prepare(request)
        with self._ws.live.listening(user) as listener:
            await socket.send_str(protocol.Hello(user=user).model_dump_json())
            reading = asyncio.create_task(_until_closed(socket))
            reading.add_done_callback(lambda _: listener.end())
            try:
                with contextlib.suppress(ConnectionError):
                    async for frame in listener:
                        await socket.send_str(frame)
            finally:
                reading.cancel()
                await socket.close()
        return socket

    # --- doing ---

    async def opened(self, request: web.Request) -> web.Response:
        """The direct message with the bot was opened."""
        body = await body_of(request, protocol.Opened)
        self._ws.people.opened(self._person(body.user), body.tab)
        return _json(protocol.Answer(ok=True))

    async def say(self, request: web.Request) -> web.Response:
        """Posts a message."""
        body = await body_of(request, protocol.Say)
        message = self._ws.people.say(self._channel(body.channel, body.user), body)
        return _json(protocol.Said(message=self._ws.renderer.page(message)))

    async def command(self, request: web.Request) -> web.Response:
        """Runs a slash command."""
        body = await body_of(request, protocol.Command)
        channel = self._channel(body.channel, body.user)
        try:
            await self._ws.interactions.command(channel, body)
        except NotAcknowledgedError as error:
            return self._not_acknowledged("command", error, body.text.partition(" ")[0])
        except PageError as problem:
            if problem.error not in ("unknown_command", "not_in_threads"):
                raise
            answer = protocol.Answer(ok=False, error=problem.error, message=str(problem))
            return _json(answer)
        return _json(protocol.Answer(ok=True))

    async def action(self, request: web.Request) -> web.Response:
        """Presses a button or chooses an option."""
        body = await body_of(request, protocol.Action)
        self._person(body.user)
        try:
            await self._ws.interactions.action(body)
        except NotAcknowledgedError as error:
            return self._not_acknowledged("block_actions", error)
        return _json(protocol.Answer(ok=True))

    async def options(self, request: web.Request) -> web.Response:
        """Asks for the options of an external select."""
        body = await body_of(request, protocol.OptionsQuery)
        self._person(body.user)
        try:
            return _json(await self._ws.interactions.options(body))
        except NotAcknowledgedError as error:
            answer = self._answer("block_suggestion", error)
            return _json(protocol.OptionList(**answer.model_dump()))

    async def submit(self, request: web.Request) -> web.Response:
        """Submits a modal."""
        body = await body_of(request, protocol.Submit)
        self._person(body.user)
        try:
            return _json(await self._ws.interactions.submit(body))
        except NotAcknowledgedError as error:
            answer = self._answer("view_submission", error)
            return _json(protocol.Submitted(**answer.model_dump()))

    async def close_view(self, request: web.Request) -> web.Response:
        """Closes a modal."""
        body = await body_of(request, protocol.CloseView)
        self._person(body.user)
        try:
            await self._ws.interactions.close_view(body)
        except NotAcknowledgedError as error:
            return self._not_acknowledged("view_closed", error)
        return _json(protocol.Answer(ok=True))

    async def shortcut(self, request: web.Request) -> web.Response:
        """Runs a shortcut."""
        body = await body_of(request, protocol.RunShortcut)
        self._person(body.user)
        try:
            await self._ws.interactions.shortcut(body)
        except NotAcknowledgedError as error:
            return self._not_acknowledged("shortcut", error)
        return _json(protocol.Answer(ok=True))

    async def stop(self, request: web.Request) -> web.Response:
        """Stops the bot in a thread."""
        body = await body_of(request, protocol.Stop)
        self._channel(body.channel, body.user)
        self._ws.people.stop(body)
        return _json(protocol.Answer(ok=True))

    async def react(self, request: web.Request) -> web.Response:
        """Puts an emoji on a message or takes it away."""
        body = await body_of(request, protocol.React)
        self._channel(body.channel, body.user)
        self._ws.people.react(body)
        return _json(protocol.Answer(ok=True))

    # --- shared ---

    def _person(self, user: str) -> str:
        known = self._ws.directory.users.get(user)
        if known is None or known.is_bot:
            raise PageError(404, "no_such_user", f"No person {user!r} in this workspace")
        return user

    def _channel(self, channel: str, user: str) -> ChannelRecord:
        self._person(user)
        known = self._ws.directory.channels.get(channel)
        if known is None or user not in known.members:
            raise PageError(404, "no_such_channel", f"{user} is in no channel {channel!r}")
        return known

    def _place(self, request: web.Request) -> tuple[str, ChannelRecord]:
        user = request.query.get("user", "")
        return user, self._channel(request.query.get("channel", ""), user)

    def _answer(self, what: str, error: NotAcknowledgedError, name: str = "") -> protocol.Answer:
        bot = self._ws.directory.bot.user.real_name
        message = failure_sentence(bot, what, error.why, name)
        return protocol.Answer(ok=False, error=error.why, message=message)

    def _not_acknowledged(
        self, what: str, error: NotAcknowledgedError, name: str = ""
    ) -> web.Response:
        return _json(self._answer(what, error, name))


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type in (WSMsgType.ERROR, WSMsgType.CLOSE):
            return
