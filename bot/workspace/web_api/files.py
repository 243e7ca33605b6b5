"""files.*: uploads in two steps."""

from __future__ import annotations

from bot.workspace.errors import MethodError
from bot.workspace.records import Json
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.registry import Family

FAMILY = Family()

_FILES_LIMIT = 10


@FAMILY.method("files.getUploadURLExternal")
async def get_upload_url(ws: Workspace, args: Arguments) -> Json:
    """Announces a file and says where to send it."""
    record = ws.files.announce(
        args.text("filename"),
        args.number("length", 0, low=0, high=2**40),
        args.maybe("alt_txt") or "",
    )
    return {"file_id": record.id, "upload_url": f"{ws.address.base_url}/upload/{record.id}"}


@FAMILY.method("files.completeUploadExternal")
async def complete_upload(ws: Workspace, args: Arguments) -> Json:
    """Ends uploads and shows the files in channels."""
    wanted = args.objects("files", "invalid_arguments")
    if not 1 <= len(wanted) <= _FILES_LIMIT:
        raise MethodError("invalid_arguments", ["[ERROR] 1 to 10 files"])
    names = [
        *([args.text("channel_id")] if args.maybe("channel_id") else []),
        *args.names("channels"),
    ]
    channels = [ws.directory.joined(name) for name in dict.fromkeys(names)]
    thread = args.maybe("thread_ts")
    ids = tuple(channel.id for channel in channels)
    shared = [ws.files.share(str(item.get("id")), item.get("title"), ids) for item in wanted]
    for channel in channels:
        ws.timeline.post(
            channel,
            ws.directory.bot_user,
            args.maybe("initial_comment") or "",
            bot_id=ws.directory.bot.bot_id,
            thread_ts=ws.timeline.root(channel.id, thread) if thread else None,
            files=tuple(record.id for record in shared),
        )
    return {"files": [ws.files.wire(record) for record in shared]}


@FAMILY.method("files.info")
async def info(ws: Workspace, args: Arguments) -> Json:
    """Describes a file."""
    record = ws.files.get(args.text("file", "file_not_found"))
    if record is None:
        raise MethodError("file_not_found")
    return {"file": ws.files.wire(record), "comments": []}
