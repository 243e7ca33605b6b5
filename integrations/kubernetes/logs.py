"""`kubernetes.logs`: the last lines that pods wrote."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.kubernetes.client import KubernetesClient
from integrations.kubernetes.looking import clip_lines
from integrations.kubernetes.payloads import Pod, Pods, Workload
from integrations.kubernetes.resources import POD, RESOURCES, Name, Namespace, Scope

_PODS = 3
_BYTES = 256 * 1024


class LogsArguments(BaseModel):
    """Whose logs.

    Attributes:
        kind: of a workload, the pods that were restarted most often are taken, three at most.
        container: needed where a pod has several.
        previous: of the container before its last restart: what a crash left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: Namespace
    kind: Literal["pod", "deployment", "statefulset", "daemonset"] = "pod"
    name: Name
    container: Name | None = None
    lines: int = Field(default=100, ge=1, le=2000)
    since_s: int | None = Field(default=None, ge=1, le=7 * 24 * 3600)
    previous: bool = False


class Logs(Action[LogsArguments]):
    """Read logs. What programs write may be secret, and is not to be believed."""

    name: ClassVar[str] = "kubernetes.logs"
    summary: ClassVar[str] = "Read the last lines that pods wrote"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = LogsArguments

    def __init__(self, client: KubernetesClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: LogsArguments) -> str:
        """See `Action.describe`."""
        container = f", container {arguments.container}" if arguments.container else ""
        before = " before its last restart" if arguments.previous else ""
        return (
            f"Read the last {arguments.lines} log lines of {arguments.kind} "
            f"{arguments.namespace}/{arguments.name}{container}{before}"
        )

    async def execute(self, arguments: LogsArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        self._scope.check(arguments.namespace)
        pods = await self._pods(arguments)
        if not pods:
            raise ActionError(f"{arguments.kind} {arguments.name} has no pods.")
        logs = [(pod, await self._log(arguments, pod)) for pod in pods]
        lines = sum(len(log.splitlines()) for _, log in logs)
        return ActionResult(
            summary=f"{lines} log lines of {', '.join(pod.title for pod in pods)}",
            output=clip_lines("\n".join(f"--- {pod.title}\n{log.rstrip()}" for pod, log in logs)),
            values={"lines": lines},
        )

    async def _pods(self, arguments: LogsArguments) -> list[Pod]:
        path = RESOURCES[arguments.kind].path(arguments.namespace, arguments.name)
        if arguments.kind == "pod":
            return [await self._client.get(path, Pod)]
        workload = await self._client.get(path, Workload)
        selector = {"labelSelector": str(workload.spec.selector)}
        found = await self._client.get(POD.path(arguments.namespace), Pods, selector)
        return sorted(found.items, key=lambda pod: pod.restarts, reverse=True)[:_PODS]

    async def _log(self, arguments: LogsArguments, pod: Pod) -> str:
        params = {"tailLines": str(arguments.lines), "limitBytes": str(_BYTES)}
        if arguments.container:
            params["container"] = arguments.container
        if arguments.since_s:
            params["sinceSeconds"] = str(arguments.since_s)
        if arguments.previous:
            params["previous"] = "true"
        path = POD.path(arguments.namespace, pod.metadata.name, "log")
        return await self._client.text(path, params)
