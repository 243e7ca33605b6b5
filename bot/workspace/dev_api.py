"""`/dev/*`: what tests and other processes need to see and to provoke. People do not need it.

| route | body | effect |
| --- | --- | --- |
| GET /dev/state | | users, channels, home views, modals, connections, function executions |
| GET /dev/messages?channel= | | every message of a channel, ephemeral ones and metadata too |
| GET /dev/calls?method=&after= | | recorded Web API calls |
| GET /dev/deliveries?what=&after= | | deliveries with their acknowledgement times |
| POST /dev/faults | `Fault` | the next call of that method fails |
| POST /dev/clear_faults | `{}` | |
| POST /dev/disconnect | `Disconnect` | Socket Mode goes, as Slack does or as a network does |
| POST /dev/expire | `Expire` | trigger ids or response URLs run out now |
| POST /dev/request_url | `RequestUrlBody` | deliver over HTTP (or, with null, over Socket Mode) |
| POST /dev/event | `AnyEvent` | the bot gets this event |
| POST /dev/function | `Execution` | the bot gets `function_executed` |
| POST /dev/trigger | `ForUser` | `{"trigger_id": …}` |
| POST /dev/oauth_code | `{}` | `{"code": …}` for `oauth.v2.access` |
| POST /dev/settle | `{}` | answers when nothing is under way to the bot |

`after` is a record's `number`. Secrets are never sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from bot.workspace.errors import PageError
from bot.workspace.page_api import body_of
from bot.workspace.recorder import CallRecord, DeliveryRecord, Fault
from bot.workspace.records import Json
from bot.workspace.state import Workspace


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Disconnect(_Body):
    """`drop` says nothing before it closes; the others are Slack's reasons."""

    reason: Literal["warning", "refresh_requested", "link_disabled", "drop"] = "refresh_requested"


class Expire(_Body):
    """What is to run out."""

    what: Literal["triggers", "response_urls"]


class RequestUrlBody(_Body):
    """Where to deliver; null: over Socket Mode."""

    url: HttpUrl | None


class AnyEvent(_Body):
    """The inner event; `event_ts` is added when it is missing."""

    event: Json


class Execution(_Body):
    """A custom function and its inputs."""

    callback_id: str = Field(min_length=1, max_length=100)
    inputs: Json = Field(default_factory=dict)


class ForUser(_Body):
    """Who is to have caused the trigger."""

    user: str


