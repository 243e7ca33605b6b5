"""Restarting, scaling and waiting for Deployments, StatefulSets and DaemonSets."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.calling import UnavailableError
from integrations.kubernetes.client import KubernetesClient
from integrations.kubernetes.payloads import Raw, Workload
from integrations.kubernetes.resources import (
    RESOURCES,
    Name,
    Namespace,
    ScalableKind,
    Scope,
    WorkloadKind,
)
from integrations.kubernetes.rollouts import facts, progress

RESTART_KEY = "countersign/restart-key"
"""The annotation of the pod template by which a repeated restart finds that it was done."""
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


class WorkloadArguments(BaseModel):
    """Which workload."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: Namespace
    kind: WorkloadKind = "deployment"
    name: Name

    @property
    def path(self) -> str:
        """Its path in the API."""
        return RESOURCES[self.kind].path(self.namespace, self.name)

    @property
    def title(self) -> str:
        """Such as `deployment shop/web`."""
        return f"{self.kind} {self.namespace}/{self.name}"


class Restart(Action[WorkloadArguments]):
    """Replace a workload's pods one after another, as `kubectl rollout restart` does.

    KEYED by an annotation of the pod template.
    """

    name: ClassVar[str] = "kubernetes.restart"
    summary: ClassVar[str] = "Restart the pods of a workload, a few at a time"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = WorkloadArguments

    def __init__(self, client: KubernetesClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: WorkloadArguments) -> str:
        """See `Action.describe`."""
        return f"Restart the pods of {arguments.title}"

    async def preview(self, arguments: WorkloadArguments) -> str | None:
        """See `Action.preview`. A dry run of the server's own."""
        workload = await self._workload(arguments)
        after = await self._client.patch(arguments.path, _restarted("dry-run"), Workload, dry=True)
        return f"{facts(workload)}\nThe server accepts it (dry run): {after.wanted} new pods"

    async def execute(self, arguments: WorkloadArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        workload = await self._workload(arguments)
        done = workload.spec.template.metadata.annotations.get(RESTART_KEY) == context.key
        if not done:
            patch = _restarted(context.key)
            workload = await self._client.patch(arguments.path, patch, Workload)
        return ActionResult(
            summary=f"{workload.title} {'restarts already' if done else 'restarts'}: "
            f"{workload.wanted} pods",
            values={"generation": workload.metadata.generation, "replicas": workload.wanted},
        )

    async def _workload(self, arguments: WorkloadArguments) -> Workload:
        self._scope.check(arguments.namespace)
        workload = await self._client.get(arguments.path, Workload)
        if workload.spec.paused:
            raise ActionError(
                f"{workload.title} is paused, so nothing would restart: resume it first "
                "(kubectl rollout resume)."
            )
        return workload


def _restarted(key: str) -> Raw:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    annotations: Raw = {_RESTARTED_AT: at, RESTART_KEY: key}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


class ScaleArguments(WorkloadArguments):
    """How many pods it is to have."""

    kind: ScalableKind = "deployment"
    replicas: int = Field(ge=0, le=1000)


class ScaleObject(BaseModel):
    """What the subresource `scale` answers."""

    class Spec(BaseModel):
        """What is wanted."""

        replicas: int = 0

    spec: Spec = Field(default_factory=Spec)


class Scale(Action[ScaleArguments]):
    """Set how many pods a workload has. NATURAL; to none at all is destructive.

    Args:
        max_replicas: more are refused.
    """

    name: ClassVar[str] = "kubernetes.scale"
    summary: ClassVar[str] = "Set how many pods a workload has"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = ScaleArguments

    def __init__(self, client: KubernetesClient, scope: Scope, max_replicas: int) -> None:
        self._client = client
        self._scope = scope
        self._max_replicas = max_replicas

    def risk_of(self, arguments: ScaleArguments) -> Risk:
        """See `Action.risk_of`."""
        return Risk.DESTRUCTIVE if arguments.replicas == 0 else Risk.CHANGE

    def describe(self, arguments: ScaleArguments) -> str:
        """See `Action.describe`."""
        return f"Scale {arguments.title} to {arguments.replicas} pods"

    async def preview(self, arguments: ScaleArguments) -> str | None:
        """See `Action.preview`. A dry run of the server's own."""
        before = await self._scale(arguments)
        after = await self._change(arguments, dry=True)
        return (
            f"{arguments.title}: {before.spec.replicas} → {after.spec.replicas} pods\n"
            "The server accepts it (dry run). An autoscaler of this workload may set it again."
        )

    async def execute(self, arguments: ScaleArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        before = await self._scale(arguments)
        after = await self._change(arguments)
        return ActionResult(
            summary=f"{arguments.title} scaled from {before.spec.replicas} to "
            f"{after.spec.replicas} pods",
            values={"before": before.spec.replicas, "replicas": after.spec.replicas},
        )

    async def _scale(self, arguments: ScaleArguments) -> ScaleObject:
        self._scope.check(arguments.namespace)
        if arguments.replicas > self._max_replicas:
            raise ActionError(
                f"{arguments.replicas} pods are more than settings.max_replicas allows, which is "
                f"{self._max_replicas}."
            )
        return await self._client.get(f"{arguments.path}/scale", ScaleObject)

    async def _change(self, arguments: ScaleArguments, *, dry: bool = False) -> ScaleObject:
        patch: Raw = {"spec": {"replicas": arguments.replicas}}
        path = f"{arguments.path}/scale"
        return await self._client.patch(path, patch, ScaleObject, dry=dry, how="merge-patch")


class WaitArguments(WorkloadArguments):
    """How long to wait, in seconds."""

    timeout_s: int = Field(default=240, ge=1, le=3600)


class Wait(Action[WaitArguments]):
    """Wait until a workload's last change is everywhere, as `kubectl rollout status` does.

    Args:
        poll_s: seconds between two looks.
    """

    name: ClassVar[str] = "kubernetes.wait"
    summary: ClassVar[str] = "Wait until a workload's last change is rolled out"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = WaitArguments

    def __init__(self, client: KubernetesClient, scope: Scope, poll_s: float) -> None:
        self._client = client
        self._scope = scope
        self._poll_s = poll_s

    def describe(self, arguments: WaitArguments) -> str:
        """See `Action.describe`."""
        return f"Wait up to {arguments.timeout_s} s until {arguments.title} is rolled out"

    async def preview(self, arguments: WaitArguments) -> str | None:
        """See `Action.preview`. How far it is now."""
        self._scope.check(arguments.namespace)
        return facts(await self._client.get(arguments.path, Workload))

    async def execute(self, arguments: WaitArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        self._scope.check(arguments.namespace)
        deadline = time.monotonic() + arguments.timeout_s
        while True:
            try:
                workload = await self._client.get(arguments.path, Workload)
                now = progress(workload)
                if now.done:
                    return ActionResult(
                        summary=f"{workload.title} is rolled out: {now.said}",
                        values={"replicas": workload.wanted, "ready": workload.ready},
                    )
                if now.failed:
                    raise ActionError(f"{workload.title} does not get there: {now.said}.")
                said = now.said
            except UnavailableError as error:  # for a moment, as when its own node is drained
                said = str(error).rstrip(".")
            if time.monotonic() > deadline:
                raise ActionError(
                    f"{arguments.title} is not rolled out after {arguments.timeout_s} s: {said}."
                )
            await asyncio.sleep(self._poll_s)
