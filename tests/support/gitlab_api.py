"""A small GitLab API, strict about paths, methods, bodies and the token, as GitLab documents them.

No package has GitLab's OpenAPI document, so this is written from https://docs.gitlab.com/api/. What
keeps it honest is python-gitlab, the client that most people use: the tests drive it with both, and
compare what the two sent.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

TOKEN = "glpat-for-tests"
PROJECT = "acme/backend/shop"
SHA = "7b5c3cc8be40ee161ae89a06bba6229da1032a0c"
_WEB = f"https://gitlab.example/{PROJECT}/-"


@dataclass
class SmallGitLab:
    """A running server with one project: one pipeline, one job, one merge request.

    Attributes:
        merged_result: what the head merged into its target would be, as a commit.
        requests: method, decoded path and parameters of each request, in order.
        drop_after_effect: the connection breaks after something was changed.
        failing: when set, the status that every request is answered.
    """

    pipeline: dict[str, Any] = field(
        default_factory=lambda: {
            "id": 31,
            "iid": 3,
            "project_id": 15,
            "status": "failed",
            "ref": "main",
            "sha": SHA,
            "web_url": f"{_WEB}/pipelines/31",
        }
    )
    job: dict[str, Any] = field(
        default_factory=lambda: {
            "id": 796,
            "name": "production",
            "stage": "deploy",
            "status": "manual",
            "ref": "main",
            "web_url": f"{_WEB}/jobs/796",
        }
    )
    request: dict[str, Any] = field(
        default_factory=lambda: {
            "id": 99,
            "iid": 7,
            "title": "Round prices only once",
            "state": "opened",
            "draft": False,
            "sha": SHA,
            "source_branch": "rounding",
            "target_branch": "main",
            "detailed_merge_status": "mergeable",
            "merge_when_pipeline_succeeds": False,
            "merge_commit_sha": None,
            "squash_commit_sha": None,
            "head_pipeline": {
                "id": 32,
                "sha": SHA,
                "status": "success",
                "web_url": f"{_WEB}/pipelines/32",
            },
            "web_url": f"{_WEB}/merge_requests/7",
        }
    )
    merged_result: dict[str, Any] = field(
        default_factory=lambda: {"id": "d" * 40, "parent_ids": ["c" * 40, SHA]}
    )
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    drop_after_effect: bool = False
    failing: int | None = None
    url: str = ""

    @property
    def effects(self) -> list[tuple[str, str, Any]]:
        """The requests that changed something, or would have."""
        return [request for request in self.requests if request[0] != "GET"]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        raw = await request.read()
        # Parameters may stand in the address or in the body, as GitLab lets them.
        body = {**request.query, **(json.loads(raw) if raw else {})} or None
        path = unquote(request.raw_path.partition("?")[0]).removeprefix("/api/v4")
        self.requests.append((request.method, path, body))
        if request.headers.get("PRIVATE-TOKEN") != TOKEN:
            return web.json_response({"message": "401 Unauthorized"}, status=401)
        if self.failing:
            return web.json_response({"message": "oops"}, status=self.failing)
        if "/projects/" in path and "/projects/acme%2Fbackend%2Fshop" not in request.raw_path:
            return web.json_response({"error": "404 Not Found"}, status=404)
        status, data = self._do(f"{request.method} {path}", body)
        changed = request.method != "GET" and status < 300
        if changed and self.drop_after_effect and request.transport:
            request.transport.abort()
        return web.json_response(data, status=status)

    def _do(self, call: str, body: Any) -> tuple[int, Any]:
        project = f"/projects/{PROJECT}"
        answers: dict[str, Callable[[], tuple[int, Any]]] = {
            "GET /version": lambda: (200, {"version": "18.5.0", "revision": "abcdef0"}),
            f"GET {project}/pipelines/31": lambda: (200, self.pipeline),
            f"POST {project}/pipelines/31/retry": lambda: self._move(201, "running"),
            f"POST {project}/pipelines/31/cancel": lambda: self._move(200, "canceled"),
            f"GET {project}/jobs/796": lambda: (200, self.job),
            f"POST {project}/jobs/796/play": lambda: self._play(body or {}),
            f"GET {project}/repository/commits/{self.merged_result['id']}": lambda: (
                200,
                self.merged_result,
            ),
            f"GET {project}/merge_requests/7": lambda: (200, self.request),
            f"PUT {project}/merge_requests/7/merge": lambda: self._merge(body or {}),
        }
        found = answers.get(call)
        return found() if found else (404, {"message": "404 Not Found"})

    def _move(self, status: int, to: str) -> tuple[int, Any]:
        self.pipeline |= {"status": to}
        return status, self.pipeline

    def _play(self, body: dict[str, Any]) -> tuple[int, Any]:
        for variable in body.get("job_variables_attributes", ()):
            if set(variable) != {"key", "value"}:
                return 400, {"message": "400 Bad request"}
        if self.job["status"] != "manual":
            return 400, {"message": "400 Bad request - Unplayable Job"}
        self.job |= {"status": "pending"}
        return 200, self.job

    def _merge(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.request["state"] != "opened":
            return 405, {"message": "405 Method Not Allowed"}
        if body.get("sha") not in {None, self.request["sha"]}:
            return 409, {"message": "SHA does not match HEAD of source branch"}
        if body.get("auto_merge") or body.get("merge_when_pipeline_succeeds"):
            self.request |= {"merge_when_pipeline_succeeds": True}
        else:
            self.request |= {"state": "merged", "merge_commit_sha": "e" * 40}
        return 200, self.request


@asynccontextmanager
async def small_gitlab() -> AsyncIterator[SmallGitLab]:
    """Serve it on a free port."""
    gitlab = SmallGitLab()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gitlab.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gitlab.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield gitlab
    finally:
        await runner.cleanup()
