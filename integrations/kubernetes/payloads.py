"""The parts of Kubernetes' objects that are looked at.

https://kubernetes.io/docs/reference/kubernetes-api/
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from integrations.webhooks import Payload

Raw = dict[str, JsonValue]


class Part(Payload):
    """A part of an object. Go writes an empty list or map as null, or leaves it out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}
        return value


class Owner(Part):
    """Who made an object and looks after it."""

    kind: str
    name: str
    uid: str
    controller: bool = False


class Metadata(Part):
    """What every object has."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[Owner, ...] = ()
    deletion_timestamp: datetime | None = None

    @property
    def owner(self) -> Owner | None:
        """The controller that would make it anew."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class Expression(Part):
    """One requirement of a label selector."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.operator in {"In", "NotIn"}:
            return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"
        return self.key if self.operator == "Exists" else f"!{self.key}"


class Selector(Part):
    """Which pods belong to a workload; as text, what `labelSelector` takes."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: tuple[Expression, ...] = ()

    def __str__(self) -> str:
        labels = [f"{name}={value}" for name, value in self.match_labels.items()]
        return ",".join(labels + [str(one) for one in self.match_expressions])


class Container(Part):
    """A container of a pod."""

    name: str
    image: str = ""


class Volume(Part):
    """A volume of a pod; `empty_dir` is set where it dies with the pod."""

    name: str
    empty_dir: Raw | None = None


class PodSpec(Part):
    """What runs in a pod."""

    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    node_name: str = ""


class Template(Part):
    """What a workload makes its pods from."""

    metadata: Metadata = Field(default_factory=Metadata)
    spec: PodSpec = Field(default_factory=PodSpec)


class Condition(Part):
    """One of the things that a status says."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class WorkloadSpec(Part):
    """What a Deployment, StatefulSet or DaemonSet is to be."""

    replicas: int = 1
    paused: bool = False
    selector: Selector
    template: Template


class WorkloadStatus(Part):
    """What it is; a DaemonSet counts under other names than the others."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    desired_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    number_ready: int = 0
    conditions: tuple[Condition, ...] = ()


class Workload(Part):
    """A Deployment, StatefulSet or DaemonSet."""

    kind: str
    metadata: Metadata
    spec: WorkloadSpec
    status: WorkloadStatus = Field(default_factory=WorkloadStatus)

    @property
    def title(self) -> str:
        """Such as `Deployment shop/web`."""
        return f"{self.kind} {self.metadata.namespace}/{self.metadata.name}"

    @property
    def images(self) -> list[str]:
        """The images of its containers."""
        return [container.image for container in self.spec.template.spec.containers]

    @property
    def wanted(self) -> int:
        """How many pods there are to be."""
        if self.kind == "DaemonSet":
            return self.status.desired_number_scheduled
        return self.spec.replicas

    @property
    def ready(self) -> int:
        """How many of them are ready."""
        return self.status.number_ready or self.status.ready_replicas


class OldTemplate(Part):
    """The spec of a ReplicaSet, its template word for word."""

    template: Raw


class ReplicaSet(Part):
    """One revision of a Deployment."""

    metadata: Metadata
    spec: OldTemplate


class ReplicaSets(Part):
    """A list of them."""

    items: tuple[ReplicaSet, ...] = ()


class Revision(Part):
    """One revision of a StatefulSet or DaemonSet; `data` is the patch that brings it back."""

    metadata: Metadata
    revision: int
    data: Raw = Field(default_factory=dict)


class Revisions(Part):
    """A list of them."""

    items: tuple[Revision, ...] = ()


class Waiting(Part):
    """Why a container does not run."""

    reason: str = ""
    message: str = ""


class State(Part):
    """A container's state; one of the three is set."""

    waiting: Waiting | None = None
    running: Raw | None = None
    terminated: Waiting | None = None


class ContainerStatus(Part):
    """What became of a container."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: State = Field(default_factory=State)


class PodStatus(Part):
    """What became of a pod."""

    phase: str = "Unknown"
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Part):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = Field(default_factory=PodSpec)
    status: PodStatus = Field(default_factory=PodStatus)

    @property
    def title(self) -> str:
        """Namespace and name."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def restarts(self) -> int:
        """How often its containers were started again, together."""
        return sum(container.restart_count for container in self.status.container_statuses)

    @property
    def is_ready(self) -> bool:
        """Whether all its containers are."""
        return all(container.ready for container in self.status.container_statuses)


class Pods(Part):
    """A list of them."""

    items: tuple[Pod, ...] = ()


class NodeSpec(Part):
    """What a node is to be."""

    unschedulable: bool = False


class NodeStatus(Part):
    """What a node is."""

    conditions: tuple[Condition, ...] = ()


class Node(Part):
    """A machine of the cluster."""

    metadata: Metadata
    spec: NodeSpec = Field(default_factory=NodeSpec)
    status: NodeStatus = Field(default_factory=NodeStatus)

    @property
    def is_ready(self) -> bool:
        """Whether its condition Ready says so."""
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)


class Involved(Part):
    """What an event is about."""

    kind: str = ""
    name: str = ""


class KubernetesEvent(Part):
    """Something that a controller or a kubelet told."""

    involved_object: Involved = Field(default_factory=Involved)
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 1
    last_timestamp: datetime | None = None
    event_time: datetime | None = None

    @property
    def at(self) -> datetime | None:
        """When it last happened; newer reporters set only `eventTime`."""
        return self.last_timestamp or self.event_time


class KubernetesEvents(Part):
    """A list of them."""

    items: tuple[KubernetesEvent, ...] = ()


class Listed(Part):
    """An object of any kind in a list."""

    metadata: Metadata


class ListMetadata(Part):
    """Of a list; `more` is set where only its beginning was sent."""

    more: str = Field(default="", alias="continue")


class AnyList(Part):
    """A list of objects of any kind."""

    metadata: ListMetadata = Field(default_factory=ListMetadata)
    items: tuple[Listed, ...] = ()


class Version(Part):
    """What `/version` answers."""

    git_version: str
