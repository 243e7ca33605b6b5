"""A stand-in for the part of PagerDuty's REST API that the actions call.

It is strict about paths, methods, bodies, `Accept`, `From` and the key, as PagerDuty's API
reference has them. PagerDuty's own Python client works with it, which is a test of its own.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

ACCOUNT_KEY = "account-key-for-tests"
USER_KEY = "user-key-for-tests"
_ACCEPT = "application/vnd.pagerduty+json;version=2"


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "code": 2000 + status}}, status=status)


class PagerDuty:
    """A running server with one incident.

    Attributes:
        incident: as the API shows it; tests change it.
        notes: of the incident.
        changes: method and path of each request that changed something.
        senders: the `From` of these.
        drop_after_effect: the connection breaks after the next change.
    """

    def __init__(self) -> None:
        self.url = ""
        self.incident: dict[str, Any] = {
            "id": "PGR0VU2",
            "type": "incident",
            "summary": "[#2] A little bump in the road",
            "incident_number": 2,
            "title": "A little bump in the road",
            "status": "triggered",
            "urgency": "high",
            "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
            "service": {"id": "PF9KMXH", "type": "service_reference", "summary": "API Service"},
            "assignments": [
                {"at": "2026-11-10T00:31:52Z", "assignee": {"id": "PTUXL6G", "summary": "User 123"}}
            ],
        }
        self.notes: list[dict[str, Any]] = []
        self.changes: list[str] = []
        self.senders: list[str | None] = []
        self.drop_after_effect = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        key = request.headers.get("Authorization", "").removeprefix("Token token=")
        if key not in {ACCOUNT_KEY, USER_KEY}:
            return _problem(401, "Unauthorized")
        if request.headers.get("Accept") != _ACCEPT:
            return _problem(400, "Accept header is invalid")
        one = f"/incidents/{self.incident['id']}"
        match (request.method, request.path):
            case ("GET", "/abilities"):
                return web.json_response({"abilities": ["sso", "teams"]})
            case ("GET", path) if path == one:
                return web.json_response({"incident": self.incident})
            case ("GET", path) if path == f"{one}/notes":
                return web.json_response({"notes": self.notes})
            case ("PUT", path) if path == one:
                return await self._change(request, key, self._update)
            case ("POST", path) if path == f"{one}/notes":
                return await self._change(request, key, self._note)
        return _problem(404, "Not Found")

    async def _change(self, request: web.Request, key: str, change: Any) -> web.StreamResponse:
        sender = request.headers.get("From")
        if key == ACCOUNT_KEY and not sender:
            return _problem(400, "Requester User Not Found")
        if request.content_type != "application/json":
            return _problem(415, "Unsupported Media Type")
        answer: web.Response = change(json.loads(await request.read()))
        if answer.status < 300:
            self.changes.append(f"{request.method} {request.path}")
            self.senders.append(sender)
            if self.drop_after_effect and request.transport:
                self.drop_after_effect = False
                request.transport.abort()
        return answer

    def _update(self, body: dict[str, Any]) -> web.Response:
        wanted = body["incident"]
        if wanted.get("type") not in {"incident", "incident_reference"}:
            return _problem(400, "Invalid Input Provided")
        if wanted["status"] not in {"acknowledged", "resolved"}:
            return _problem(400, "Invalid Input Provided")
        if self.incident["status"] == "resolved":
            return _problem(400, "Incident Already Resolved")
        self.incident["status"] = wanted["status"]
        return web.json_response({"incident": self.incident})

    def _note(self, body: dict[str, Any]) -> web.Response:
        content = body["note"]["content"]
        note = {"id": f"PWL7Q{len(self.notes)}", "content": content, "created_at": "2026-11-10"}
        self.notes.append(note)
        return web.json_response({"note": note}, status=201)


@asynccontextmanager
async def pagerduty() -> AsyncIterator[PagerDuty]:
    """Serve it on a free port."""
    api = PagerDuty()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield api
    await runner.cleanup()
