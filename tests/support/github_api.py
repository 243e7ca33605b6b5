"""A server of part of GitHub's API, held to the descriptions that GitHub publishes.

Every request that it gets and every answer that it gives is checked: REST by openapi-core against
`api.github.com.json` (npm `@octokit/openapi`), GraphQL by graphql-core against `schema.graphql`
(npm `@octokit/graphql-schema`); what does not fit fails the test.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from aiohttp import web
from graphql import (
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    parse,
    validate,
)
from graphql.execution import get_variable_values
from jsonschema_path import SchemaPath
from openapi_core import OpenAPI
from openapi_core.configurations import Config
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError

from tests.support.npm import unpacked

VERSION = "23.0.2"
TOKEN = "a-token-for-tests"
_RUN = "/repos/{owner}/{repo}/actions/runs/{run_id}"
_REPO = "/repos/{owner}/{repo}"
_WORKFLOW = f"{_REPO}/actions/workflows/{{workflow_id}}"
_PATHS = (
    "/rate_limit",
    _RUN,
    f"{_RUN}/rerun",
    f"{_RUN}/rerun-failed-jobs",
    _WORKFLOW,
    f"{_WORKFLOW}/dispatches",
    f"{_WORKFLOW}/runs",
    f"{_REPO}/commits/{{ref}}",
    f"{_REPO}/commits/{{ref}}/check-runs",
    f"{_REPO}/commits/{{ref}}/status",
    f"{_REPO}/deployments/{{deployment_id}}",
    f"{_REPO}/deployments/{{deployment_id}}/statuses",
    f"{_REPO}/pulls",
    f"{_REPO}/pulls/{{pull_number}}",
    f"{_REPO}/pulls/{{pull_number}}/merge",
)
_GRAPHQL_VERSION = "15.26.1"
_REFERENCE = re.compile(r'"\$ref": ?"#/components/([^/"]+)/([^"]+)"')


@cache
def description() -> dict[str, Any]:
    """GitHub's description, cut down to our paths and what they refer to."""
    (path,) = unpacked("@octokit/openapi", VERSION, "generated/api.github.com.json")
    whole = json.loads(path.read_text())
    part: dict[str, Any] = {
        "openapi": whole["openapi"],
        "info": whole["info"],
        "servers": [{"url": "/"}],
        "paths": {name: whole["paths"][name] for name in _PATHS},
        "components": {},
    }
    waiting = set(_REFERENCE.findall(json.dumps(part["paths"])))
    while waiting:
        section, name = waiting.pop()
        held = part["components"].setdefault(section, {})
        if name not in held:
            held[name] = whole["components"][section][name]
            waiting.update(_REFERENCE.findall(json.dumps(held[name])))
    _let_null_be_null(part)
    return part


def _let_null_be_null(part: Any) -> None:
    """GitHub lists null in no enum, not even where it says `nullable` and sends it."""
    if isinstance(part, dict):
        if part.get("nullable") is True and isinstance(part.get("enum"), list):
            part["enum"].append(None)
        part = list(part.values())
    for below in part if isinstance(part, list) else ():
        _let_null_be_null(below)


def example(name: str) -> Any:
    """A fresh copy of an example in GitHub's description."""
    return json.loads(json.dumps(description()["components"]["examples"][name]["value"]))


@cache
def graphql_schema() -> GraphQLSchema:
    """GitHub's GraphQL schema."""
    (path,) = unpacked("@octokit/graphql-schema", _GRAPHQL_VERSION, "schema.graphql")
    return build_schema(path.read_text(), assume_valid=True)


class _Request:
    """A request as openapi-core wants it."""

    def __init__(self, request: web.Request, path: str, body: bytes) -> None:
        self.host_url = f"http://{request.host}"
        self.path = path
        self.full_url_pattern = self.host_url + path
        self.method = request.method.lower()
        self.body = body or None
        self.content_type = request.content_type
        self.parameters = RequestParameters(
            query=request.query, header=request.headers, cookie=request.cookies
        )


class _Answer:
    """An answer as openapi-core wants it."""

    def __init__(self, status: int, data: object) -> None:
        self.status_code = status
        self.data = json.dumps(data).encode()
        self.content_type = "application/json"
        self.headers: dict[str, str] = {}