class DevApi:
    """Answers `/dev/*`.

    Args:
        use_request_url: sets where the workspace delivers.
    """

    def __init__(self, workspace: Workspace, use_request_url: Callable[[str | None], None]) -> None:
        self._ws = workspace
        self._use_request_url = use_request_url

    def routes(self) -> list[web.RouteDef]:
        """All routes under `/dev/`."""
        return [
            web.get("/dev/state", self.state),
            web.get("/dev/messages", self.messages),
            web.get("/dev/calls", self.calls),
            web.get("/dev/deliveries", self.deliveries),
            web.post("/dev/faults", self.faults),
            web.post("/dev/clear_faults", self.clear_faults),
            web.post("/dev/disconnect", self.disconnect),
            web.post("/dev/expire", self.expire),
            web.post("/dev/request_url", self.request_url),
            web.post("/dev/event", self.event),
            web.post("/dev/function", self.function),
            web.post("/dev/trigger", self.trigger),
            web.post("/dev/oauth_code", self.oauth_code),
            web.post("/dev/settle", self.settle),
        ]

    async def state(self, _: web.Request) -> web.Response:
        """Most of what there is."""
        ws = self._ws
        people = [user for user in ws.directory.users.values() if not user.is_bot]
        return web.json_response(
            {
                "team": ws.directory.team.model_dump(),
                "bot": ws.directory.bot.model_dump(),
                "users": [user.model_dump() for user in ws.directory.users.values()],
                "channels": [channel.model_dump() for channel in ws.directory.channels.values()],
                "user_groups": [group.model_dump() for group in ws.directory.groups.values()],
                "homes": {user.id: ws.modals.home(user.id) for user in people},
                "modals": {user.id: list(ws.modals.stack(user.id)) for user in people},
                "socket_connections": ws.delivery.sockets.count,
                "bot_connected": ws.delivery.connected,
                "functions": [record.model_dump() for record in ws.functions.all()],
            }
        )

    async def messages(self, request: web.Request) -> web.Response:
        """Every message of a channel, oldest first, as stored."""
        channel = self._ws.directory.channels.get(request.query.get("channel", ""))
        if channel is None:
            raise PageError(404, "no_such_channel", "Give the id of a channel: ?channel=C…")
        found = self._ws.storage.everything_in(channel.id)
        return web.json_response({"messages": [message.model_dump() for message in found]})

    async def calls(self, request: web.Request) -> web.Response:
        """Recorded Web API calls, oldest first."""
        method = request.query.get("method")
        wanted = (c for c in self._ws.recorder.calls if method in (None, c.method))
        return _records("calls", wanted, request)

    async def deliveries(self, request: web.Request) -> web.Response:
        """Recorded deliveries, oldest first."""
        what = request.query.get("what")
        wanted = (d for d in self._ws.recorder.deliveries if what in (None, d.what))
        return _records("deliveries", wanted, request)

    async def faults(self, request: web.Request) -> web.Response:
        """Queues a fault."""
        fault = await body_of(request, Fault)
        if (fault.error is None) == (fault.status is None):
            raise PageError(400, "bad_request", "A fault has either an error or a status")
        self._ws.faults.add(fault)
        return web.json_response({"ok": True})

    async def clear_faults(self, _: web.Request) -> web.Response:
        """Drops waiting faults."""
        self._ws.faults.clear()
        return web.json_response({"ok": True})

    async def disconnect(self, request: web.Request) -> web.Response:
        """Ends the Socket Mode connections, or warns of it."""
        body = await body_of(request, Disconnect)
        sockets = self._ws.delivery.sockets
        if body.reason == "drop":
            await sockets.drop()
        else:
            await sockets.disconnect(body.reason, close=body.reason == "link_disabled")
        return web.json_response({"ok": True})

    async def expire(self, request: web.Request) -> web.Response:
        """Lets trigger ids or response URLs run out."""
        body = await body_of(request, Expire)
        if body.what == "triggers":
            self._ws.triggers.expire()
        else:
            self._ws.responses.expire()
        return web.json_response({"ok": True})

    async def request_url(self, request: web.Request) -> web.Response:
        """Sets where the workspace delivers."""
        body = await body_of(request, RequestUrlBody)
        self._use_request_url(str(body.url) if body.url else None)
        return web.json_response({"ok": True})

    async def event(self, request: web.Request) -> web.Response:
        """Sends any event to the bot."""
        event = (await body_of(request, AnyEvent)).event
        if not isinstance(event.get("type"), str):
            raise PageError(400, "bad_request", "An event has a type")
        event_id = self._ws.delivery.send_event({"event_ts": self._ws.ts.next(), **event})
        return web.json_response({"ok": True, "event_id": event_id})

    async def function(self, request: web.Request) -> web.Response:
        """Starts a custom function."""
        body = await body_of(request, Execution)
        record = self._ws.functions.execute(
            body.callback_id, body.inputs, self._ws.secrets.bot_token
        )
        return web.json_response({"ok": True, "function_execution_id": record.id})

    async def trigger(self, request: web.Request) -> web.Response:
        """Makes a trigger id."""
        body = await body_of(request, ForUser)
        if body.user not in self._ws.directory.users:
            raise PageError(404, "no_such_user", f"No user {body.user!r}")
        return web.json_response({"ok": True, "trigger_id": self._ws.triggers.issue(body.user)})

    async def oauth_code(self, _: web.Request) -> web.Response:
        """Makes a code for `oauth.v2.access`."""
        return web.json_response({"ok": True, "code": self._ws.oauth_codes.issue()})

    async def settle(self, _: web.Request) -> web.Response:
        """Waits until nothing is under way to the bot."""
        await self._ws.delivery.settle()
        return web.json_response({"ok": True})


def _records(
    name: str, records: Iterable[CallRecord | DeliveryRecord], request: web.Request
) -> web.Response:
    try:
        after = int(request.query.get("after", "0"))
    except ValueError as error:
        raise PageError(400, "bad_request", "after is a number") from error
    return web.json_response(
        {name: [record.model_dump() for record in records if record.number > after]}
    )
