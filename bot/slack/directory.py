"""Who is who in the Slack workspace: user groups, people, channels."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.client import payload, slack_errors
from core.errors import NotAllowedError
from core.ports import PresentationError
from core.records import Frozen

T = TypeVar("T")

_GROUPS_S = 15.0
_PEOPLE_S = 60.0
_CHANNELS_S = 60.0
_PAGES = 50
_log = logging.getLogger(__name__)


class Person(Frozen):
    """Somebody in Slack.

    Attributes:
        timezone: IANA name, as Slack has it of them.
        member: a full member of our own workspace, and neither guest nor Slack Connect user, nor
            a bot, nor deactivated.
    """

    id: str
    name: str
    member: bool
    timezone: str = "UTC"


class Me(Frozen):
    """The bot itself."""

    user: str
    team: str
    name: str


class _Remembered(Generic[T]):
    """Values by key that are good for some seconds; failures are not remembered."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: dict[str, tuple[float, T]] = {}

    async def get(self, key: str, find: Callable[[], Awaitable[T]]) -> T:
        known = self._values.get(key)
        now = time.monotonic()
        if known is not None and now - known[0] < self._seconds:
            return known[1]
        value = await find()
        self._values = {k: v for k, v in self._values.items() if now - v[0] < self._seconds}
        self._values[key] = (now, value)
        return value


class SlackDirectory:
    """Implements `core.security.policy.Directory`, and knows people and channels.

    A change of a group counts within 15 seconds. Where Slack cannot be asked nobody is in a
    group, so nobody gains anything by it.
    """

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._groups: _Remembered[dict[str, str]] = _Remembered(_GROUPS_S)
        self._members: _Remembered[frozenset[str]] = _Remembered(_GROUPS_S)
        self._people: _Remembered[Person] = _Remembered(_PEOPLE_S)
        self._channels: _Remembered[dict[str, str]] = _Remembered(_CHANNELS_S)
        self._names: _Remembered[str] = _Remembered(_CHANNELS_S)
        self._me: Me | None = None

    async def group_members(self, handle: str) -> frozenset[str]:
        """User ids of the group with this handle (without `@`); empty where there is none, or
        where Slack cannot be asked."""
        try:
            return await self._members.get(handle, lambda: self._find_members(handle))
        except PresentationError as error:
            _log.warning("nobody counts as member of @%s now: %s", handle, error)
            return frozenset()

    async def me(self) -> Me:
        """The bot.

        Raises:
            PresentationError: Slack cannot be asked.
        """
        if self._me is None:
            with slack_errors("say who the bot is"):
                answer = await self._client.auth_test()
            self._me = Me(user=answer["user_id"], team=answer["team_id"], name=answer["user"])
        return self._me

    async def person(self, user: str) -> Person:
        """Who that is.

        Raises:
            PresentationError: Slack cannot be asked.
        """
        return await self._people.get(user, lambda: self._find_person(user))

    async def require_member(self, user: str) -> Person:
        """Let pass who is a full member of our workspace.

        Raises:
            NotAllowedError: a guest, a Slack Connect user, a bot or somebody deactivated.
            PresentationError: Slack cannot be asked.
        """
        person = await self.person(user)
        if not person.member:
            raise NotAllowedError(
                "Only full members of this workspace can use me; guests and people from other "
                "workspaces cannot."
            )
        return person

    async def channel_id(self, name: str) -> str:
        """The id of a channel by its name, with or without `#`.

        Raises:
            PresentationError: there is none that the bot can see, or Slack cannot be asked.
        """
        found = await self.find_channel(name)
        if found is None:
            raise PresentationError(
                f"There is no channel #{name.removeprefix('#')} that I can see. Make it, or "
                "invite me to it."
            )
        return found

    async def find_channel(self, name: str) -> str | None:
        """As `channel_id`, but None where there is none that the bot can see.

        Raises:
            PresentationError: Slack cannot be asked.
        """
        channels = await self._channels.get("all", self._find_channels)
        return channels.get(name.removeprefix("#"))

    async def channel_name(self, channel: str) -> str:
        """`#name` of a channel by its id.

        Raises:
            PresentationError: there is none that the bot can see, or Slack cannot be asked.
        """
        return await self._names.get(channel, lambda: self._find_name(channel))

    async def group_id(self, handle: str) -> str | None:
        """The id of the user group with this handle (without `@`); None where there is none, or
        where Slack cannot be asked."""
        try:
            groups = await self._groups.get("all", self._find_groups)
        except PresentationError as error:
            _log.warning("@%s cannot be called now: %s", handle, error)
            return None
        return groups.get(handle)

    async def can_post_in(self, channel: str) -> bool:
        """Whether the bot is in a channel."""
        if channel.startswith("D"):
            return True
        try:
            with slack_errors("look at the channel"):
                answer = await self._client.conversations_info(channel=channel)
        except PresentationError as error:
            _log.info("cannot post in %s: %s", channel, error)
            return False
        return bool(answer["channel"].get("is_member") or answer["channel"].get("is_im"))

    async def _find_name(self, channel: str) -> str:
        with slack_errors("look at the channel"):
            answer = await self._client.conversations_info(channel=channel)
        return "#" + str(answer["channel"].get("name") or channel)

    async def _find_members(self, handle: str) -> frozenset[str]:
        groups = await self._groups.get("all", self._find_groups)
        if handle not in groups:
            _log.warning("there is no user group @%s in Slack", handle)
            return frozenset()
        with slack_errors(f"list the members of @{handle}"):
            answer = await self._client.usergroups_users_list(usergroup=groups[handle])
        return frozenset(payload(answer).get("users", []))

    async def _find_groups(self) -> dict[str, str]:
        with slack_errors("list the user groups"):
            answer = await self._client.usergroups_list()
        return {group["handle"]: group["id"] for group in payload(answer).get("usergroups", [])}

    async def _find_person(self, user: str) -> Person:
        me = await self.me()
        with slack_errors("look up a person"):
            answer = await self._client.users_info(user=user)
        found: dict[str, Any] = answer["user"]
        foreign = ("is_restricted", "is_ultra_restricted", "is_stranger", "is_bot", "deleted")
        outside = any(found.get(flag) for flag in foreign)
        profile = found.get("profile", {})
        name = profile.get("real_name") or found.get("real_name") or found.get("name") or user
        member = not outside and found.get("team_id") == me.team and user != "USLACKBOT"
        timezone = str(found.get("tz") or "UTC")[:60]
        return Person(id=user, name=str(name)[:120], member=member, timezone=timezone)

    async def _find_channels(self) -> dict[str, str]:
        channels: dict[str, str] = {}
        cursor: str | None = None
        for _ in range(_PAGES):
            with slack_errors("list the channels"):
                answer = await self._client.conversations_list(
                    exclude_archived=True, types="public_channel", limit=500, cursor=cursor
                )
            page = payload(answer)
            channels |= {c["name"]: c["id"] for c in page.get("channels", [])}
            cursor = page.get("response_metadata", {}).get("next_cursor")
            if not cursor:
                break
        return channels
