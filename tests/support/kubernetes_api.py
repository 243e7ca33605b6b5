"""An API server of a small cluster, held to the description that Kubernetes publishes.

There is no API server in a package, so this is a stand-in: it keeps objects, takes the three kinds
of patch, dry runs, scale, evictions and disruption budgets, and plays the controllers as far as
asked. Every request that it gets and every answer that it gives is checked against the published
schema, unknown fields of what is sent included; what does not fit fails the test. It allows what
the role in our documentation allows, and nothing else.
"""

import copy
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from openapi_core.exceptions import OpenAPIError
from ruamel.yaml import YAML

from tests.support.kubernetes_objects import (
    Object,
    controller_revision,
    event,
    node,
    pod,
    replica_set,
    workload,
)
from tests.support.kubernetes_schema import (
    DescribedAnswer,
    DescribedRequest,
    api,
    schema_of,
    unknown_fields,
)

TOKEN = "a-service-accounts-token"
_PLURALS = {
    "Node": "api/v1/nodes",
    "Pod": "api/v1/pods",
    "Event": "api/v1/events",
    "Deployment": "apis/apps/v1/deployments",
    "StatefulSet": "apis/apps/v1/statefulsets",
    "DaemonSet": "apis/apps/v1/daemonsets",
    "ReplicaSet": "apis/apps/v1/replicasets",
    "ControllerRevision": "apis/apps/v1/controllerrevisions",
}
_PATH = re.compile(
    r"^/(?P<group>api/v1|apis/[a-z.]+/v\d)(/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[a-z]+)(/(?P<name>[^/]+))?(/(?P<sub>[a-z]+))?$"
)
_TERM = re.compile(r"([\w./-]+) (in|notin) \(([^)]*)\)|(!?)([\w./-]+)(?:=([^,]*))?")


