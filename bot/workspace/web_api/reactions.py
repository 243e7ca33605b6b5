"""reactions.*, pins.*, bookmarks.*: small marks on messages and channels."""

from __future__ import annotations

import re

from bot.workspace.errors import MethodError
from bot.workspace.ids import new_id
from bot.workspace.records import Json, MessageRecord
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.registry import Family

FAMILY = Family()

_EMOJI = re.compile(r"^[a-z0-9_+'-]{1,100}(::skin-tone-[2-6])?$")


def _message(ws: Workspace, args: Arguments) -> MessageRecord:
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    return ws.timeline.get(channel.id, args.text("timestamp", "no_item_specified"))


def _emoji(args: Arguments) -> str:
    name = args.text("name", "invalid_name").strip(":")
    if not _EMOJI.match(name):
        raise MethodError("invalid_name")
    return name


@FAMILY.method("reactions.add")
async def add(ws: Workspace, args: Arguments) -> Json:
    """Puts the bot's emoji on a message."""
    ws.timeline.react(_message(ws, args), ws.directory.bot_user, _emoji(args))
    return {}


@FAMILY.method("reactions.remove")
async def remove(ws: Workspace, args: Arguments) -> Json:
    """Takes the bot's emoji off a message."""
    ws.timeline.unreact(_message(ws, args), ws.directory.bot_user, _emoji(args))
    return {}


@FAMILY.method("pins.add")
async def pin(ws: Workspace, args: Arguments) -> Json:
    """Pins a message to its channel."""
    message = _message(ws, args)
    if message.pinned:
        raise MethodError("already_pinned")
    ws.timeline.change(message, pinned=True)
    return {}


@FAMILY.method("bookmarks.add")
async def bookmark(ws: Workspace, args: Arguments) -> Json:
    """Adds a bookmark to a channel; it is shown in the channel's topic."""
    channel = ws.directory.joined(args.text("channel_id", "channel_not_found"))
    title = args.text("title")
    if args.text("type") != "link":
        raise MethodError("invalid_bookmark_type")
    link = args.text("link", "invalid_link")
    if not link.startswith(("https://", "http://")):
        raise MethodError("invalid_link")
    topic = f"{channel.topic} · {title}: {link}" if channel.topic else f"{title}: {link}"
    ws.directory.put_channel(channel.model_copy(update={"topic": topic}))
    return {
        "bookmark": {
            "id": new_id("Bk"),
            "channel_id": channel.id,
            "title": title,
            "link": link,
            "type": "link",
        }
    }
