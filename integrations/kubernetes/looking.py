"""What workflows can look at: objects, events, logs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.kubernetes.client import KubernetesClient
from integrations.kubernetes.payloads import (
    AnyList,
    KubernetesEvent,
    KubernetesEvents,
    Node,
    Pod,
    Raw,
    Workload,
)
from integrations.kubernetes.pruning import as_yaml
from integrations.kubernetes.resources import (
    EVENT,
    RESOURCES,
    Name,
    Namespace,
    ReadableKind,
    Scope,
)
from integrations.kubernetes.rollouts import progress
from integrations.text import clip

_MAX_OUTPUT = 30_000
_LISTED = 200


class GetArguments(BaseModel):
    """Which object, or which kind of objects where `name` is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ReadableKind
    namespace: Namespace | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _placed(self) -> GetArguments:
        if RESOURCES[self.kind].namespaced != (self.namespace is not None):
            needs = "is in a namespace: name it" if self.namespace is None else "is in no namespace"
            raise ValueError(f"a {self.kind} {needs}")
        return self

    @property
    def title(self) -> str:
        """Such as `pod shop/web-1`."""
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}" if self.name else f"each {self.kind} {place}*"


class Get(Action[GetArguments]):
    """Look at an object. Environment variables, commands and annotations are left out: what is
    secret often stands there."""

    name: ClassVar[str] = "kubernetes.get"
    summary: ClassVar[str] = "Look at an object of the cluster"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = GetArguments

    def __init__(self, client: KubernetesClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: GetArguments) -> str:
        """See `Action.describe`."""
        return f"Look at {arguments.title}"

    async def execute(self, arguments: GetArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        if arguments.namespace is not None:
            self._scope.check(arguments.namespace)
        elif arguments.name is not None:
            self._scope.check_node(arguments.name)
        path = RESOURCES[arguments.kind].path(arguments.namespace, arguments.name or "")
        if arguments.name is None:
            return await self._list(arguments, path)
        value = await self._client.raw(path)
        values = _values(arguments.kind, value)
        said = ", ".join(f"{name} {item}" for name, item in values.items() if name != "images")
        return ActionResult(
            summary=clip(f"{arguments.title}: {said}" if said else arguments.title, 500),
            output=clip_lines(as_yaml(value)),
            values=values,
        )

    async def _list(self, arguments: GetArguments, path: str) -> ActionResult:
        found = await self._client.get(path, AnyList, {"limit": str(_LISTED)})
        names: list[JsonValue] = [
            item.metadata.name
            for item in found.items
            if arguments.kind != "node" or self._scope.includes_node(item.metadata.name)
        ]
        return ActionResult(
            summary=f"{arguments.title}: {len(names)} found"
            + (", and there are more" if found.metadata.more else ""),
            output=clip_lines("\n".join(map(str, names))),
            values={"names": names, "count": len(names)},
        )


def _values(kind: str, value: Raw) -> Raw:
    """What later steps may ask for; nothing for kinds that are only shown."""
    try:
        if kind in {"deployment", "statefulset", "daemonset"}:
            workload = Workload.model_validate(value)
            images: list[JsonValue] = [clip(image, 300) for image in workload.images]
            return {
                "replicas": workload.wanted,
                "ready": workload.ready,
                "generation": workload.metadata.generation,
                "rolled_out": progress(workload).done,
                "images": images,
            }
        if kind == "pod":
            pod = Pod.model_validate(value)
            return {
                "phase": clip(pod.status.phase, 40),
                "ready": pod.is_ready,
                "restarts": pod.restarts,
                "node": clip(pod.spec.node_name, 253),
            }
        if kind == "node":
            node = Node.model_validate(value)
            return {"ready": node.is_ready, "unschedulable": node.spec.unschedulable}
    except ValidationError as error:
        raise ActionError(f"Kubernetes' answer is not a {kind}.") from error
    return {}


class EventsArguments(BaseModel):
    """The events of a namespace, or of one object in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: Namespace
    kind: ReadableKind | None = None
    name: Name | None = None
    warnings_only: bool = False
    limit: int = Field(default=30, ge=1, le=200)


class Events(Action[EventsArguments]):
    """What controllers and kubelets told lately, the newest first."""

    name: ClassVar[str] = "kubernetes.events"
    summary: ClassVar[str] = "Look at the events of a namespace or an object"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = EventsArguments

    def __init__(self, client: KubernetesClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: EventsArguments) -> str:
        """See `Action.describe`."""
        what = "warnings" if arguments.warnings_only else "events"
        about = " ".join(part for part in (arguments.kind, arguments.name) if part)
        of = f"{about} in {arguments.namespace}" if about else arguments.namespace
        return f"Look at the last {arguments.limit} {what} of {of}"

    async def execute(self, arguments: EventsArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        self._scope.check(arguments.namespace)
        fields = {
            "involvedObject.kind": RESOURCES[arguments.kind].kind if arguments.kind else None,
            "involvedObject.name": arguments.name,
            "type": "Warning" if arguments.warnings_only else None,
        }
        selector = ",".join(f"{field}={value}" for field, value in fields.items() if value)
        params = {"fieldSelector": selector} if selector else {}
        found = await self._client.get(EVENT.path(arguments.namespace), KubernetesEvents, params)
        events = sorted(found.items, key=_at, reverse=True)[: arguments.limit]
        return ActionResult(
            summary=f"{len(found.items)} events, {len(events)} shown",
            output=clip_lines("\n".join(map(_line, events))),
            values={"count": len(found.items), "reasons": _reasons(events)},
        )


def _at(event: KubernetesEvent) -> datetime:
    at = event.at
    return datetime.min.replace(tzinfo=UTC) if at is None else at


def _line(event: KubernetesEvent) -> str:
    at = f"{event.at:%Y-%m-%d %H:%M:%S}" if event.at else "?"
    about = f"{event.involved_object.kind}/{event.involved_object.name}"
    times = f" (x{event.count})" if event.count > 1 else ""
    line = f"{at} {event.type} {event.reason} {about}: {event.message}{times}"
    return clip(line, 500)


def _reasons(events: list[KubernetesEvent]) -> list[JsonValue]:
    return list(dict.fromkeys(clip(event.reason, 100) for event in events))


def clip_lines(text: str) -> str:
    """Text at most as long as a step's output; the indentation stays."""
    kept = "".join(c for c in text if c == "\n" or c.isprintable())
    return kept if len(kept) <= _MAX_OUTPUT else kept[: _MAX_OUTPUT - 1] + "…"
