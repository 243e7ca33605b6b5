"""Taking nodes out of service and back: cordon, uncordon, drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.calling import RefusedError, UnavailableError
from integrations.kubernetes.client import KubernetesClient
from integrations.kubernetes.payloads import Node, Pod, Pods, Raw
from integrations.kubernetes.resources import NODE, POD, Name, Scope
from integrations.text import clip

_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})
_MIRROR = "kubernetes.io/config.mirror"
_SHOWN = 30
_FINISHED = frozenset({"Succeeded", "Failed"})


class NodeArguments(BaseModel):
    """Which node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: Name


class _Cordoning(Action[NodeArguments]):
    """Sets whether new pods may come to a node. NATURAL."""

    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    unschedulable: ClassVar[bool]
    arguments = NodeArguments

    def __init__(self, client: KubernetesClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    async def preview(self, arguments: NodeArguments) -> str | None:
        """See `Action.preview`. A dry run of the server's own."""
        self._scope.check_node(arguments.node)
        before = await self._client.get(NODE.path(None, arguments.node), Node)
        await cordon(self._client, arguments.node, unschedulable=self.unschedulable, dry=True)
        return f"{_state(before)}\nThe server accepts it (dry run)."

    async def execute(self, arguments: NodeArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        self._scope.check_node(arguments.node)
        node = await cordon(self._client, arguments.node, unschedulable=self.unschedulable)
        return ActionResult(summary=_state(node), values={"unschedulable": node.spec.unschedulable})


class Cordon(_Cordoning):
    """Let no new pods come to a node."""

    name: ClassVar[str] = "kubernetes.cordon"
    summary: ClassVar[str] = "Let no new pods come to a node"
    unschedulable: ClassVar[bool] = True

    def describe(self, arguments: NodeArguments) -> str:
        """See `Action.describe`."""
        return f"Cordon node {arguments.node}: no new pods"


class Uncordon(_Cordoning):
    """Let pods come to a node again."""

    name: ClassVar[str] = "kubernetes.uncordon"
    summary: ClassVar[str] = "Let pods come to a node again"
    unschedulable: ClassVar[bool] = False

    def describe(self, arguments: NodeArguments) -> str:
        """See `Action.describe`."""
        return f"Uncordon node {arguments.node}: pods may come again"


async def cordon(
    client: KubernetesClient, node: str, *, unschedulable: bool, dry: bool = False
) -> Node:
    """Set whether new pods may come.

    Raises:
        ActionError: it was not done.
    """
    path = NODE.path(None, node)
    patch: Raw = {"spec": {"unschedulable": unschedulable}}
    return await client.patch(path, patch, Node, dry=dry)


def _state(node: Node) -> str:
    taken = "takes no new pods" if node.spec.unschedulable else "takes new pods"
    return f"Node {node.metadata.name} {taken}{'' if node.is_ready else ', and is not ready'}"


class DrainArguments(NodeArguments):
    """What may be lost, and how long to wait, in seconds.

    Attributes:
        force: evict pods that nobody makes anew, too.
        delete_emptydir_data: evict pods whose data dies with them, too.
    """

    force: bool = False
    delete_emptydir_data: bool = False
    timeout_s: int = Field(default=240, ge=1, le=3600)


class _Sorted(NamedTuple):
    """The pods of a node: those to evict, and in words why some of them must not be."""

    leaving: list[Pod]
    objections: list[str]


class Drain(Action[DrainArguments]):
    """Evict the pods of a node, as `kubectl drain --ignore-daemonsets` does. NATURAL: those that
    are gone are gone.

    Disruption budgets are the server's to keep: what they forbid now is asked for again until the
    time is up. The node stays cordoned, also after a failure.

    Args:
        poll_s: seconds between two looks.
    """

    name: ClassVar[str] = "kubernetes.drain"
    summary: ClassVar[str] = "Evict the pods of a node, within their disruption budgets"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = DrainArguments

    def __init__(self, client: KubernetesClient, scope: Scope, poll_s: float) -> None:
        self._client = client
        self._scope = scope
        self._poll_s = poll_s

    def describe(self, arguments: DrainArguments) -> str:
        """See `Action.describe`."""
        more = [
            text
            for text, said in (
                ("those that nobody makes anew", arguments.force),
                ("those with data in an emptyDir", arguments.delete_emptydir_data),
            )
            if said
        ]
        also = f", also {' and '.join(more)}" if more else ""
        return f"Drain node {arguments.node}: cordon it and evict its pods{also}"

    async def preview(self, arguments: DrainArguments) -> str | None:
        """See `Action.preview`. The server's own dry run of each eviction."""
        leaving = await self._check(arguments)
        await cordon(self._client, arguments.node, unschedulable=True, dry=True)
        lines = [f"{arguments.node}: {len(leaving)} pods would be evicted"]
        for pod in leaving[:_SHOWN]:
            held = await self._held(pod)
            lines.append(f"{pod.title}: {held or 'may go'}")
        if len(leaving) > _SHOWN:
            lines.append(f"and {len(leaving) - _SHOWN} more")
        return "\n".join(lines)

    async def execute(self, arguments: DrainArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        deadline = time.monotonic() + arguments.timeout_s
        leaving = await self._check(arguments)
        await cordon(self._client, arguments.node, unschedulable=True)
        left, held = leaving, ""
        while left:
            for pod in left:
                held = await self._evict(pod) or held
            left = await self._still_there(arguments.node, left)
            if left and time.monotonic() > deadline:
                raise ActionError(self._unfinished(arguments, left, held))
            if left:
                await asyncio.sleep(self._poll_s)
        return ActionResult(
            summary=f"Node {arguments.node} is drained: {len(leaving)} pods evicted",
            output="\n".join(pod.title for pod in leaving),
            values={"evicted": len(leaving)},
        )

    async def _check(self, arguments: DrainArguments) -> list[Pod]:
        """The pods to evict, all of which may be."""
        self._scope.check_node(arguments.node)
        await self._client.get(NODE.path(None, arguments.node), Node)
        leaving, objections = _sort(await self._pods(arguments.node), arguments)
        for namespace in sorted({pod.metadata.namespace for pod in leaving}):
            self._scope.check(namespace)
        if objections:
            more = f" and {len(objections) - 10} more" if len(objections) > 10 else ""
            raise ActionError(
                f"{arguments.node} is not drained: {'; '.join(objections[:10])}{more}."
            )
        return leaving

    async def _pods(self, node: str) -> Sequence[Pod]:
        selector = {"fieldSelector": f"spec.nodeName={node}"}
        return (await self._client.get(POD.path(None), Pods, selector)).items

    async def _evict(self, pod: Pod) -> str | None:
        """Ask it to go; why it may not now."""
        try:
            await self._client.evict(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)
        except RefusedError as error:
            if error.status not in _GONE:
                raise
        except (UnavailableError, OutcomeUnknownError) as error:
            return str(error)  # whether it goes all the same is seen at the next look
        return None

    async def _held(self, pod: Pod) -> str | None:
        try:
            await self._client.evict(
                pod.metadata.namespace, pod.metadata.name, pod.metadata.uid, dry=True
            )
        except RefusedError as error:
            return None if error.status in _GONE else str(error)
        except (UnavailableError, OutcomeUnknownError) as error:
            return f"not now ({clip(str(error), 300)})"
        return None

    async def _still_there(self, node: str, pods: Sequence[Pod]) -> list[Pod]:
        try:
            there = {pod.metadata.uid for pod in await self._pods(node)}
        except UnavailableError:
            return list(pods)  # an API server that is away for a moment is asked again
        return [pod for pod in pods if pod.metadata.uid in there]

    @staticmethod
    def _unfinished(arguments: DrainArguments, left: Sequence[Pod], held: str) -> str:
        names = ", ".join(pod.title for pod in left[:10])
        return (
            f"{arguments.node} is not drained after {arguments.timeout_s} s and stays cordoned; "
            f"{len(left)} pods are left: {names}." + (f" {held}" if held else "")
        )


def _sort(pods: Sequence[Pod], arguments: DrainArguments) -> _Sorted:
    found = _Sorted([], [])
    for pod in pods:
        owner = pod.metadata.owner
        if _MIRROR in pod.metadata.annotations or (owner and owner.kind == "DaemonSet"):
            continue  # the node's own; they would be there again at once
        found.leaving.append(pod)
        if pod.status.phase in _FINISHED:
            continue
        if owner is None and not arguments.force:
            found.objections.append(f"nobody makes {pod.title} anew (force: true evicts it)")
        if not arguments.delete_emptydir_data and any(
            volume.empty_dir is not None for volume in pod.spec.volumes
        ):
            found.objections.append(
                f"{pod.title} has data in an emptyDir (delete_emptydir_data: true gives it up)"
            )
    return found
