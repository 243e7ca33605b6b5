"""api, auth, apps, oauth, functions, blocks and entity methods."""

from __future__ import annotations

import hmac
from typing import Any

from bot.workspace.block_check import checked_blocks, checked_view
from bot.workspace.errors import MethodError
from bot.workspace.records import Json
from bot.workspace.responses import message_content
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.registry import Family

FAMILY = Family()

BOT_SCOPES = (
    "app_mentions:read,assistant:write,channels:history,channels:read,channels:manage,chat:write,"
    "chat:write.customize,commands,files:read,files:write,groups:history,groups:read,im:history,"
    "im:read,im:write,pins:write,reactions:read,reactions:write,usergroups:read,users:read,"
    "users:read.email"
)


@FAMILY.method("api.test", needs="none")
async def api_test(_: Workspace, args: Arguments) -> Json:
    """Says what it was sent."""
    if error := args.maybe("error"):
        raise MethodError(error)
    return {"args": dict(args.values)}


@FAMILY.method("auth.test")
async def auth_test(ws: Workspace, _: Arguments) -> Json:
    """Says whose token it is."""
    bot, team = ws.directory.bot, ws.directory.team
    return {
        "url": f"{ws.address.base_url}/",
        "team": team.name,
        "user": bot.user.name,
        "team_id": team.id,
        "user_id": bot.user.id,
        "bot_id": bot.bot_id,
        "is_enterprise_install": False,
    }


@FAMILY.method("apps.connections.open", needs="app")
async def connections_open(ws: Workspace, _: Arguments) -> Json:
    """Makes the address of one Socket Mode connection."""
    address = ws.address.base_url.replace("http", "ws", 1)
    return {"url": f"{address}/link?ticket={ws.delivery.sockets.ticket()}"}


@FAMILY.method("oauth.v2.access", needs="none")
async def oauth_access(ws: Workspace, args: Arguments) -> Json:
    """Exchanges a code that `/dev/oauth_code` made for the bot's token."""
    client_id, secret = args.text("client_id"), args.text("client_secret")
    if client_id != ws.secrets.client_id:
        raise MethodError("invalid_client_id")
    if not hmac.compare_digest(secret.encode(), ws.secrets.client_secret.encode()):
        raise MethodError("bad_client_secret")
    if not ws.oauth_codes.use(args.text("code", "invalid_code")):
        raise MethodError("invalid_code")
    bot, team = ws.directory.bot, ws.directory.team
    return {
        "access_token": ws.secrets.bot_token,
        "token_type": "bot",
        "scope": BOT_SCOPES,
        "bot_user_id": bot.user.id,
        "app_id": bot.app_id,
        "team": {"id": team.id, "name": team.name},
        "enterprise": None,
        "is_enterprise_install": False,
        "authed_user": {"id": next(user for user in ws.directory.users if user != bot.user.id)},
    }


@FAMILY.method("functions.completeSuccess")
async def function_success(ws: Workspace, args: Arguments) -> Json:
    """Ends a function's execution with outputs."""
    outputs = args.json("outputs")
    if not isinstance(outputs, dict):
        raise MethodError("invalid_arguments", ["[ERROR] outputs must be an object"])
    ws.functions.complete(args.text("function_execution_id"), outputs=outputs)
    return {}


@FAMILY.method("functions.completeError")
async def function_error(ws: Workspace, args: Arguments) -> Json:
    """Ends a function's execution with an error."""
    ws.functions.complete(args.text("function_execution_id"), error=args.text("error"))
    return {}


def _validated(args: Arguments) -> Any:
    given = [name for name in ("blocks", "message", "view") if args.values.get(name)]
    if len(given) != 1:
        raise MethodError("invalid_arguments", ["[ERROR] give one of blocks, message, view"])
    value = args.json(given[0])
    if given[0] == "blocks":
        return checked_blocks(value, "message")
    if not isinstance(value, dict):
        raise MethodError("invalid_arguments", [f"[ERROR] {given[0]} must be an object"])
    if given[0] == "message":
        return message_content(value)
    return checked_view(value, "home" if value.get("type") == "home" else "modal")


@FAMILY.method("blocks.validate")
async def validate_blocks(_: Workspace, args: Arguments) -> Json:
    """Says whether blocks, a message or a view would be taken."""
    try:
        _validated(args)
    except MethodError as error:
        errors = [
            {"pointer": "", "code": error.code, "message": message} for message in error.messages
        ]
        raise MethodError("invalid_blocks", error.messages, errors=errors) from error
    return {}


@FAMILY.method("entity.presentDetails")
async def present_details(ws: Workspace, args: Arguments) -> Json:
    """Answers `entity_details_requested`; kept in the record of calls."""
    ws.triggers.use(args.text("trigger_id", "invalid_trigger_id"))
    metadata = args.json("metadata", "invalid_metadata_format")
    if metadata is None and not args.flag("user_auth_required") and not args.values.get("error"):
        raise MethodError("missing_metadata")
    return {}
