"""The one way in which messages go to Slack."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from slack_sdk.web.async_client import AsyncWebClient

from bot import names
from bot.blocks.announcement import announcement as announcement_content
from bot.blocks.call import call as call_content
from bot.blocks.layout import Content, dicts, rich
from bot.blocks.markdown import plain_markdown, render_markdown
from bot.slack.client import payload, refusal, slack_errors, unrepeated
from bot.slack.directory import SlackDirectory
from bot.slack.escaping import LinkPolicy, escape_mrkdwn
from bot.slack.files import ThreadFile, upload
from bot.slack.fitting import fitted
from bot.slack.posts import Post, PostStore
from core.ports import Announcement, PostedMessage, PresentationError
from core.records import Place
from core.store.database import Database

_ON_ITS_WAY = timedelta(seconds=5)  # a request of a process that is dead
_CLOCK_DIFFERENCE = timedelta(minutes=2)
_LOOK_BACK_PAGES = 5
_OUT_OF_REACH = frozenset(
    {"not_in_channel", "channel_not_found", "user_not_in_channel", "is_archived", "no_permission"}
)
_log = logging.getLogger(__name__)


class SlackMessenger:
    """Implements `core.ports.Messenger`, and posts for everything else in the bot.

    Args:
        links: which links in outsiders' Markdown stay links.
        replica: id of this process among those that share the database.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        database: Database,
        directory: SlackDirectory,
        links: LinkPolicy,
        replica: str = "local",
    ) -> None:
        self._client = client
        self._poster = unrepeated(client)
        self._posts = PostStore(database, replica)
        self._directory = directory
        self._links = links
        # One for each key in hand; a lock nobody holds is forgotten.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def say(self, place: Place, text: str, key: str) -> PostedMessage:
        """Post once, by `key`. Markdown in `text` is drawn; mentions in it stay text.

        Raises:
            PresentationError: it could not be posted now.
        """
        blocks = dicts([rich(*render_markdown(text, self._links, 11_500))])
        spoken = escape_mrkdwn(plain_markdown(text, 3_000)) or "(no text)"
        return await self.post_once(place, Content(text=spoken, blocks=blocks), key)

    async def announce(self, announcement: Announcement) -> PostedMessage:
        """Post an announcement once, by its key.

        Raises:
            PresentationError: it could not be posted now.
        """
        content = announcement_content(announcement, self._links)
        return await self.post_once(announcement.place, content, announcement.key)

    async def tell_again(self, posted: PostedMessage, announcement: Announcement) -> None:
        """Change an announcement where it stands.

        Raises:
            PresentationError: it could not be changed now.
        """
        await self.update(posted, announcement_content(announcement, self._links))

    async def call(
        self,
        place: Place,
        groups: Sequence[str],
        users: Sequence[str],
        text: str,
        key: str,
        named: Sequence[str] = (),
    ) -> PostedMessage:
        """Post plain text once, by `key`, with mentions of these groups and people before it.

        Args:
            named: ids in the text that are shown as people.

        Raises:
            PresentationError: it could not be posted now.
        """
        found = {handle: await self._directory.group_id(handle) for handle in groups}
        return await self.post_once(place, call_content(text, found, users, named), key)

    async def post_once(self, place: Place, content: Content, key: str) -> PostedMessage:
        """Post, unless a message with this key stands already; then find it.

        Raises:
            PresentationError: it could not be posted now.
        """
        posted, _ = await self.post_or_find(place, content, key)
        return posted

    async def post_or_find(
        self, place: Place, content: Content, key: str
    ) -> tuple[PostedMessage, bool]:
        """As `post_once`; also whether it was posted just now, so that it says what is so."""
        place = await self._resolved(place)
        return await self._once(
            place,
            key,
            lambda: self.post(place, content, key),
            lambda message: _has_key(message, key),
        )

    async def post_file_once(self, place: Place, file: ThreadFile, key: str) -> PostedMessage:
        """Show a file in a thread, once, by `key`.

        Raises:
            PresentationError: it could not be shown now.
        """
        posted, _ = await self._once(
            place, key, lambda: upload(self._poster, place, file), file.stands_in
        )
        return posted

    async def post(self, place: Place, content: Content, key: str | None = None) -> PostedMessage:
        """Post. Every message of the bot goes through here.

        Raises:
            PresentationError: it could not be posted now.
        """
        place = await self._resolved(place)
        with slack_errors(f"post in {place.channel}"):
            answer = await self._poster.chat_postMessage(
                channel=place.channel,
                thread_ts=place.thread,
                text=content.text,
                blocks=fitted(content.blocks),
                metadata=_metadata(key) if key else None,
                unfurl_links=False,
                unfurl_media=False,
            )
        ts = str(answer["ts"])
        return PostedMessage(channel=str(answer["channel"]), message=ts, thread=place.thread or ts)

    async def update(self, posted: PostedMessage, content: Content) -> None:
        """Change a message in place.

        Raises:
            PresentationError: it could not be changed now.
        """
        with slack_errors(f"update a message in {posted.channel}"):
            await self._client.chat_update(
                channel=posted.channel,
                ts=posted.message,
                text=content.text,
                blocks=fitted(content.blocks),
            )

    async def whisper(self, place: Place, user: str, content: Content) -> None:
        """Tell one person only: there, or in their direct messages where the bot cannot post.

        Raises:
            PresentationError: neither worked.
        """
        place = await self._resolved(place)
        if place.channel.startswith("D"):
            await self.post(place, content)
            return
        blocks = fitted(content.blocks)
        try:
            with slack_errors(f"answer in {place.channel}"):
                await self._poster.chat_postEphemeral(
                    channel=place.channel,
                    user=user,
                    thread_ts=place.thread,
                    text=content.text,
                    blocks=blocks,
                )
        except PresentationError as error:
            if refusal(error) not in _OUT_OF_REACH:
                raise
            await self.post(Place(channel=await self.direct_channel(user)), content)

    async def direct_channel(self, user: str) -> str:
        """The channel of the direct messages with a person.

        Raises:
            PresentationError: it cannot be opened now.
        """
        with slack_errors("open a direct message"):
            answer = await self._client.conversations_open(users=user)
        return str(answer["channel"]["id"])

    async def permalink(self, posted: PostedMessage) -> str | None:
        """The address of a message; None where Slack gives none."""
        try:
            with slack_errors("give a message's address"):
                answer = await self._client.chat_getPermalink(
                    channel=posted.channel, message_ts=posted.message
                )
        except PresentationError as error:
            _log.info("no permalink: %s", error)
            return None
        return str(answer["permalink"])

    async def run_ids_in(self, place: Place) -> list[str]:
        """Ids of the runs whose cards stand in a thread or started it, newest first."""
        keys = await self._posts.keys_in(place, RUN_KEY)
        return [key.removeprefix(RUN_KEY) for key in keys]

    async def note(self, key: str, place: Place) -> None:
        """Remember that something with this key was said in a thread, by other means."""
        if await self._posts.begin(key, place) is None:
            thread = place.thread or ""
            posted = PostedMessage(channel=place.channel, message=thread, thread=thread)
            await self._posts.stands(key, posted)

    async def posted(self, key: str) -> PostedMessage | None:
        """Where the message with this key stands, if it does."""
        post = await self._posts.get(key)
        return post.posted if post else None

    async def _once(
        self,
        place: Place,
        key: str,
        post: Callable[[], Awaitable[PostedMessage]],
        shows: Callable[[dict[str, Any]], bool],
    ) -> tuple[PostedMessage, bool]:
        """Do `post`, unless it was done already; whether it was done just now.

        Args:
            shows: whether a message is the one that `post` leaves.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            earlier = await self._posts.begin(key, place)
            if earlier and (standing := await self._standing(earlier, place, shows)):
                return standing, False
            try:
                posted = await post()
            except (PresentationError, asyncio.CancelledError) as error:
                if isinstance(error, PresentationError) and refusal(error):
                    await self._posts.forget(key)  # it stands nowhere
                else:
                    await self._posts.in_doubt(key)
                raise
            await self._posts.stands(key, posted)
            return posted, True

    async def _standing(
        self, earlier: Post, place: Place, shows: Callable[[dict[str, Any]], bool]
    ) -> PostedMessage | None:
        """Where a message stands that was begun before; None where it is ours to post now.

        Raises:
            PresentationError: another replica is posting it, or Slack cannot be asked now.
        """
        if earlier.posted is not None:
            return earlier.posted
        if not await self._posts.take_up(earlier.key):
            raise PresentationError("Another replica is posting it; looking again soon.")
        try:
            found = await self._look_for(place, shows, earlier.at)
        except (PresentationError, asyncio.CancelledError):
            await self._posts.in_doubt(earlier.key)
            raise
        if found:
            await self._posts.stands(earlier.key, found)
        return found

    async def _resolved(self, place: Place) -> Place:
        if not place.channel.startswith("#"):
            return place
        return place.model_copy(update={"channel": await self._directory.channel_id(place.channel)})

    async def _look_for(
        self, place: Place, shows: Callable[[dict[str, Any]], bool], begun: datetime
    ) -> PostedMessage | None:
        """The message that a process may have posted before it could note where.

        Waits as long as it may still be on its way.

        Raises:
            PresentationError: Slack cannot be asked now.
        """
        left = begun + _ON_ITS_WAY - datetime.now(UTC)
        await asyncio.sleep(max(0.0, left.total_seconds()))
        oldest = f"{(begun - _CLOCK_DIFFERENCE).timestamp():.6f}"
        arguments: dict[str, Any] = {
            "channel": place.channel,
            "oldest": oldest,
            "include_all_metadata": True,
            "limit": 200,
        }
        for _ in range(_LOOK_BACK_PAGES):
            with slack_errors(f"read {place.channel}"):
                answer = await (
                    self._client.conversations_replies(ts=place.thread, **arguments)
                    if place.thread
                    else self._client.conversations_history(**arguments)
                )
            page = payload(answer)
            for message in page.get("messages", []):
                if shows(message):
                    ts = str(message["ts"])
                    return PostedMessage(
                        channel=place.channel, message=ts, thread=place.thread or ts
                    )
            cursor = page.get("response_metadata", {}).get("next_cursor")
            if not cursor:
                return None
            arguments["cursor"] = cursor
        return None


RUN_KEY = "run:"
"""Beginning of the key under which a run's card is posted."""


def _has_key(message: dict[str, Any], key: str) -> bool:
    return bool(message.get("metadata", {}).get("event_payload", {}).get("key") == key)


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": names.METADATA, "event_payload": {"key": key}}
