"""Objects of a small cluster, as an API server would show them."""

from typing import Any

Object = dict[str, Any]
_AT = "2026-01-05T09:00:00Z"


def metadata(name: str, namespace: str | None = None, **more: Any) -> Object:
    """What every object has."""
    placed = {"namespace": namespace} if namespace else {}
    return {
        "name": name,
        **placed,
        "uid": f"uid-{namespace or 'cluster'}-{name}",
        "generation": 1,
        "resourceVersion": "100",
        "creationTimestamp": _AT,
        **more,
    }


def owned_by(kind: str, owner: Object) -> list[Object]:
    """The owner references of what `owner` made."""
    return [
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def template(app: str, image: str) -> Object:
    """What pods are made from; its environment has something secret."""
    container = {
        "name": app,
        "image": image,
        "env": [{"name": "PASSWORD", "value": "hunter2"}],
        "resources": {"limits": {"memory": "128Mi"}},
    }
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}}


def workload(kind: str, namespace: str, name: str, replicas: int, image: str) -> Object:
    """A Deployment, StatefulSet or DaemonSet that is rolled out."""
    spec: Object = {"selector": {"matchLabels": {"app": name}}, "template": template(name, image)}
    if kind == "DaemonSet":
        status: Object = {
            "observedGeneration": 1,
            "currentNumberScheduled": replicas,
            "desiredNumberScheduled": replicas,
            "numberMisscheduled": 0,
            "numberReady": replicas,
            "numberAvailable": replicas,
            "updatedNumberScheduled": replicas,
        }
    else:
        counts = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
        status = {"observedGeneration": 1, **dict.fromkeys(counts, replicas)}
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = name
    annotations = {"deployment.kubernetes.io/revision": "2"} if kind == "Deployment" else {}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": metadata(name, namespace, annotations=annotations, labels={"app": name}),
        "spec": spec,
        "status": status,
    }


def replica_set(deployment: Object, revision: int, image: str) -> Object:
    """One revision of a Deployment."""
    app, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    made = template(app, image)
    made["metadata"]["labels"]["pod-template-hash"] = f"hash{revision}"
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata(
            f"{app}-hash{revision}",
            namespace,
            annotations={"deployment.kubernetes.io/revision": str(revision)},
            labels={"app": app, "pod-template-hash": f"hash{revision}"},
            ownerReferences=owned_by("Deployment", deployment),
        ),
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": app, "pod-template-hash": f"hash{revision}"}},
            "template": made,
        },
        "status": {"replicas": 0},
    }


def controller_revision(owner: Object, revision: int, image: str) -> Object:
    """One revision of a StatefulSet or DaemonSet."""
    app, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata(
            f"{app}-rev{revision}",
            namespace,
            labels={"app": app},
            ownerReferences=owned_by(owner["kind"], owner),
        ),
        "revision": revision,
        "data": {"spec": {"template": {**template(app, image), "$patch": "replace"}}},
    }


def pod(
    name: str,
    node: str,
    owner: Object | None = None,
    *,
    namespace: str = "shop",
    restarts: int = 0,
    empty_dir: bool = False,
    **more: Any,
) -> Object:
    """A running pod."""
    app = owner["metadata"]["name"] if owner else name
    spec: Object = {"nodeName": node, "containers": [{"name": app, "image": "shop/web:2"}]}
    if empty_dir:
        spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    owners = {"ownerReferences": owned_by(owner["kind"], owner)} if owner else {}
    status = {
        "name": app,
        "image": "shop/web:2",
        "imageID": "",
        "ready": True,
        "restartCount": restarts,
        "state": {"running": {"startedAt": _AT}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(name, namespace, labels={"app": app}, **owners, **more),
        "spec": spec,
        "status": {"phase": "Running", "containerStatuses": [status]},
    }


def node(name: str) -> Object:
    """A ready node."""
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "lastHeartbeatTime": _AT,
        "lastTransitionTime": _AT,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata(name),
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {"conditions": [ready]},
    }


def event(name: str, about: Object, reason: str, message: str, kind: str = "Warning") -> Object:
    """Something that a controller told."""
    namespace = about["metadata"]["namespace"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata(name, namespace),
        "involvedObject": {
            "kind": about["kind"],
            "namespace": namespace,
            "name": about["metadata"]["name"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "count": 3,
        "firstTimestamp": _AT,
        "lastTimestamp": f"2026-01-05T10:00:{len(name):02}Z",
    }
