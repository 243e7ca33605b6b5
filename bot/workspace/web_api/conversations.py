"""conversations.*: channels and what was said in them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from bot.workspace.errors import MethodError
from bot.workspace.records import ChannelRecord, Json, MessageRecord
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.registry import Family, page_of

FAMILY = Family()

_NAME = re.compile(r"^[a-z0-9_-]{1,80}$")
_CURSOR = re.compile(r"^next_ts:(\d{10}\.\d{6})$")
_FOREVER = "9999999999.999999"
_TOPIC_LIMIT = 250
_ALL_TYPES = "public_channel,private_channel,mpim,im"


def _type(channel: ChannelRecord) -> str:
    if channel.is_im:
        return "im"
    if channel.is_mpim:
        return "mpim"
    return "private_channel" if channel.is_private else "public_channel"


def _listed(ws: Workspace, args: Arguments, channels: list[ChannelRecord]) -> Json:
    wanted = args.names("types") or ["public_channel"]
    if not set(wanted) <= set(_ALL_TYPES.split(",")):
        raise MethodError("invalid_types")
    found = [channel for channel in channels if _type(channel) in wanted]
    some, metadata = page_of(found, args)
    return {"channels": [ws.renderer.channel(channel) for channel in some]} | metadata


@FAMILY.method("conversations.list")
async def list_(ws: Workspace, args: Arguments) -> Json:
    """Lists public channels and those that the bot is in."""
    bot = ws.directory.bot_user
    visible = [c for c in ws.directory.channels.values() if not c.is_private or bot in c.members]
    return _listed(ws, args, visible)


@FAMILY.method("users.conversations")
async def users_conversations(ws: Workspace, args: Arguments) -> Json:
    """Lists the channels of a user, as far as the bot may see them."""
    bot = ws.directory.bot_user
    user = ws.directory.user(args.maybe("user") or bot)
    channels = ws.directory.channels_of(user.id)
    return _listed(ws, args, [c for c in channels if not c.is_private or bot in c.members])


@FAMILY.method("conversations.info")
async def info(ws: Workspace, args: Arguments) -> Json:
    """Describes a channel."""
    channel = ws.directory.channel(args.text("channel", "channel_not_found"))
    return {"channel": ws.renderer.channel(channel)}


@FAMILY.method("conversations.members")
async def members(ws: Workspace, args: Arguments) -> Json:
    """Lists a channel's members."""
    channel = ws.directory.channel(args.text("channel", "channel_not_found"))
    some, metadata = page_of(channel.members, args)
    return {"members": some} | metadata


@FAMILY.method("conversations.open")
async def open_(ws: Workspace, args: Arguments) -> Json:
    """Opens a direct message with one user, or a group one with several."""
    if channel_id := args.maybe("channel"):
        return {"channel": ws.renderer.channel(ws.directory.channel(channel_id))}
    users = [user for user in args.names("users") if user != ws.directory.bot_user]
    if not users:
        raise MethodError("users_list_not_supplied")
    people = [ws.directory.user(user) for user in dict.fromkeys(users)]
    if len(people) == 1:
        channel = ws.directory.open_im(people[0].id)
    else:
        name = "mpdm-" + "--".join(sorted(person.name for person in people)) + "-1"
        existing = next((c for c in ws.directory.channels.values() if c.name == name), None)
        channel = existing or ws.directory.create_channel(
            name, (*(person.id for person in people), ws.directory.bot_user), mpim=True
        )
    return {
        "channel": ws.renderer.channel(channel) if args.flag("return_im") else {"id": channel.id}
    }


@FAMILY.method("conversations.create")
async def create(ws: Workspace, args: Arguments) -> Json:
    """Makes a channel; the bot is in it."""
    name = args.text("name", "invalid_name_required")
    if not _NAME.match(name):
        raise MethodError("invalid_name_specials")
    channel = ws.directory.create_channel(
        name, (ws.directory.bot_user,), private=bool(args.flag("is_private"))
    )
    return {"channel": ws.renderer.channel(channel)}


def _join(ws: Workspace, channel: ChannelRecord, user: str, inviter: str | None) -> ChannelRecord:
    joined = channel.model_copy(update={"members": (*channel.members, user)})
    ws.directory.put_channel(joined)
    event = {
        "type": "member_joined_channel",
        "user": user,
        "channel": channel.id,
        "channel_type": "G" if channel.is_private else "C",
        "team": ws.directory.team.id,
        "event_ts": ws.ts.next(),
    }
    ws.delivery.emit(event | ({"inviter": inviter} if inviter else {}))
    return joined


