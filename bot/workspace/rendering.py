"""Messages and people as the Web API and events show them, and as pages draw them."""

from __future__ import annotations

from bot.workspace.composer import rich_text
from bot.workspace.directory import Directory
from bot.workspace.files import FileStore
from bot.workspace.page_records import Message, Reaction
from bot.workspace.records import (
    ChannelRecord,
    FileRecord,
    GroupRecord,
    Json,
    MessageRecord,
    UserRecord,
)
from bot.workspace.storage import ThreadSummary


class Renderer:
    """Turns records into Slack's wire objects and into page objects."""

    def __init__(self, directory: Directory, files: FileStore) -> None:
        self._directory = directory
        self._files = files

    def message(
        self,
        record: MessageRecord,
        summary: ThreadSummary | None = None,
        *,
        parent_user: str | None = None,
        metadata: bool = False,
    ) -> Json:
        """A message object in Slack's shape.

        Args:
            summary: of its replies, when it is a parent.
            parent_user: author of the parent, when it is a reply.
            metadata: include `metadata` (`include_all_metadata`).
        """
        team = self._directory.team.id
        wire: Json = {"type": "message", "ts": record.ts, "text": record.text, "team": team}
        if record.tombstone:
            wire |= {"subtype": "tombstone", "user": "USLACKBOT", "hidden": True}
        elif record.username is not None:
            wire |= {"subtype": "bot_message", "username": record.username}
        else:
            wire["user"] = record.user
        if record.bot_id is not None:
            wire |= {"bot_id": record.bot_id, "app_id": self._directory.bot.app_id}
            wire["bot_profile"] = self.bot_profile()
        elif not record.tombstone:
            wire["client_msg_id"] = record.client_msg_id
            wire["blocks"] = [rich_text(record.text, f"b{record.ts[-6:]}")]
        if record.icon_emoji or record.icon_url:
            wire["icons"] = (
                {"emoji": record.icon_emoji} if record.icon_emoji else {"image_48": record.icon_url}
            )
        if record.blocks:
            wire["blocks"] = list(record.blocks)
        if record.attachments:
            wire["attachments"] = list(record.attachments)
        if record.thread_ts is not None:
            wire["thread_ts"] = record.thread_ts
            if parent_user is not None:
                wire["parent_user_id"] = parent_user
            if record.broadcast:
                wire["subtype"] = "thread_broadcast"
        elif summary is not None:
            wire |= {
                "thread_ts": record.ts,
                "reply_count": summary.count,
                "reply_users_count": len(summary.users),
                "reply_users": list(summary.users),
                "latest_reply": summary.latest,
                "is_locked": False,
            }
        if record.reactions:
            wire["reactions"] = [
                {"name": item.name, "users": list(item.users), "count": len(item.users)}
                for item in record.reactions
            ]
        if files := self._file_records(record):
            wire["files"] = [self._files.wire(item) for item in files]
        if record.edited_ts is not None:
            wire["edited"] = {"user": record.user, "ts": record.edited_ts}
        if record.pinned:
            wire["pinned_to"] = [record.channel]
        if metadata and record.metadata is not None:
            wire["metadata"] = record.metadata
        if record.stream is not None and record.stream.open:
            wire["streaming_state"] = "in_progress"
        return wire

    def _file_records(self, record: MessageRecord) -> list[FileRecord]:
        found = (self._files.get(file) for file in record.files)
        return [item for item in found if item is not None]

    def page(self, record: MessageRecord, summary: ThreadSummary | None = None) -> Message:
        """A message as pages draw it."""
        return Message(
            channel=record.channel,
            ts=record.ts,
            user=record.user,
            text=record.text,
            username=record.username,
            icon_emoji=record.icon_emoji,
            icon_url=record.icon_url,
            bot_id=record.bot_id,
            blocks=list(record.blocks),
            attachments=list(record.attachments),
            thread_ts=record.thread_ts or (record.ts if summary else None),
            reply_count=summary.count if summary else 0,
            reply_users=list(summary.users) if summary else [],
            latest_reply=summary.latest if summary else None,
            broadcast=record.broadcast,
            reactions=[
                Reaction(name=item.name, count=len(item.users), users=list(item.users))
                for item in record.reactions
            ],
            files=[self._files.page(item) for item in self._file_records(record)],
            streaming=record.stream is not None and record.stream.open,
            ephemeral=record.for_user is not None,
            pinned=record.pinned,
            edited_ts=record.edited_ts,
            unfurl_links=record.unfurl_links,
            unfurl_media=record.unfurl_media,
        )

    def bot_profile(self) -> Json:
        """The `bot_profile` of the bot's messages."""
        bot = self._directory.bot
        return {
            "id": bot.bot_id,
            "app_id": bot.app_id,
            "user_id": bot.user.id,
            "name": bot.user.real_name,
            "icons": {},
            "deleted": False,
            "updated": 0,
            "team_id": self._directory.team.id,
        }

    def user(self, record: UserRecord) -> Json:
        """A user object in Slack's shape."""
        profile = {
            "title": record.title,
            "real_name": record.real_name,
            "real_name_normalized": record.real_name,
            "display_name": record.name,
            "display_name_normalized": record.name,
            "team": self._directory.team.id,
        }
        if record.email:
            profile["email"] = record.email
        if record.is_bot:
            profile |= {
                "bot_id": self._directory.bot.bot_id,
                "api_app_id": self._directory.bot.app_id,
            }
        return {
            "id": record.id,
            "team_id": self._directory.team.id,
            "name": record.name,
            "deleted": False,
            "real_name": record.real_name,
            "tz": record.tz,
            "tz_label": record.tz,
            "tz_offset": 0,
            "profile": profile,
            "is_admin": False,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": False,
            "is_ultra_restricted": False,
            "is_bot": record.is_bot,
            "is_app_user": False,
            "updated": 0,
        }

    def group(self, record: GroupRecord, *, users: bool) -> Json:
        """A user group object in Slack's shape, with its members when `users` is set."""
        wire: Json = {
            "id": record.id,
            "team_id": self._directory.team.id,
            "is_usergroup": True,
            "name": record.name,
            "handle": record.handle,
            "description": "",
            "is_external": False,
            "date_create": 0,
            "date_update": 0,
            "date_delete": 0,
            "user_count": len(record.users),
        }
        if users:
            wire["users"] = list(record.users)
        return wire

    def channel(self, record: ChannelRecord) -> Json:
        """A conversation object in Slack's shape."""
        bot = self._directory.bot_user
        wire: Json = {
            "id": record.id,
            "created": record.created,
            "creator": record.creator,
            "is_archived": False,
            "is_im": record.is_im,
            "is_mpim": record.is_mpim,
            "is_private": record.is_private,
            "is_channel": not record.is_im and not record.is_private,
            "is_group": record.is_private and not record.is_im,
            "is_ext_shared": False,
            "is_shared": False,
            "is_org_shared": False,
            "context_team_id": self._directory.team.id,
        }
        if record.is_im:
            return wire | {"user": next(m for m in record.members if m != bot), "is_open": True}
        return wire | {
            "name": record.name,
            "name_normalized": record.name,
            "is_general": record.name == "general",
            "is_member": bot in record.members,
            "num_members": len(record.members),
            "topic": {"value": record.topic, "creator": record.creator, "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }


def channel_type(channel: ChannelRecord) -> str:
    """The `channel_type` of message events."""
    if channel.is_im:
        return "im"
    if channel.is_mpim:
        return "mpim"
    return "group" if channel.is_private else "channel"
