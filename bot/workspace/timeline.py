"""Messages: stored, shown on open pages, and told to the bot as events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.workspace.composer import mentions
from bot.workspace.directory import Directory
from bot.workspace.errors import MethodError
from bot.workspace.ids import TsSource
from bot.workspace.live import LiveHub
from bot.workspace.protocol import Ephemeral, MessageChanged, MessageDeleted, Posted
from bot.workspace.records import ChannelRecord, Json, MessageRecord, ReactionRecord
from bot.workspace.rendering import Renderer, channel_type
from bot.workspace.storage import Storage

Emit = Callable[[Json], None]
"""Tells the bot an event (the inner `event` object), if its app subscribes to it."""


class Timeline:
    """All messages of all channels."""

    def __init__(
        self,
        storage: Storage,
        directory: Directory,
        live: LiveHub,
        ts: TsSource,
        renderer: Renderer,
        emit: Emit,
    ) -> None:
        self.storage = storage
        self._directory = directory
        self._live = live
        self._ts = ts
        self._renderer = renderer
        self._emit = emit

    def root(self, channel: str, thread_ts: str) -> str:
        """The parent's `ts` of the thread that a message starts or is in.

        Raises:
            MethodError: `thread_not_found`.
        """
        message = self.storage.message(channel, thread_ts)
        if message is None:
            raise MethodError("thread_not_found")
        return message.thread_ts or message.ts

    def get(self, channel: str, ts: str) -> MessageRecord:
        """Reads a message that everyone sees.

        Raises:
            MethodError: `message_not_found`.
        """
        message = self.storage.message(channel, ts)
        if message is None or message.tombstone or message.for_user is not None:
            raise MethodError("message_not_found")
        return message

    def post(self, channel: ChannelRecord, user: str, text: str, **fields: Any) -> MessageRecord:
        """Adds a message; `fields` are those of `MessageRecord`.

        `for_user` makes it ephemeral: no event, no thread count, one reader.
        """
        message = MessageRecord(
            channel=channel.id, ts=self._ts.next(), user=user, text=text, **fields
        )
        self.storage.put_message(message)
        if message.for_user is not None:
            self._live.publish(Ephemeral(message=self._renderer.page(message)), [message.for_user])
            return message
        self._live.publish(Posted(message=self._renderer.page(message)), channel.members)
        if message.thread_ts is not None:
            self._show_parent(channel, message.thread_ts)
        self._tell_posted(channel, message)
        return message

    def change(self, message: MessageRecord, *, tell: bool = True, **fields: Any) -> MessageRecord:
        """Stores a message with other fields and shows it; `tell`: as an event, too."""
        changed = message.model_copy(update=fields)
        self.storage.put_message(changed)
        channel = self._directory.channels[message.channel]
        self._show(channel, changed)
        if tell and changed.for_user is None:
            self._tell_hidden(
                channel,
                "message_changed",
                message=self._renderer.message(changed),
                previous_message=self._renderer.message(message),
            )
        return changed

    def delete(self, message: MessageRecord) -> None:
        """Removes a message; a parent with replies stays as a tombstone."""
        channel = self._directory.channels[message.channel]
        replies = self.storage.summaries(channel.id, [message.ts])
        if replies and message.for_user is None:
            gone = MessageRecord(
                channel=message.channel,
                ts=message.ts,
                user=message.user,
                text="This message was deleted.",
                tombstone=True,
            )
            self.storage.put_message(gone)
            self._show(channel, gone)
        else:
            self.storage.delete_message(message.channel, message.ts)
            self._live.publish(
                MessageDeleted(channel=channel.id, ts=message.ts, thread_ts=message.thread_ts),
                [message.for_user] if message.for_user else channel.members,
            )
            if message.thread_ts is not None and message.for_user is None:
                self._show_parent(channel, message.thread_ts)
        if message.for_user is None:
            self._tell_hidden(
                channel,
                "message_deleted",
                deleted_ts=message.ts,
                previous_message=self._renderer.message(message),
            )

    def react(self, message: MessageRecord, user: str, name: str) -> None:
        """Puts an emoji on a message.

        Raises:
            MethodError: `already_reacted`.
        """
        before = {item.name: item.users for item in message.reactions}
        if user in before.get(name, ()):
            raise MethodError("already_reacted")
        before[name] = (*before.get(name, ()), user)
        self._set_reactions(message, before)
        self._tell_reaction("reaction_added", message, user, name)

    def unreact(self, message: MessageRecord, user: str, name: str) -> None:
        """Takes a user's emoji off a message.

        Raises:
            MethodError: `no_reaction`.
        """
        before = {item.name: item.users for item in message.reactions}
        if user not in before.get(name, ()):
            raise MethodError("no_reaction")
        before[name] = tuple(other for other in before[name] if other != user)
        self._set_reactions(message, before)
        self._tell_reaction("reaction_removed", message, user, name)

    def _set_reactions(self, message: MessageRecord, users: dict[str, tuple[str, ...]]) -> None:
        reactions = tuple(
            ReactionRecord(name=name, users=those) for name, those in users.items() if those
        )
        self.change(message, tell=False, reactions=reactions)

    # --- pages ---

    def _show(self, channel: ChannelRecord, message: MessageRecord) -> None:
        summary = self.storage.summaries(channel.id, [message.ts]).get(message.ts)
        self._live.publish(
            MessageChanged(message=self._renderer.page(message, summary)),
            [message.for_user] if message.for_user else channel.members,
        )

    def _show_parent(self, channel: ChannelRecord, ts: str) -> None:
        parent = self.storage.message(channel.id, ts)
        if parent is not None:
            self._show(channel, parent)

    # --- events ---

    def _tell_posted(self, channel: ChannelRecord, message: MessageRecord) -> None:
        parent = self.storage.message(channel.id, message.thread_ts) if message.thread_ts else None
        event = self._renderer.message(message, parent_user=parent.user if parent else None) | {
            "channel": channel.id,
            "channel_type": channel_type(channel),
            "event_ts": message.ts,
        }
        self._emit(event)
        by_person = message.bot_id is None
        if by_person and not channel.is_im and mentions(message.text, self._directory.bot_user):
            mention = {**event, "type": "app_mention"}
            del mention["channel_type"]
            self._emit(mention)

    def _tell_hidden(self, channel: ChannelRecord, subtype: str, **fields: Json | str) -> None:
        ts = self._ts.next()
        self._emit(
            {
                "type": "message",
                "subtype": subtype,
                "hidden": True,
                "channel": channel.id,
                "channel_type": channel_type(channel),
                "ts": ts,
                "event_ts": ts,
                **fields,
            }
        )

    def _tell_reaction(self, type_: str, message: MessageRecord, user: str, name: str) -> None:
        self._emit(
            {
                "type": type_,
                "user": user,
                "reaction": name,
                "item_user": message.user,
                "item": {"type": "message", "channel": message.channel, "ts": message.ts},
                "event_ts": self._ts.next(),
            }
        )