@FAMILY.method("conversations.invite")
async def invite(ws: Workspace, args: Arguments) -> Json:
    """Brings users into a channel."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    users = args.names("users")
    if not users:
        raise MethodError("no_user")
    for user in users:
        if ws.directory.user(user).id in channel.members:
            raise MethodError("already_in_channel")
    for user in users:
        channel = _join(ws, channel, user, ws.directory.bot_user)
    return {"channel": ws.renderer.channel(channel)}


@FAMILY.method("conversations.join")
async def join(ws: Workspace, args: Arguments) -> Json:
    """Brings the bot into a public channel."""
    channel = ws.directory.channel(args.text("channel", "channel_not_found"))
    if ws.directory.bot_user in channel.members:
        return {"channel": ws.renderer.channel(channel), "warning": "already_in_channel"}
    if channel.is_private:
        raise MethodError("method_not_supported_for_channel_type")
    return {"channel": ws.renderer.channel(_join(ws, channel, ws.directory.bot_user, None))}


@FAMILY.method("conversations.setTopic")
async def set_topic(ws: Workspace, args: Arguments) -> Json:
    """Sets a channel's topic."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    topic = args.maybe("topic") or ""
    if len(topic) > _TOPIC_LIMIT:
        raise MethodError("too_long")
    changed = channel.model_copy(update={"topic": topic})
    ws.directory.put_channel(changed)
    return {"channel": ws.renderer.channel(changed)}


def _window(args: Arguments) -> tuple[str, str]:
    """The bounds `oldest` and `latest`, both exclusive, in the form of `ts`."""
    step = 1 if args.flag("inclusive") else 0
    after, before = "", _FOREVER
    if oldest := args.maybe("oldest"):
        after = _as_ts(oldest, -step, "invalid_ts_oldest")
    if latest := args.maybe("latest"):
        before = _as_ts(latest, step, "invalid_ts_latest")
    return after, before


def _as_ts(value: str, step: int, error: str) -> str:
    try:
        microseconds = int(Decimal(value) * 1_000_000) + step
    except (InvalidOperation, ValueError, OverflowError) as problem:
        raise MethodError(error) from problem
    if not 0 <= microseconds < 10**16:
        return _FOREVER if microseconds > 0 else ""
    return f"{microseconds // 1_000_000:010d}.{microseconds % 1_000_000:06d}"


def _cursor(args: Arguments) -> str | None:
    cursor = args.maybe("cursor")
    if cursor is None:
        return None
    match = _CURSOR.match(cursor)
    if match is None:
        raise MethodError("invalid_cursor")
    return match[1]


@FAMILY.method("conversations.history")
async def history(ws: Workspace, args: Arguments) -> Json:
    """Reads top-level messages, newest first."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    limit = args.number("limit", 100, low=1, high=999)
    after, before = _window(args)
    if cursor := _cursor(args):
        before = min(before, cursor)
    found = ws.storage.top_level(
        channel.id, viewer=None, after=after, before=before, limit=limit + 1
    )
    some = found[:limit]
    return _messages(ws, args, channel, some, more=len(found) > limit, parent=None)


@FAMILY.method("conversations.replies")
async def replies(ws: Workspace, args: Arguments) -> Json:
    """Reads a thread, oldest first, its parent before all; works with any of its messages."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    root = ws.timeline.root(channel.id, args.text("ts", "thread_not_found"))
    limit = args.number("limit", 1_000, low=1, high=1_000)
    after, before = _window(args)
    cursor = _cursor(args)
    if cursor:
        after = max(after, cursor)
    parent = ws.storage.message(channel.id, root)
    found = ws.storage.thread(
        channel.id, root, viewer=None, after=after, before=before, limit=limit + 1
    )
    first = [parent] if parent is not None and not cursor else []
    return _messages(
        ws, args, channel, [*first, *found[:limit]], more=len(found) > limit, parent=parent
    )


def _messages(
    ws: Workspace,
    args: Arguments,
    channel: ChannelRecord,
    messages: list[MessageRecord],
    *,
    more: bool,
    parent: MessageRecord | None,
) -> Json:
    summaries = ws.storage.summaries(channel.id, [message.ts for message in messages])
    metadata = bool(args.flag("include_all_metadata"))
    return {
        "messages": [
            ws.renderer.message(
                message,
                summaries.get(message.ts),
                parent_user=parent.user if parent else None,
                metadata=metadata,
            )
            for message in messages
        ],
        "has_more": more,
        "response_metadata": {"next_cursor": f"next_ts:{messages[-1].ts}" if more else ""},
    }