class StandInCluster:
    """A running server.

    Attributes:
        objects: by path; tests change them.
        requests: method, path and query of each request, in order.
        sent: the bodies of the requests that had one.
        violations: what did not fit the description.
        logs: by the pod's name.
        protected: names of pods that a disruption budget protects; a request takes one off the
            number beside the name, if there is one, and is let through at none.
        stubborn: names of pods that stay after their eviction.
        stalled: the controllers do nothing.
        drop_after: how the path ends of the next change after which the connection breaks.
        away: how many requests more are answered with 503.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.requests: list[str] = []
        self.sent: list[Any] = []
        self.violations: list[str] = []
        self.logs: dict[str, str] = {}
        self.protected: dict[str, int | None] = {}
        self.stubborn: set[str] = set()
        self.stalled = False
        self.drop_after: str | None = None
        self.away = 0
        self.url = ""

    def add(self, *objects: Object) -> None:
        """Put objects into the cluster."""
        for one in objects:
            self.objects[path_of(one)] = one

    def get(self, kind: str, name: str, namespace: str | None = "shop") -> Object:
        """An object, to look at or to change."""
        return self.objects[_path(kind, namespace, name)]

    @property
    def changes(self) -> list[str]:
        """The requests that changed something."""
        return [
            line for line in self.requests if not line.startswith("GET") and "dryRun" not in line
        ]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if (known := _DISCOVERY.get(request.path)) is not None:
            return web.json_response(known)
        self.requests.append(f"{request.method} {request.rel_url}")
        body = await request.read()
        described = DescribedRequest(request, body)
        self._hold(lambda: api().validate_request(described))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _problem(401, "Unauthorized", "Unauthorized")
        if self.away:
            self.away -= 1
            return _problem(503, "ServiceUnavailable", "apiserver not ready")
        if not self._allowed(request):
            return _problem(403, "Forbidden", f"forbidden: {request.method} {request.path}")
        before = copy.deepcopy(self.objects)
        response = self._respond(request, json.loads(body) if body else None)
        if response.status < 300:
            data = response.body if isinstance(response.body, bytes) else b""
            answer = DescribedAnswer(response.status, data, response.content_type)
            self._hold(lambda: api().validate_response(described, answer))
            if request.query.get("dryRun") == "All":
                self.objects = before
            elif (
                request.method != "GET"
                and self.drop_after is not None
                and request.path.endswith(self.drop_after)
                and request.transport
            ):
                self.drop_after = None
                request.transport.abort()
        return response

    def _hold(self, check: Callable[[], object]) -> None:
        try:
            check()
        except OpenAPIError as error:
            cause = [str(one) for one in getattr(error.__cause__, "schema_errors", ())]
            self.violations.append(f"{self.requests[-1]}: {error!r} {error.__cause__!r} {cause}")

    def _allowed(self, request: web.Request) -> bool:
        """Whether the role that our documentation gives out allows it."""
        found = _PATH.match(request.path)
        if found is None:
            return True
        group = found["group"].removeprefix("apis/").rpartition("/")[0].replace("api", "")
        resource = "/".join(filter(None, (found["plural"], found["sub"])))
        verb = {"GET": "get" if found["name"] else "list", "PATCH": "patch", "POST": "create"}
        role = "workloads" if found["namespace"] and found["sub"] != "eviction" else "nodes"
        return (group, resource, verb[request.method]) in granted(f"countersign-{role}")

    def _respond(self, request: web.Request, sent: Any) -> web.Response:
        if request.path == "/version/":
            return web.json_response(_VERSION)
        found = _PATH.match(request.path)
        if found is None:
            return _problem(404, "NotFound", "the server could not find the requested resource")
        name, sub = found["name"], found["sub"]
        if name is None:
            return self._list(request, found)
        path = request.path.removesuffix(f"/{sub}") if sub else request.path
        if path not in self.objects:
            return _problem(404, "NotFound", f'{found["plural"]} "{name}" not found')
        if sent is not None:
            self.sent.append(sent)
        if sub == "log":
            return self._log(request, name)
        if sub == "eviction":
            return self._evict(request, path, sent)
        if request.method == "PATCH":
            return self._patch(request, path, sub, sent)
        return web.json_response(_scale(self.objects[path]) if sub else self.objects[path])

    def _list(self, request: web.Request, found: re.Match[str]) -> web.Response:
        start = f"/{found['group']}/" + (
            f"namespaces/{found['namespace']}/" if found["namespace"] else ""
        )
        items = [
            one
            for path, one in self.objects.items()
            if path.startswith(start)
            and f"/{found['plural']}/" in path
            and _selected(one, request.query)
        ]
        kind = next(k for k, v in _PLURALS.items() if v == f"{found['group']}/{found['plural']}")
        group = found["group"].removeprefix("apis/").removeprefix("api/")
        return web.json_response(
            {"kind": f"{kind}List", "apiVersion": group, "metadata": {}, "items": items}
        )

    def _log(self, request: web.Request, name: str) -> web.Response:
        text = self.logs.get(name + (":previous" if request.query.get("previous") else ""), "")
        tail = int(request.query.get("tailLines", 10_000))
        return web.Response(
            text="".join(text.splitlines(keepends=True)[-tail:]), content_type="text/plain"
        )

    def _evict(self, request: web.Request, path: str, sent: Any) -> web.Response:
        self._known_fields("Eviction", sent)
        one = self.objects[path]
        name, uid = one["metadata"]["name"], one["metadata"]["uid"]
        asked = sent.get("deleteOptions") or {}
        if asked.get("preconditions", {}).get("uid", uid) != uid:
            return _problem(409, "Conflict", "the UID in the precondition does not match")
        if name in self.protected:
            left = self.protected[name]
            if left is None or left > 0:
                if left is not None:
                    self.protected[name] = left - 1
                return _problem(
                    429,
                    "TooManyRequests",
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                )
        if name not in self.stubborn:
            del self.objects[path]
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return web.json_response(status, status=201)

    def _patch(self, request: web.Request, path: str, sub: str | None, sent: Any) -> web.Response:
        old = self.objects[path]
        if request.content_type == "application/json-patch+json":
            new = _json_patched(old, sent)
        else:
            self._known_fields("Scale" if sub else old["kind"], sent)
            new = _merged(old, sent)
        self._known_fields(old["kind"], new)
        if new["spec"] != old["spec"]:
            new["metadata"]["generation"] += 1
        self.objects[path] = new
        if not self.stalled:
            _settle(new)
        return web.json_response(_scale(new) if sub else new)

    def _known_fields(self, kind: str, sent: Any) -> None:
        for field in unknown_fields(schema_of(kind), sent):
            self.violations.append(f"{self.requests[-1]}: {kind} has no {field}")


@cache
def granted(role: str) -> frozenset[tuple[str, str, str]]:
    """Group, resource and verb of everything that a role of our manifest allows."""
    manifest = Path(__file__).parents[2] / "docs" / "integrations" / "kubernetes-rbac.yaml"
    return frozenset(
        (group, resource, verb)
        for one in YAML(typ="safe", pure=True).load_all(manifest.read_text())
        if one["kind"] == "ClusterRole" and one["metadata"]["name"] == role
        for rule in one["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


_VERSION = {
    "major": "1",
    "minor": "27",
    "gitVersion": "v1.27.0",
    "gitCommit": "0",
    "gitTreeState": "clean",
    "buildDate": "2023-04-11T17:02:11Z",
    "goVersion": "go1.20.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}


def _discovered(group: str) -> Object:
    """The resources of a group; by them `kubectl` knows what there is."""
    kinds = {kind: plural for kind, plural in _PLURALS.items() if plural.startswith(f"{group}/")}
    version = group.removeprefix("apis/").removeprefix("api/")
    resources = [
        {
            "name": plural.rpartition("/")[2],
            "singularName": kind.lower(),
            "namespaced": kind != "Node",
            "kind": kind,
            "verbs": ["get", "list", "patch"],
        }
        for kind, plural in kinds.items()
    ]
    if group == "api/v1":
        evicted = {"kind": "Eviction", "group": "policy", "version": "v1"}
        placed = {"name": "pods/eviction", "singularName": "", "namespaced": True}
        resources.append({**placed, **evicted, "verbs": ["create"]})
    else:
        scaled = {"kind": "Scale", "group": "autoscaling", "version": "v1"}
        for name in ("deployments/scale", "statefulsets/scale"):
            placed = {"name": name, "singularName": "", "namespaced": True}
            resources.append({**placed, **scaled, "verbs": ["get", "patch"]})
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def _group(name: str) -> Object:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


_DISCOVERY: dict[str, Object] = {
    "/version": _VERSION,
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group("apps"), _group("policy"), _group("autoscaling")],
    },
    "/api/v1": _discovered("api/v1"),
    "/apis/apps/v1": _discovered("apis/apps/v1"),
    "/apis/policy/v1": {"kind": "APIResourceList", "groupVersion": "policy/v1", "resources": []},
    "/apis/autoscaling/v1": {
        "kind": "APIResourceList",
        "groupVersion": "autoscaling/v1",
        "resources": [],
    },
}


def path_of(one: Object) -> str:
    """Where the API has it."""
    return _path(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])


def _path(kind: str, namespace: str | None, name: str) -> str:
    group, _, plural = _PLURALS[kind].rpartition("/")
    place = f"namespaces/{namespace}/" if namespace and kind != "Node" else ""
    return f"/{group}/{place}{plural}/{name}"


def _problem(status: int, reason: str, message: str) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }
    return web.json_response(body, status=status)


def _scale(one: Object) -> Object:
    wanted = one["spec"]["replicas"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {k: one["metadata"][k] for k in ("name", "namespace", "uid")},
        "spec": {"replicas": wanted} if wanted else {},
        "status": {"replicas": one["status"]["replicas"]},
    }


def _settle(one: Object) -> None:
    """What the workload's controller would have done after a while."""
    status = one.get("status", {})
    if "observedGeneration" not in status:
        return
    status["observedGeneration"] = one["metadata"]["generation"]
    if "replicas" in one["spec"]:
        for count in ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"):
            status[count] = one["spec"]["replicas"]


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7386, and `$patch: replace`; lists are replaced, so no patch of a list is tested."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    base = {} if patch.get("$patch") == "replace" or not isinstance(old, dict) else dict(old)
    for name, value in patch.items():
        if name == "$patch":
            continue
        if value is None:
            base.pop(name, None)
        else:
            base[name] = _merged(base.get(name), value)
    return copy.deepcopy(base)


