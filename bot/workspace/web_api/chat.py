"""chat.*: messages. https://docs.slack.dev/reference/methods?family=chat"""

from __future__ import annotations

from typing import Any

from bot.workspace.block_check import checked_blocks
from bot.workspace.errors import MethodError
from bot.workspace.records import Json, MessageRecord
from bot.workspace.responses import message_content
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.registry import Family

FAMILY = Family()

_METADATA_LIMIT = 16_000
_MARKDOWN_LIMIT = 12_000


def metadata_of(args: Arguments) -> Json | None:
    """Reads `metadata`.

    Raises:
        MethodError: `invalid_metadata_format` or `metadata_too_large`.
    """
    value = args.json("metadata", "invalid_metadata_format")
    if value is None:
        return None
    match value:
        case {"event_type": str(type_), "event_payload": dict(payload)} if type_:
            if len(str(payload)) > _METADATA_LIMIT:
                raise MethodError("metadata_too_large")
            return {"event_type": type_, "event_payload": payload}
    raise MethodError("invalid_metadata_format")


def look_of(args: Arguments) -> dict[str, Any]:
    """The name and icon that the bot wants for one message."""
    return {name: args.maybe(name) for name in ("username", "icon_emoji", "icon_url")}


def content_of(args: Arguments) -> dict[str, Any]:
    """Reads text, blocks, attachments or `markdown_text`, as fields of a `MessageRecord`.

    Raises:
        MethodError: `no_text`, `invalid_blocks`, `markdown_text_conflict`, …
    """
    blocks = args.json("blocks", "invalid_blocks_format")
    attachments = args.json("attachments", "invalid_attachments")
    markdown = args.maybe("markdown_text")
    if markdown is not None:
        if blocks or args.maybe("text"):
            raise MethodError("markdown_text_conflict")
        if len(markdown) > _MARKDOWN_LIMIT:
            raise MethodError("msg_too_long")
        blocks = [{"type": "markdown", "text": markdown}]
    body = {"text": args.maybe("text") or markdown, "blocks": blocks, "attachments": attachments}
    return message_content(body)


@FAMILY.method("chat.postMessage")
async def post_message(ws: Workspace, args: Arguments) -> Json:
    """Posts a message, or a reply when `thread_ts` is given."""
    channel = ws.directory.addressee(args.text("channel", "channel_not_found"))
    content = content_of(args)
    thread = args.maybe("thread_ts")
    root = ws.timeline.root(channel.id, thread) if thread else None
    message = ws.timeline.post(
        channel,
        ws.directory.bot_user,
        content.pop("text"),
        bot_id=ws.directory.bot.bot_id,
        thread_ts=root,
        broadcast=bool(root and args.flag("reply_broadcast")),
        metadata=metadata_of(args),
        unfurl_links=args.flag("unfurl_links"),
        unfurl_media=args.flag("unfurl_media"),
        **look_of(args),
        **content,
    )
    if root is not None:
        ws.agents.clear_status(channel.id, root)
    return {
        "channel": channel.id,
        "ts": message.ts,
        "message": ws.renderer.message(message, metadata=True),
    }


@FAMILY.method("chat.postEphemeral")
async def post_ephemeral(ws: Workspace, args: Arguments) -> Json:
    """Posts a message that one user sees."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    user = args.text("user", "user_not_found")
    if user not in channel.members or user == ws.directory.bot_user:
        raise MethodError("user_not_in_channel")
    content = content_of(args)
    thread = args.maybe("thread_ts")
    message = ws.timeline.post(
        channel,
        ws.directory.bot_user,
        content.pop("text"),
        bot_id=ws.directory.bot.bot_id,
        for_user=user,
        thread_ts=ws.timeline.root(channel.id, thread) if thread else None,
        **look_of(args),
        **content,
    )
    return {"message_ts": message.ts}


def _own(ws: Workspace, channel: str, ts: str, error: str) -> MessageRecord:
    message = ws.timeline.get(channel, ts)
    if message.bot_id is None:
        raise MethodError(error)
    return message


@FAMILY.method("chat.update")
async def update(ws: Workspace, args: Arguments) -> Json:
    """Changes a message of the bot; what is not given stays, except blocks beside a new text."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    message = _own(ws, channel.id, args.text("ts", "message_not_found"), "cant_update_message")
    if message.stream is not None and message.stream.open:
        raise MethodError("streaming_state_conflict")
    fields = content_of(args)
    if "blocks" not in args.values and not args.maybe("text"):
        del fields["blocks"]
    if "attachments" not in args.values:
        del fields["attachments"]
    if "metadata" in args.values:
        fields["metadata"] = metadata_of(args)
    changed = ws.timeline.change(message, edited_ts=ws.ts.next(), **fields)
    return {
        "channel": channel.id,
        "ts": changed.ts,
        "text": changed.text,
        "message": ws.renderer.message(changed, metadata=True),
    }


@FAMILY.method("chat.delete")
async def delete(ws: Workspace, args: Arguments) -> Json:
    """Deletes a message of the bot."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    message = _own(ws, channel.id, args.text("ts", "message_not_found"), "cant_delete_message")
    ws.timeline.delete(message)
    return {"channel": channel.id, "ts": message.ts}


@FAMILY.method("chat.getPermalink")
async def get_permalink(ws: Workspace, args: Arguments) -> Json:
    """The address of a message, in Slack's form; the workspace leads it to the page."""
    channel = ws.directory.channel(args.text("channel", "channel_not_found"))
    message = ws.timeline.get(channel.id, args.text("message_ts", "message_not_found"))
    link = f"{ws.address.base_url}/archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.thread_ts is not None:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


@FAMILY.method("chat.scheduleMessage")
async def schedule_message(ws: Workspace, args: Arguments) -> Json:
    """Posts a message later."""
    channel = ws.directory.addressee(args.text("channel", "channel_not_found"))
    content_of(args)
    post_at = args.number("post_at", 0, low=0, high=2**40)
    record = ws.scheduled.add(channel.id, post_at, dict(args.values))
    return {
        "channel": channel.id,
        "scheduled_message_id": record.id,
        "post_at": post_at,
        "message": {"text": args.maybe("text") or "", "type": "delayed_message"},
    }


@FAMILY.method("chat.unfurl")
async def unfurl(ws: Workspace, args: Arguments) -> Json:
    """Puts previews (`unfurls`) or work objects (`metadata`) under a message with links."""
    channel = ws.directory.channel(args.text("channel", "channel_not_found"))
    message = ws.timeline.get(channel.id, args.text("ts", "cannot_find_message"))
    unfurls = args.json("unfurls", "cannot_parse_attachment")
    metadata = args.json("metadata", "invalid_metadata_format")
    if not isinstance(unfurls, dict | None) or not isinstance(metadata, dict | None):
        raise MethodError("cannot_parse_attachment")
    if not unfurls and not metadata:
        raise MethodError("missing_unfurls")
    attachments = []
    for url, preview in (unfurls or {}).items():
        if not isinstance(preview, dict):
            raise MethodError("cannot_parse_attachment")
        blocks = checked_blocks(preview.get("blocks") or [], "message")
        attachments.append({**preview, "from_url": url, "blocks": blocks})
    ws.timeline.change(
        message,
        attachments=(*message.attachments, *attachments),
        unfurls={"unfurls": unfurls or {}, "metadata": metadata or {}},
    )
    return {}
