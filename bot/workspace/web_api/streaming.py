"""chat.*Stream: messages that grow while the bot writes them."""

from __future__ import annotations

from bot.workspace.block_check import checked_blocks
from bot.workspace.errors import MethodError
from bot.workspace.records import Json
from bot.workspace.state import Workspace
from bot.workspace.streams import markdown_chunk
from bot.workspace.web_api.agents import session_status
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.chat import look_of, metadata_of
from bot.workspace.web_api.registry import Family

FAMILY = Family()


def _chunks(args: Arguments) -> list[Json]:
    chunks = args.objects("chunks", "invalid_chunks")
    markdown = args.maybe("markdown_text")
    if markdown is not None and chunks:
        raise MethodError(
            "invalid_arguments", ["[ERROR] markdown_text and chunks may not be mixed"]
        )
    return [markdown_chunk(markdown)] if markdown is not None else chunks


@FAMILY.method("chat.startStream")
async def start_stream(ws: Workspace, args: Arguments) -> Json:
    """Starts a streamed reply; outside direct messages it needs its recipient."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    root = ws.timeline.root(channel.id, args.text("thread_ts", "invalid_thread_ts"))
    if not channel.is_im:
        recipient = args.text("recipient_user_id", "missing_recipient_user_id")
        args.text("recipient_team_id", "missing_recipient_team_id")
        ws.directory.user(recipient)
    message = ws.streams.start(
        channel, root, args.maybe("task_display_mode") or "timeline", _chunks(args), **look_of(args)
    )
    ws.agents.clear_status(channel.id, root)
    ws.agents.refresh(channel.id, root)
    return {"channel": channel.id, "ts": message.ts}


@FAMILY.method("chat.appendStream")
async def append_stream(ws: Workspace, args: Arguments) -> Json:
    """Feeds an open stream."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    chunks = _chunks(args)
    if not chunks:
        raise MethodError("no_text")
    message = ws.streams.append(channel.id, args.text("ts", "message_not_found"), chunks)
    return {"channel": channel.id, "ts": message.ts}


@FAMILY.method("chat.stopStream")
async def stop_stream(ws: Workspace, args: Arguments) -> Json:
    """Ends a stream, with last chunks, blocks below, metadata and the session's next status."""
    channel = ws.directory.joined(args.text("channel", "channel_not_found"))
    blocks = checked_blocks(args.json("blocks", "invalid_blocks_format") or [], "message")
    status = args.maybe("session_status")
    session = session_status(status) if status else None
    message = ws.streams.stop(
        channel.id,
        args.text("ts", "message_not_found"),
        _chunks(args),
        blocks,
        metadata_of(args),
    )
    root = message.thread_ts or message.ts
    if session is not None:
        ws.agents.set_session(channel.id, root, session)
    else:
        ws.agents.refresh(channel.id, root)
    return {
        "channel": channel.id,
        "ts": message.ts,
        "message": ws.renderer.message(message, metadata=True),
    }
