"""assistant.threads.* and agents.sessions.*: what the bot says it is doing in a thread."""

from __future__ import annotations

from typing import get_args

from bot.workspace.agents import SessionStatus
from bot.workspace.errors import MethodError
from bot.workspace.records import Json
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.registry import Family

FAMILY = Family()

_TITLE_LIMIT = 200
_PROMPTS_LIMIT = 4
_LOADING_MESSAGES_LIMIT = 10


def session_status(value: str) -> SessionStatus:
    """Reads a session status.

    Raises:
        MethodError: `invalid_arguments`.
    """
    for status in get_args(SessionStatus):
        if value == status:
            return status  # type: ignore[no-any-return]
    raise MethodError(
        "invalid_arguments", [f"[ERROR] status: {', '.join(get_args(SessionStatus))}"]
    )


def _thread(ws: Workspace, args: Arguments) -> tuple[str, str]:
    channel = ws.directory.joined(args.text("channel_id", "channel_not_found"))
    thread = args.text("thread_ts", "invalid_thread_ts")
    try:
        return channel.id, ws.timeline.root(channel.id, thread)
    except MethodError as error:
        raise MethodError("invalid_thread_ts") from error


def _title(args: Arguments) -> str:
    title = args.text("title")
    if len(title) > _TITLE_LIMIT:
        raise MethodError("title_too_long")
    return title


@FAMILY.method("assistant.threads.setStatus")
async def set_status(ws: Workspace, args: Arguments) -> Json:
    """Shows `Countersign <status>` in a thread; an empty status takes it away."""
    channel, thread = _thread(ws, args)
    if "status" not in args.values:
        raise MethodError("invalid_arguments", ["[ERROR] missing required field: status"])
    messages = args.json("loading_messages") or []
    if not isinstance(messages, list) or len(messages) > _LOADING_MESSAGES_LIMIT:
        raise MethodError("invalid_arguments", ["[ERROR] at most 10 loading_messages"])
    ws.agents.set_status(
        channel, thread, args.maybe("status") or "", tuple(str(item) for item in messages)
    )
    return {}


@FAMILY.method("assistant.threads.setTitle")
async def set_title(ws: Workspace, args: Arguments) -> Json:
    """Names a thread."""
    channel, thread = _thread(ws, args)
    ws.agents.rename(channel, thread, _title(args))
    return {}


@FAMILY.method("assistant.threads.setSuggestedPrompts")
async def set_suggested_prompts(ws: Workspace, args: Arguments) -> Json:
    """Offers prompts in a thread, or (without `thread_ts`) in a whole direct message."""
    channel = ws.directory.joined(args.text("channel_id", "channel_not_found"))
    prompts = args.objects("prompts", "invalid_arguments")
    if not 1 <= len(prompts) <= _PROMPTS_LIMIT:
        raise MethodError("invalid_arguments", ["[ERROR] 1 to 4 prompts"])
    for prompt in prompts:
        if not isinstance(prompt.get("title"), str) or not isinstance(prompt.get("message"), str):
            raise MethodError("invalid_arguments", ["[ERROR] a prompt has a title and a message"])
    thread = args.maybe("thread_ts")
    ws.agents.suggest(
        channel.id,
        ws.timeline.root(channel.id, thread) if thread else None,
        args.maybe("title") or "",
        [{"title": prompt["title"], "message": prompt["message"]} for prompt in prompts],
    )
    return {}


@FAMILY.method("agents.sessions.setStatus")
async def set_session_status(ws: Workspace, args: Arguments) -> Json:
    """Sets a session's status; the first call opens the session."""
    channel, thread = _thread(ws, args)
    title = args.maybe("title")
    record = ws.agents.set_session(
        channel,
        thread,
        session_status(args.text("status")),
        title[:_TITLE_LIMIT] if title else None,
    )
    answer: Json = {"status": record.session, "agent_status": record.session, "title": record.title}
    if "agent_session_stopped" not in ws.delivery.policy.events:
        answer["warning"] = "missing_agent_session_stopped_event_subscription"
    return answer


@FAMILY.method("agents.sessions.rename")
async def rename_session(ws: Workspace, args: Arguments) -> Json:
    """Gives a session another title."""
    channel, thread = _thread(ws, args)
    if not ws.agents.has_session(channel, thread):
        raise MethodError("session_not_found")
    title = _title(args)
    ws.agents.rename(channel, thread, title)
    return {"title": title}
