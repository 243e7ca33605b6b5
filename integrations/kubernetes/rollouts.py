"""Whether what a workload is to be has become true, as `kubectl rollout status` tells it."""

from __future__ import annotations

from typing import NamedTuple

from integrations.kubernetes.payloads import Workload
from integrations.text import clip


class Progress(NamedTuple):
    """How far it is.

    Attributes:
        failed: it will not get there by itself.
    """

    done: bool
    failed: bool
    said: str


def progress(workload: Workload) -> Progress:
    """How far the workload's last change is."""
    status, wanted = workload.status, workload.wanted
    if status.observed_generation < workload.metadata.generation:
        return Progress(done=False, failed=False, said="its controller has not seen it yet")
    for condition in status.conditions:
        if condition.reason == "ProgressDeadlineExceeded":
            said = clip(condition.message, 300) or "its progress deadline is exceeded"
            return Progress(done=False, failed=True, said=said)
    daemons = workload.kind == "DaemonSet"
    updated = status.updated_number_scheduled if daemons else status.updated_replicas
    available = status.number_available if daemons else status.available_replicas
    old = 0 if daemons else status.replicas - updated
    if updated < wanted:
        said = f"{updated} of {wanted} pods are updated"
    elif old > 0:
        said = f"{old} old pods have yet to go"
    elif available < wanted:
        said = f"{available} of {wanted} updated pods are available"
    else:
        return Progress(done=True, failed=False, said=f"{wanted} of {wanted} pods are updated")
    return Progress(done=False, failed=False, said=said)


def facts(workload: Workload) -> str:
    """What it is now, in a few lines."""
    images = "\n".join(f"image {clip(image, 300)}" for image in workload.images)
    return (
        f"{workload.title}: {workload.ready} of {workload.wanted} pods ready, "
        f"generation {workload.metadata.generation}\n{images}"
    )
