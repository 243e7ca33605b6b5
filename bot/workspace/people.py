"""What people do without asking the bot: writing, reacting, opening, stopping."""

from __future__ import annotations

import uuid

from bot.workspace import protocol
from bot.workspace.agents import Agents
from bot.workspace.delivery import Delivery
from bot.workspace.directory import Directory
from bot.workspace.errors import MethodError, PageError
from bot.workspace.ids import TsSource
from bot.workspace.modals import Modals
from bot.workspace.records import ChannelRecord, Json, MessageRecord
from bot.workspace.streams import Streams
from bot.workspace.timeline import Timeline


class People:
    """The deeds of people; each is shown on pages and told to the bot as an event."""

    def __init__(
        self,
        directory: Directory,
        timeline: Timeline,
        streams: Streams,
        agents: Agents,
        modals: Modals,
        delivery: Delivery,
        ts: TsSource,
    ) -> None:
        self._directory = directory
        self._timeline = timeline
        self._streams = streams
        self._agents = agents
        self._modals = modals
        self._delivery = delivery
        self._ts = ts

    def say(self, channel: ChannelRecord, request: protocol.Say) -> MessageRecord:
        """Posts what a person typed.

        Raises:
            PageError: 404, the thread is not there; 400, the text is blank.
        """
        text = self._directory.composer().compose(request.text.strip())
        if not text:
            raise PageError(400, "no_text", "The message is empty")
        thread = None
        if request.thread_ts is not None:
            try:
                thread = self._timeline.root(channel.id, request.thread_ts)
            except MethodError as error:
                raise PageError(404, error.code, "The thread is not there any more") from error
        return self._timeline.post(
            channel,
            request.user,
            text,
            thread_ts=thread,
            broadcast=request.broadcast and thread is not None,
            client_msg_id=str(uuid.uuid4()),
        )

    def react(self, request: protocol.React) -> None:
        """Puts an emoji on a message or takes it away.

        Raises:
            PageError: 404 or 409, as Slack's error says.
        """
        try:
            message = self._timeline.get(request.channel, request.ts)
            if request.remove:
                self._timeline.unreact(message, request.user, request.name)
            else:
                self._timeline.react(message, request.user, request.name)
        except MethodError as error:
            status = 404 if error.code == "message_not_found" else 409
            raise PageError(status, error.code, f"Not done: {error.code}") from error

    def opened(self, user: str, tab: str) -> Json | None:
        """Tells the bot that a person opened its home or its direct message.

        Returns:
            The home view as last published.
        """
        view = self._modals.home(user)
        event: Json = {
            "type": "app_home_opened",
            "user": user,
            "channel": self._directory.open_im(user).id,
            "tab": tab,
            "event_ts": self._ts.next(),
        }
        if tab == "home" and view is not None:
            event["view"] = view
        self._delivery.emit(event)
        return view

    def stop(self, request: protocol.Stop) -> None:
        """Stops the bot in a thread: ends its streams and tells it.

        The session's status stays; changing it is the bot's part, as with Slack.

        Raises:
            PageError: 409, there is nothing to stop.
        """
        if not self._agents.status(request.channel, request.thread_ts).stoppable:
            raise PageError(409, "nothing_to_stop", "The bot is not at work in this thread")
        ended = self._streams.end_thread(request.channel, request.thread_ts)
        self._agents.refresh(request.channel, request.thread_ts)
        self._delivery.emit(
            {
                "type": "agent_session_stopped",
                "channel": request.channel,
                "thread_ts": request.thread_ts,
                "user": request.user,
                "streaming_message_ts": ended,
                "event_ts": self._ts.next(),
            }
        )
