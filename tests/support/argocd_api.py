"""A stand-in for Argo CD's API server and its controller, with one application.

No package has Argo CD or the description of its API. So this one is strict by itself: it knows the
paths, methods and members that the documentation of the API names and fails the test for others,
and tests hold the Application that it shows to the schema of Argo CD's custom resource.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

from aiohttp import web

TOKEN = "an-argocd-token"
REVISIONS = ("1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222")
_SYNC = {"name", "appNamespace", "revision", "dryRun", "prune", "infos"}
_ROLLBACK = {"name", "appNamespace", "id", "dryRun", "prune"}
_SOURCE = {"repoURL": "https://git.acme.example/shop.git", "path": "k8s", "targetRevision": "main"}


def application() -> dict[str, Any]:
    """An application that is behind its repository by one deployment."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": dict(_SOURCE),
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        },
        "status": {
            "sync": {"status": "OutOfSync", "revision": REVISIONS[1]},
            "health": {"status": "Healthy"},
            "history": [
                {
                    "id": number,
                    "revision": REVISIONS[number],
                    "deployedAt": f"2026-01-0{number + 1}T10:00:00Z",
                    "source": dict(_SOURCE),
                }
                for number in (0, 1)
            ],
            "resources": [
                {"kind": "Deployment", "namespace": "shop", "name": "web", "status": "OutOfSync"},
                {"kind": "Service", "namespace": "shop", "name": "web", "status": "Synced"},
            ],
            "summary": {"images": ["shop/web:2"]},
            "reconciledAt": "2026-01-05T10:00:00Z",
        },
    }


class StandInArgoCD:
    """A running server.

    Attributes:
        app: the application; tests change it.
        requests: method and path of each request.
        sent: the bodies of those that had one.
        violations: what Argo CD's API does not have.
        looks: how often an operation is seen in progress before it is over.
        phase: how operations end.
        drop_after_effect: the connection breaks after the next operation was started.
        forbid_after_effect: nothing can be looked at once an operation was started.
    """

    def __init__(self) -> None:
        self.app = application()
        self.requests: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.looks = 2
        self.phase = "Succeeded"
        self.drop_after_effect = False
        self.forbid_after_effect = False
        self.url = ""
        self._left = 0
        self._started = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.requests.append(f"{request.method} {request.path}")
        if request.path == "/api/version":
            return web.json_response({"Version": "v3.1.0+abc"})
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, 16, "no session information")
        if request.path == "/api/v1/applications/shop" and request.method == "GET":
            self._check("query", set(request.query), {"appNamespace", "refresh"})
            if self.forbid_after_effect and self.sent:
                return _error(403, 7, "permission denied")
            self._advance()
            return web.json_response(self.app)
        known = {"sync": _SYNC, "rollback": _ROLLBACK}
        start, _, verb = request.path.rpartition("/")
        if start != "/api/v1/applications/shop" or verb not in known or request.method != "POST":
            if request.method != "GET":
                self.violations.append(self.requests[-1])
            return _error(403, 7, "permission denied")
        sent = json.loads(await request.read())
        self._check(verb, set(sent), known[verb])
        self.sent.append(sent)
        if self.app.get("operation") or self._left:
            return _error(400, 9, "another operation is already in progress")
        self._begin(verb, sent)
        if self.drop_after_effect and request.transport:
            self.drop_after_effect = False
            request.transport.abort()
        return web.json_response(self.app)

    def _check(self, what: str, given: set[str], known: set[str]) -> None:
        if unknown := given - known:
            self.violations.append(f"{self.requests[-1]}: {what} has no {sorted(unknown)}")

    def _begin(self, verb: str, sent: dict[str, Any]) -> None:
        revision = sent.get("revision", REVISIONS[1])
        if verb == "rollback":
            history = self.app["status"]["history"]
            revision = next(h["revision"] for h in history if h["id"] == sent["id"])
        sync = {"revision": revision, "dryRun": sent["dryRun"], "prune": sent["prune"]}
        self.app["operation"] = {
            "sync": sync,
            "info": sent.get("infos", []),
            "initiatedBy": {"username": "countersign"},
        }

    def _advance(self) -> None:
        """What the controller does between two looks."""
        status = self.app["status"]
        if operation := self.app.pop("operation", None):
            self._left = self.looks
            self._started += 1
            status["operationState"] = {
                "phase": "Running",
                "operation": operation,
                "startedAt": f"2026-01-05T11:00:{self._started:02}Z",
            }
        elif self._left:
            self._left -= 1
            if self._left == 0:
                self._end(status)

    def _end(self, status: dict[str, Any]) -> None:
        state, sync = status["operationState"], status["operationState"]["operation"]["sync"]
        result = {
            "group": "apps",
            "version": "v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web",
            "status": "Synced",
            "message": "deployment.apps/web configured",
        }
        state |= {
            "phase": self.phase,
            "message": "successfully synced (all tasks run)",
            "finishedAt": state["startedAt"],
            "syncResult": {"revision": sync["revision"], "resources": [result]},
        }
        if self.phase != "Succeeded":
            state["message"] = "one or more objects failed to apply"
        elif not sync["dryRun"]:
            status["sync"] = {"status": "Synced", "revision": sync["revision"]}
            last = status["history"][-1]
            new = {"id": last["id"] + 1, "revision": sync["revision"]}
            status["history"] = [*status["history"], deepcopy(last) | new]

    @property
    def effects(self) -> list[dict[str, Any]]:
        """What was asked for and is no dry run."""
        return [sent for sent in self.sent if not sent["dryRun"]]


def _error(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"error": message, "code": code, "message": message}, status=status)


@asynccontextmanager
async def argocd() -> AsyncIterator[StandInArgoCD]:
    """Serve it on a free port; afterwards nothing may have been asked that Argo CD has not."""
    standin = StandInArgoCD()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", standin.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    standin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield standin
    finally:
        await runner.cleanup()
    assert standin.violations == []
