"""views.*: modals and App Home."""

from __future__ import annotations

from typing import Any

from bot.workspace.errors import MethodError
from bot.workspace.records import Json
from bot.workspace.state import Workspace
from bot.workspace.web_api.arguments import Arguments
from bot.workspace.web_api.registry import Family

FAMILY = Family()


def _view(args: Arguments) -> Any:
    view = args.json("view")
    if view is None:
        raise MethodError("invalid_arguments", ["[ERROR] missing required field: view"])
    return view


@FAMILY.method("views.open")
async def open_(ws: Workspace, args: Arguments) -> Json:
    """Opens a modal for who caused the trigger id."""
    by = ws.triggers.use(args.text("trigger_id", "invalid_trigger_id"))
    return {"view": ws.modals.open(by.user, _view(args))}


@FAMILY.method("views.push")
async def push(ws: Workspace, args: Arguments) -> Json:
    """Puts a modal on top of that in which the trigger id was caused."""
    by = ws.triggers.use(args.text("trigger_id", "invalid_trigger_id"))
    return {"view": ws.modals.push(by.user, _view(args))}


@FAMILY.method("views.update")
async def update(ws: Workspace, args: Arguments) -> Json:
    """Replaces the content of a view."""
    view_id, external_id = args.maybe("view_id"), args.maybe("external_id")
    if (view_id is None) == (external_id is None):
        raise MethodError("invalid_arguments", ["[ERROR] give view_id or external_id"])
    view = ws.modals.update(
        _view(args), view_id=view_id, external_id=external_id, hash_=args.maybe("hash")
    )
    return {"view": view}


@FAMILY.method("views.publish")
async def publish(ws: Workspace, args: Arguments) -> Json:
    """Publishes a user's App Home."""
    user = ws.directory.user(args.text("user_id", "user_not_found"))
    return {"view": ws.modals.publish(user.id, _view(args), args.maybe("hash"))}