class DescribedGitHub:
    """A running server with one workflow run, and what a test adds.

    Attributes:
        answers: by method and path, what answers a request's body: status and data. GraphQL's
            mutations are `POST /graphql`, and get their variables.
        run: the workflow run as the API shows it; tests change it.
        requests: method and path of each request, in order.
        violations: what did not fit GitHub's description.
        failing: when set, what every request is answered instead: status, headers, body.
        drop_after_effect: the connection breaks after a re-run was started.
    """

    def __init__(self) -> None:
        self.run: dict[str, Any] = example("workflow-run")
        self.run |= {"status": "completed", "conclusion": "failure"}
        self.answers: dict[str, Callable[[Any], tuple[int, Any]]] = {}
        self.run["run_attempt"] = 1
        self.url = ""
        self.requests: list[str] = []
        self.violations: list[str] = []
        self.failing: tuple[int, dict[str, str], str] | None = None
        self.drop_after_effect = False
        self._api = OpenAPI(
            SchemaPath.from_dict(description()), config=Config(spec_validator_cls=None)
        )

    @property
    def repository(self) -> str:
        """The full name of the run's repository."""
        return str(self.run["repository"]["full_name"])

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        # An Enterprise Server has REST below /api/v3, and GraphQL at /api/graphql.
        path = request.rel_url.raw_path.removeprefix("/api/v3").removeprefix("/api")
        self.requests.append(f"{request.method} {path}")
        body = await request.read()
        described = _Request(request, path, body)
        data = json.loads(body) if body else None
        if path == "/graphql":
            self._hold_graphql(data)
        else:
            self._hold(lambda: self._api.validate_request(described))
        if request.headers.get("Authorization") not in {f"token {TOKEN}", f"Bearer {TOKEN}"}:
            return web.json_response({"message": "Bad credentials"}, status=401)
        if self.failing:
            status, headers, body = self.failing
            return web.Response(
                status=status, headers=headers, text=body, content_type="application/json"
            )
        if answer := self.answers.get(self.requests[-1]):
            status, data = answer(data["variables"] if path == "/graphql" else data)
            if path != "/graphql":
                given = _Answer(status, data)
                self._hold(lambda: self._api.validate_response(described, given))
            if self.drop_after_effect and request.method != "GET" and request.transport:
                request.transport.abort()
            if status == 204:
                return web.Response(status=204)
            return web.json_response(data, status=status)
        if not path.startswith(f"/repos/{self.repository}/actions/runs/{self.run['id']}"):
            return web.json_response({"message": "Not Found", "status": "404"}, status=404)
        status, data = 200, self.run
        if request.method == "POST":
            status, data = 201, {}
            self.run |= {
                "run_attempt": self.run["run_attempt"] + 1,
                "status": "queued",
                "conclusion": None,
            }
            if self.drop_after_effect and request.transport:
                request.transport.abort()
        given = _Answer(status, data)
        self._hold(lambda: self._api.validate_response(described, given))
        return web.json_response(data, status=status)

    def _hold_graphql(self, sent: Any) -> None:
        document = parse(sent["query"])
        (operation,) = document.definitions
        assert isinstance(operation, OperationDefinitionNode)
        problems: list[GraphQLError] = [*validate(graphql_schema(), document)]
        values = get_variable_values(
            graphql_schema(), operation.variable_definitions or (), sent["variables"]
        )
        problems += values if isinstance(values, list) else []
        self.violations += [f"{self.requests[-1]}: {problem}" for problem in problems]

    def _hold(self, check: Any) -> None:
        try:
            check()
        except OpenAPIError as error:
            details = getattr(error.__cause__, "schema_errors", None) or [error.__cause__]
            said = "; ".join(f"{getattr(d, 'json_path', '')} {str(d)[:300]}" for d in details)
            self.violations.append(f"{self.requests[-1]}: {error!r} {said}")

    @property
    def effects(self) -> Iterable[str]:
        """The requests that changed something."""
        return [line for line in self.requests if not line.startswith("GET")]


@asynccontextmanager
async def described_github() -> AsyncIterator[DescribedGitHub]:
    """Serve it on a free port; afterwards nothing may have violated the description."""
    github = DescribedGitHub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", github.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    github.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield github
    finally:
        await runner.cleanup()
    assert github.violations == [], "\n".join(github.violations)
