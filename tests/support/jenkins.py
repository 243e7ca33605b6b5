"""A stand-in for Jenkins' remote API: the paths, answers and refusals that `jenkins.build` meets.

As https://www.jenkins.io/doc/book/using/remote-access-api/ and the pages `…/api/` of Jenkins 2.5
say: a build is asked for by POST and answered 201 with the place in the queue, `tree` chooses what
is shown, a job without declared parameters refuses `buildWithParameters`, parameters that are not
declared are ignored.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

USERNAME, TOKEN = "countersign", "11aa22bb33cc44dd55ee66ff"
JOB = "team/deploy"


class Jenkins:
    """One job in a folder.

    Attributes:
        declared: its parameters; empty: it declares none.
        posted: what was posted, in order: the path's last part and the form.
        builds: newest first, as the API shows them.
        looks_in_queue: after how many looks an item of the queue becomes a build; None: never.
        looks_building: after how many looks a build has ended.
        result: how builds end.
        cancels: an item of the queue is cancelled when it is looked at.
        breaks: the connection is closed after a build was asked for.
        fails_after: everything but the POST is answered 500.
    """

    def __init__(self) -> None:
        self.url = ""
        self.declared: list[dict[str, Any]] = [
            {"name": "ENVIRONMENT", "choices": ["staging", "production"]},
            {"name": "DRY_RUN"},
            {"name": "BRANCH", "choices": {"of": "a plugin"}},
            {"name": "COUNTERSIGN_KEY"},
        ]
        self.buildable = True
        self.posted: list[tuple[str, dict[str, str]]] = []
        self.builds: list[dict[str, Any]] = []
        self.queue: dict[int, dict[str, Any]] = {}
        self.looks_in_queue: int | None = 2
        self.looks_building = 2
        self.result = "SUCCESS"
        self.cancels = self.breaks = self.fails_after = False

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve it on a free port."""
        app = web.Application(middlewares=[self._admit])
        app.router.add_get("/whoAmI/api/json", self._who)
        app.router.add_get("/job/team/job/deploy/api/json", self._job)
        app.router.add_post("/job/team/job/deploy/build", self._build)
        app.router.add_post("/job/team/job/deploy/buildWithParameters", self._build)
        app.router.add_get("/job/team/job/deploy/{number:[0-9]+}/api/json", self._state)
        app.router.add_get("/queue/api/json", self._queue)
        app.router.add_get("/queue/item/{id:[0-9]+}/api/json", self._item)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield self.url
        await runner.cleanup()

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        pair = base64.b64encode(f"{USERNAME}:{TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {pair}":
            return web.Response(status=401, text="<html>Invalid password/token</html>")
        if request.method == "GET" and not request.query.get("tree"):
            assert request.path == "/whoAmI/api/json", "ask for what is needed only"
        if self.fails_after and self.posted:
            return web.Response(status=500, text="Oops!")
        return await handler(request)

    async def _who(self, _request: web.Request) -> web.Response:
        return web.json_response({"name": USERNAME, "anonymous": False, "authenticated": True})

    async def _job(self, request: web.Request) -> web.Response:
        tree = request.query["tree"]
        if tree.startswith("allBuilds["):
            shown = int(tree.rpartition("{0,")[2].removesuffix("}"))
            return web.json_response({"_class": "Job", "allBuilds": self.builds[:shown]})
        held = [{"_class": "ParametersDefinitionProperty", "parameterDefinitions": self.declared}]
        last = self.builds[0] if self.builds else None
        return web.json_response(
            {
                "url": f"{self.url}/job/team/job/deploy/",
                "buildable": self.buildable,
                "property": [{}, *(held if self.declared else [])],
                "lastBuild": {"number": last["number"], "result": last["result"]} if last else None,
            }
        )

    async def _build(self, request: web.Request) -> web.StreamResponse:
        path = request.path.rpartition("/")[2]
        form = {name: str(value) for name, value in (await request.post()).items()}
        if (path == "buildWithParameters") != bool(self.declared):
            return web.Response(status=400, text="This job is, or is not, parameterized")
        self.posted.append((path, form))
        known = {definition["name"] for definition in self.declared}
        number = 100 + len(self.posted)
        self.queue[number] = {
            "id": number,
            "why": "Waiting for next available executor",
            "cancelled": False,
            "looks": 0,
            "actions": [
                {},
                {"parameters": [{"name": n, "value": v} for n, v in form.items() if n in known]},
            ],
        }
        if self.breaks:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=201, headers={"Location": f"{self.url}/queue/item/{number}/"})

    async def _queue(self, _request: web.Request) -> web.Response:
        waiting = [item for item in self.queue.values() if "executable" not in item]
        return web.json_response({"items": waiting})

    async def _item(self, request: web.Request) -> web.Response:
        item = self.queue.get(int(request.match_info["id"]))
        if item is None:
            return web.Response(status=404, text="<html>Not Found</html>")
        item["looks"] += 1
        if self.cancels:
            item["cancelled"] = True
        elif self.looks_in_queue is not None and item["looks"] >= self.looks_in_queue:
            self.leave_queue(item)
        return web.json_response(item)

    def leave_queue(self, item: dict[str, Any]) -> None:
        """The item becomes a build."""
        if "executable" in item:
            return
        number = len(self.builds) + 1
        url = f"{self.url}/job/team/job/deploy/{number}/"
        item |= {"why": None, "executable": {"number": number, "url": url}}
        build = {
            "number": number,
            "url": url,
            "building": True,
            "result": None,
            "duration": 0,
            "displayName": f"#{number}",
            "queueId": item["id"],
            "actions": item["actions"],
            "looks": 0,
        }
        self.builds.insert(0, build)

    async def _state(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        build = next((b for b in self.builds if b["number"] == number), None)
        if build is None:
            return web.Response(status=404, text="<html>Not Found</html>")
        build["looks"] += 1
        if build["looks"] >= self.looks_building:
            build |= {"building": False, "result": self.result, "duration": 61_000}
        return web.json_response(build)
