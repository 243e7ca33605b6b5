"""Who and what there is: the team, people, groups and channels."""

from __future__ import annotations

import time

from bot.workspace.composer import Composer
from bot.workspace.errors import MethodError
from bot.workspace.ids import im_channel_id, new_id
from bot.workspace.live import LiveHub
from bot.workspace.page_records import Channel
from bot.workspace.protocol import ChannelChanged
from bot.workspace.records import BotRecord, ChannelRecord, GroupRecord, TeamRecord, UserRecord
from bot.workspace.seed import WorkspaceSeed
from bot.workspace.storage import Storage


class Directory:
    """People, groups and channels, held in memory and written through to the storage.

    Args:
        seed: used when the storage is new, else ignored.
    """

    def __init__(self, storage: Storage, live: LiveHub, seed: WorkspaceSeed) -> None:
        self._storage = storage
        self._live = live
        team = storage.get("team", "team", TeamRecord)
        if team is None:
            self._plant(seed)
            team = seed.team
        self.team = team
        bot = storage.get("bot", "bot", BotRecord)
        self.bot = bot or seed.bot
        self.users = storage.all("user", UserRecord)
        self.groups = storage.all("group", GroupRecord)
        self.channels = storage.all("channel", ChannelRecord)

    def _plant(self, seed: WorkspaceSeed) -> None:
        now = int(time.time())
        with self._storage.together():
            self._storage.put("team", "team", seed.team)
            self._storage.put("bot", "bot", seed.bot)
            for user in (*seed.users, seed.bot.user):
                self._storage.put("user", user.id, user)
            for group in seed.groups:
                self._storage.put("group", group.id, group)
            for channel in seed.channels:
                stored = channel.model_copy(update={"created": channel.created or now})
                self._storage.put("channel", channel.id, stored)

    @property
    def bot_user(self) -> str:
        """The bot's user id."""
        return self.bot.user.id

    def composer(self) -> Composer:
        """The composer for the names that exist now."""
        return Composer(self.users.values(), self.groups.values(), self.channels.values())

    def addressee(self, name_or_id: str) -> ChannelRecord:
        """Where a message is to go: a channel's id, name or `#name`, or a user's id.

        Raises:
            MethodError: `channel_not_found` or `not_in_channel`.
        """
        if name_or_id in self.users and name_or_id != self.bot_user:
            return self.open_im(name_or_id)
        name = name_or_id.removeprefix("#")
        named = (c.id for c in self.channels.values() if c.name and c.name == name)
        return self.joined(next(named, name_or_id))

    def channel(self, channel_id: str) -> ChannelRecord:
        """Reads a channel.

        Raises:
            MethodError: `channel_not_found`.
        """
        if channel_id not in self.channels:
            raise MethodError("channel_not_found")
        return self.channels[channel_id]

    def joined(self, channel_id: str) -> ChannelRecord:
        """Reads a channel that the bot must be in.

        Raises:
            MethodError: `channel_not_found` or `not_in_channel`.
        """
        channel = self.channel(channel_id)
        if self.bot_user not in channel.members:
            raise MethodError("not_in_channel")
        return channel

    def user(self, user: str) -> UserRecord:
        """Reads a user.

        Raises:
            MethodError: `user_not_found`.
        """
        if user not in self.users:
            raise MethodError("user_not_found")
        return self.users[user]

    def channels_of(self, user: str) -> list[ChannelRecord]:
        """The channels that a user is in, by name, direct messages last."""
        return sorted(
            (channel for channel in self.channels.values() if user in channel.members),
            key=lambda channel: (channel.is_im, channel.name),
        )

    def open_im(self, user: str) -> ChannelRecord:
        """The direct message between a user and the bot, made when there is none yet."""
        id_ = im_channel_id(user)
        if id_ not in self.channels:
            self.put_channel(
                ChannelRecord(
                    id=id_,
                    is_im=True,
                    is_private=True,
                    members=(user, self.bot_user),
                    creator=user,
                    created=int(time.time()),
                )
            )
        return self.channels[id_]

    def create_channel(
        self, name: str, members: tuple[str, ...], *, private: bool = False, mpim: bool = False
    ) -> ChannelRecord:
        """Makes a channel.

        Raises:
            MethodError: `name_taken`.
        """
        if any(channel.name == name for channel in self.channels.values()):
            raise MethodError("name_taken")
        channel = ChannelRecord(
            id=new_id("C"),
            name=name,
            members=members,
            is_private=private or mpim,
            is_mpim=mpim,
            creator=self.bot_user,
            created=int(time.time()),
        )
        self.put_channel(channel)
        return channel

    def put_channel(self, channel: ChannelRecord) -> None:
        """Stores a channel and tells its members' pages."""
        self._storage.put("channel", channel.id, channel)
        self.channels[channel.id] = channel
        for member in channel.members:
            self._live.publish(ChannelChanged(channel=self.page_channel(channel, member)), [member])

    def page_channel(self, channel: ChannelRecord, viewer: str) -> Channel:
        """A channel as the viewer's page draws it."""
        other = next((member for member in channel.members if member != viewer), None)
        return Channel(
            id=channel.id,
            name=channel.name,
            is_im=channel.is_im,
            user=other if channel.is_im else None,
            topic=channel.topic,
            members=list(channel.members),
            latest=self._storage.latest_in(channel.id),
        )
