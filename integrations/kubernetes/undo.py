"""`kubernetes.undo`: an earlier revision of a workload's pods, as `kubectl rollout undo` does."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import Field, JsonValue

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.kubernetes.client import KubernetesClient, PatchType
from integrations.kubernetes.payloads import (
    Raw,
    ReplicaSet,
    ReplicaSets,
    Revisions,
    Workload,
)
from integrations.kubernetes.resources import REPLICA_SET, REVISION, Scope
from integrations.kubernetes.rollouts import facts
from integrations.kubernetes.workloads import WorkloadArguments
from integrations.text import clip

UNDO_KEY = "countersign/undo-key"
"""The workload's annotation by which a repeated undo finds that it was done."""
_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"


class UndoArguments(WorkloadArguments):
    """Back to which revision; None: the one before the last change."""

    revision: int | None = Field(default=None, ge=1, le=2**53 - 1)


class _Earlier(NamedTuple):
    """A revision, and the patch that brings it back."""

    number: int
    patch: JsonValue


class Undo(Action[UndoArguments]):
    """Bring back an earlier revision of a workload's pods. KEYED by the workload's annotation."""

    name: ClassVar[str] = "kubernetes.undo"
    summary: ClassVar[str] = "Roll a workload back to an earlier revision"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = UndoArguments

    def __init__(self, client: KubernetesClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: UndoArguments) -> str:
        """See `Action.describe`."""
        to = f"revision {arguments.revision}" if arguments.revision else "the revision before"
        return f"Roll {arguments.title} back to {to}"

    async def preview(self, arguments: UndoArguments) -> str | None:
        """See `Action.preview`. A dry run of the server's own."""
        workload = await self._workload(arguments)
        earlier = await self._earlier(arguments, workload, "dry-run")
        after = await self._patch(arguments, earlier, dry=True)
        was, will = ", ".join(workload.images), ", ".join(after.images)
        return (
            f"{facts(workload)}\nThe server accepts revision {earlier.number} (dry run):\n"
            + clip(f"images stay: {will}" if was == will else f"images: {was} → {will}", 1000)
        )

    async def execute(self, arguments: UndoArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        workload = await self._workload(arguments)
        if workload.metadata.annotations.get(UNDO_KEY) == context.key:
            return _result(workload, "is rolled back already")
        earlier = await self._earlier(arguments, workload, context.key)
        after = await self._patch(arguments, earlier)
        return _result(after, f"rolled back to revision {earlier.number}")

    async def _workload(self, arguments: UndoArguments) -> Workload:
        self._scope.check(arguments.namespace)
        workload = await self._client.get(arguments.path, Workload)
        if workload.spec.paused:
            raise ActionError(
                f"{workload.title} is paused, so nothing would be rolled back: resume it first "
                "(kubectl rollout resume)."
            )
        return workload

    async def _patch(
        self, arguments: UndoArguments, earlier: _Earlier, *, dry: bool = False
    ) -> Workload:
        how: PatchType = "strategic-merge-patch"
        if arguments.kind == "deployment":
            how = "json-patch"
        return await self._client.patch(arguments.path, earlier.patch, Workload, dry=dry, how=how)

    async def _earlier(self, arguments: UndoArguments, workload: Workload, key: str) -> _Earlier:
        selector = {"labelSelector": str(workload.spec.selector)}
        if arguments.kind == "deployment":
            path = REPLICA_SET.path(arguments.namespace)
            sets = await self._client.get(path, ReplicaSets, selector)
            known = _of_replica_sets(sets, workload, key)
        else:
            path = REVISION.path(arguments.namespace)
            revisions = await self._client.get(path, Revisions, selector)
            known = _of_revisions(revisions, workload, key)
        if not known:
            raise ActionError(f"{workload.title} has no revisions.")
        *before, current = sorted(known, key=lambda one: one.number)
        if arguments.revision is None and before:
            return before[-1]
        for one in before:
            if one.number == arguments.revision:
                return one
        if arguments.revision == current.number:
            raise ActionError(f"{workload.title} is at revision {current.number} already.")
        kept = ", ".join(str(one.number) for one in before) or "none"
        raise ActionError(
            f"{workload.title} has no such earlier revision; it is at {current.number}, and kept "
            f"are: {kept}."
        )


def _of_replica_sets(sets: ReplicaSets, workload: Workload, key: str) -> list[_Earlier]:
    return [
        _Earlier(int(number), _replacing(one, workload, key))
        for one in sets.items
        if one.metadata.owner is not None
        and one.metadata.owner.uid == workload.metadata.uid
        and (number := one.metadata.annotations.get(_REVISION, "")).isdecimal()
        and number.isascii()
    ]


def _replacing(old: ReplicaSet, workload: Workload, key: str) -> JsonValue:
    """The JSON patch (RFC 6902) that `kubectl` sends, with our key beside the template."""
    template = dict(old.spec.template)
    metadata = template.get("metadata")
    if isinstance(metadata, dict) and isinstance(labels := metadata.get("labels"), dict):
        kept: Raw = {name: value for name, value in labels.items() if name != _HASH}
        template["metadata"] = {**metadata, "labels": kept}
    annotations: Raw = {**workload.metadata.annotations, UNDO_KEY: key}
    return [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]


def _of_revisions(revisions: Revisions, workload: Workload, key: str) -> list[_Earlier]:
    metadata: Raw = {"annotations": {UNDO_KEY: key}}
    return [
        _Earlier(one.revision, {**one.data, "metadata": metadata})
        for one in revisions.items
        if one.metadata.owner is not None and one.metadata.owner.uid == workload.metadata.uid
    ]


def _result(workload: Workload, what: str) -> ActionResult:
    images: list[JsonValue] = [clip(image, 300) for image in workload.images]
    return ActionResult(
        summary=f"{workload.title} {what}",
        values={"generation": workload.metadata.generation, "images": images},
    )