def _json_patched(old: Object, operations: list[Object]) -> Object:
    """RFC 6902, as far as `replace` and `add` of members of objects."""
    new = copy.deepcopy(old)
    for operation in operations:
        *parents, last = operation["path"].removeprefix("/").split("/")
        target = new
        for part in parents:
            target = target[part]
        assert operation["op"] == "add" or (operation["op"] == "replace" and last in target)
        target[last] = copy.deepcopy(operation["value"])
    return new


def _selected(one: Object, query: Any) -> bool:
    labels = one["metadata"].get("labels", {})
    for key, operator, among, negated, name, value in _TERM.findall(query.get("labelSelector", "")):
        if operator:
            fits = (labels.get(key) in among.split(",")) == (operator == "in")
        elif value:
            fits = labels.get(name) == value
        else:
            fits = (name in labels) != bool(negated)
        if not fits:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        field, _, wanted = term.partition("=")
        found: Any = one
        for part in field.split("."):
            found = found.get(part, {})
        if found != wanted:
            return False
    return True


def shop() -> StandInCluster:
    """A cluster with a shop: a Deployment with two revisions, a StatefulSet, a DaemonSet, their
    pods on two nodes, and what went wrong there."""
    cluster = StandInCluster()
    web_ = workload("Deployment", "shop", "web", 2, "shop/web:2")
    database = workload("StatefulSet", "shop", "db", 1, "postgres:17")
    agent = workload("DaemonSet", "shop", "agent", 2, "agent:2")
    cluster.add(web_, database, agent, node("node-1"), node("node-2"))
    first, second = replica_set(web_, 1, "shop/web:1"), replica_set(web_, 2, "shop/web:2")
    cluster.add(first, second)
    for owner, image in ((database, "postgres"), (agent, "agent")):
        cluster.add(*(controller_revision(owner, n, f"{image}:{n}") for n in (1, 2)))
    crashing = pod("web-b", "node-2", second, restarts=7)
    for one in (pod("web-a", "node-1", second), crashing):
        one["metadata"]["labels"]["app"] = "web"
        cluster.add(one)
    cluster.add(pod("db-0", "node-1", database), pod("agent-a", "node-1", agent))
    cluster.add(event("e1", crashing, "BackOff", "Back-off restarting failed container"))
    cluster.add(event("e22", web_, "ScalingReplicaSet", "Scaled up to 2", "Normal"))
    cluster.logs = {"web-a": "one\ntwo\n", "web-b": "three\n", "web-b:previous": "it crashed\n"}
    return cluster


@asynccontextmanager
async def served(
    cluster: StandInCluster, tls: ssl.SSLContext | None = None
) -> AsyncIterator[StandInCluster]:
    """Serve it on a free port; afterwards nothing may have violated the description."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cluster.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    cluster.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield cluster
    finally:
        await runner.cleanup()
    assert cluster.violations == [], cluster.violations
