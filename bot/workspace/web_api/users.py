"""users.*, usergroups.*, bots.*: who there is."""

from __future__ import annotations

from bot.workspace.errors import MethodError
from bot.workspace.records import Json
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.registry import Family, page_of

FAMILY = Family()


@FAMILY.method("users.info")
async def info(ws: Workspace, args: Arguments) -> Json:
    """Describes a user."""
    return {"user": ws.renderer.user(ws.directory.user(args.text("user", "user_not_found")))}


@FAMILY.method("users.list")
async def list_(ws: Workspace, args: Arguments) -> Json:
    """Lists all users, the bot too."""
    some, metadata = page_of(list(ws.directory.users.values()), args)
    return {"members": [ws.renderer.user(user) for user in some], "cache_ts": 0} | metadata


@FAMILY.method("users.lookupByEmail")
async def lookup_by_email(ws: Workspace, args: Arguments) -> Json:
    """Finds a user by email address."""
    email = args.text("email", "users_not_found").lower()
    for user in ws.directory.users.values():
        if user.email.lower() == email:
            return {"user": ws.renderer.user(user)}
    raise MethodError("users_not_found")


@FAMILY.method("usergroups.list")
async def groups(ws: Workspace, args: Arguments) -> Json:
    """Lists the user groups."""
    users = bool(args.flag("include_users"))
    return {
        "usergroups": [
            ws.renderer.group(group, users=users) for group in ws.directory.groups.values()
        ]
    }


@FAMILY.method("usergroups.users.list")
async def group_users(ws: Workspace, args: Arguments) -> Json:
    """Lists the members of a user group."""
    group = ws.directory.groups.get(args.text("usergroup", "no_such_subteam"))
    if group is None:
        raise MethodError("no_such_subteam")
    return {"users": list(group.users)}


@FAMILY.method("bots.info")
async def bot_info(ws: Workspace, args: Arguments) -> Json:
    """Describes the bot."""
    if args.maybe("bot") not in (None, ws.directory.bot.bot_id):
        raise MethodError("bot_not_found")
    return {"bot": ws.renderer.bot_profile()}
