"""The kinds of objects that are looked at or touched, their paths, and names of them.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import StringConstraints

from core.workflows.actions import ActionError

Name = Annotated[
    str,
    # a DNS subdomain (RFC 1123), which all kinds below have as their names
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", max_length=253),
]
Namespace = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", max_length=63)
]
WorkloadKind = Literal["deployment", "statefulset", "daemonset"]
ScalableKind = Literal["deployment", "statefulset"]
ReadableKind = Literal[
    "cronjob",
    "daemonset",
    "deployment",
    "horizontalpodautoscaler",
    "ingress",
    "job",
    "node",
    "persistentvolumeclaim",
    "pod",
    "poddisruptionbudget",
    "replicaset",
    "service",
    "statefulset",
]
"""No Secret and no ConfigMap: what they hold has no place in a channel."""


@dataclass(frozen=True)
class Resource:
    """One kind of object.

    Attributes:
        kind: as `kind:` of a manifest says it.
        group: the API group and version as the path's beginning, such as `apis/apps/v1`.
    """

    kind: str
    group: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None, name: str = "", sub: str = "") -> str:
        """The path of one object, of its subresource, or of all where `name` is empty."""
        parts = [self.group]
        if self.namespaced and namespace is not None:
            parts.append(f"namespaces/{namespace}")
        parts += [part for part in (self.plural, name, sub) if part]
        return "/" + "/".join(parts)


_ALL = (
    Resource("CronJob", "apis/batch/v1", "cronjobs"),
    Resource("DaemonSet", "apis/apps/v1", "daemonsets"),
    Resource("Deployment", "apis/apps/v1", "deployments"),
    Resource("HorizontalPodAutoscaler", "apis/autoscaling/v2", "horizontalpodautoscalers"),
    Resource("Ingress", "apis/networking.k8s.io/v1", "ingresses"),
    Resource("Job", "apis/batch/v1", "jobs"),
    Resource("Node", "api/v1", "nodes", namespaced=False),
    Resource("PersistentVolumeClaim", "api/v1", "persistentvolumeclaims"),
    Resource("Pod", "api/v1", "pods"),
    Resource("PodDisruptionBudget", "apis/policy/v1", "poddisruptionbudgets"),
    Resource("ReplicaSet", "apis/apps/v1", "replicasets"),
    Resource("Service", "api/v1", "services"),
    Resource("StatefulSet", "apis/apps/v1", "statefulsets"),
)
RESOURCES: Mapping[str, Resource] = {one.kind.lower(): one for one in _ALL}
NODE = RESOURCES["node"]
POD = RESOURCES["pod"]
REPLICA_SET = RESOURCES["replicaset"]
REVISION = Resource("ControllerRevision", "apis/apps/v1", "controllerrevisions")
EVENT = Resource("Event", "api/v1", "events")


class Scope:
    """The namespaces and nodes that actions may touch or look at, as patterns (`shop-*`); no
    pattern means all that the credential may."""

    def __init__(
        self, integration_id: str, namespaces: tuple[str, ...], nodes: tuple[str, ...]
    ) -> None:
        self._file = f"integrations/{integration_id}.yaml"
        self._namespaces = namespaces
        self._nodes = nodes

    def check(self, namespace: str) -> None:
        """Refuse other namespaces.

        Raises:
            ActionError: it is not in scope.
        """
        self._check("namespace", namespace, self._namespaces)

    def check_node(self, node: str) -> None:
        """Refuse other nodes.

        Raises:
            ActionError: it is not in scope.
        """
        self._check("node", node, self._nodes)

    def includes_node(self, node: str) -> bool:
        """Whether it is in scope."""
        return _fits(node, self._nodes)

    def _check(self, what: str, name: str, patterns: tuple[str, ...]) -> None:
        if not _fits(name, patterns):
            raise ActionError(
                f"The {what} {name} is not among those that settings.{what}s in {self._file} "
                f"allows: {', '.join(patterns)}."
            )


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
