"""What workflows can do in Argo CD: sync, roll back, look, wait for health."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.argocd.client import FINISHED, ArgoCD
from integrations.argocd.payloads import Application, Deployed, Operation, OperationState
from integrations.text import clip, tidy

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/+~^-]{0,249}$")]
_KEY = "countersign"
_DRY_RUN_S = 60.0
_SHOWN = 50


class ApplicationArguments(BaseModel):
    """Which application; `app_namespace` where it is not in Argo CD's own namespace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    application: Name
    app_namespace: Name | None = None

    @property
    def title(self) -> str:
        """Namespace and name."""
        return "/".join(part for part in (self.app_namespace, self.application) if part)


class ShowApplication(Action[ApplicationArguments]):
    """Look at an application, compared with its repository just now."""

    name: ClassVar[str] = "argocd.app"
    summary: ClassVar[str] = "Look at an Argo CD application"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = ApplicationArguments

    def __init__(self, argocd: ArgoCD) -> None:
        self._argocd = argocd

    def describe(self, arguments: ApplicationArguments) -> str:
        """See `Action.describe`."""
        return f"Look at the application {arguments.title}"

    async def execute(
        self,
        arguments: ApplicationArguments,
        context: ActionContext,  # noqa: ARG002
    ) -> ActionResult:
        """See `Action.execute`."""
        app = await self._argocd.get(arguments.application, arguments.app_namespace, refresh=True)
        differing = [r for r in app.status.resources if r.status not in {"", "Synced"}]
        lines = [
            f"{clip(r.status, 40)} {clip(r.kind, 60)} {clip(r.namespace, 63)}/{clip(r.name, 253)}"
            for r in differing[:_SHOWN]
        ]
        lines += [_deployed(one) for one in reversed(app.status.history[-10:])]
        return ActionResult(
            summary=_state(app),
            output="\n".join(lines),
            values={**_values(app), "differing": len(differing)},
            link=self._argocd.link(app),
        )


class SyncArguments(ApplicationArguments):
    """What to sync to.

    Attributes:
        revision: commit, branch, tag or chart version; None: what the application follows.
        prune: delete what the repository has no more.
        timeout_s: how long to wait for the end, in seconds.
    """

    revision: Revision | None = None
    prune: bool = False
    timeout_s: int = Field(default=240, ge=1, le=3600)


class Sync(Action[SyncArguments]):
    """Make the cluster what the repository says, and wait for the end of it.

    KEYED by a note on the operation. Argo CD keeps the last operation only: after another one, a
    repeated attempt syncs again, which changes nothing that is synced but runs its hooks again.
    """

    name: ClassVar[str] = "argocd.sync"
    summary: ClassVar[str] = "Sync an Argo CD application"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = SyncArguments

    def __init__(self, argocd: ArgoCD) -> None:
        self._argocd = argocd

    def risk_of(self, arguments: SyncArguments) -> Risk:
        """See `Action.risk_of`."""
        return Risk.DESTRUCTIVE if arguments.prune else Risk.CHANGE

    def describe(self, arguments: SyncArguments) -> str:
        """See `Action.describe`."""
        to = f" to {arguments.revision}" if arguments.revision else ""
        prune = ", deleting what is not in the repository" if arguments.prune else ""
        return f"Sync the application {arguments.title}{to}{prune}"

    async def preview(self, arguments: SyncArguments) -> str | None:
        """See `Action.preview`. Argo CD's own dry run: an operation that changes no object."""
        app = await self._argocd.get(arguments.application, arguments.app_namespace, refresh=True)
        _require_idle(app)
        before = app.status.operation_state
        request = _request(arguments, None) | {"dryRun": True}
        with suppress(OutcomeUnknownError):  # whether it has begun is seen below
            await self._argocd.ask(app, "sync", request)
        app = await self._argocd.until(
            app, lambda now: _is_new_dry_run(now, before), _DRY_RUN_S, "the dry run", ActionError
        )
        state = _finished(app)
        return f"{_state(app)}\nDry run: {_outcome(state)}\n{_resources(state)}"

    async def execute(self, arguments: SyncArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        app = await self._argocd.get(arguments.application, arguments.app_namespace)
        before = None
        if not _is_ours(app, context.key) or _has_failed(app):
            _require_idle(app)
            before = app.status.operation_state
            request = _request(arguments, context.key)
            await self._argocd.ask(app, "sync", request)
        app = await self._argocd.until(
            app, lambda now: _is_over(now, context.key, before), arguments.timeout_s, "the sync"
        )
        state = _finished(app)
        return ActionResult(
            summary=f"{app.title} is synced: {_outcome(state)}",
            output=_resources(state),
            values=_values(app),
            link=self._argocd.link(app),
        )


class RollbackArguments(ApplicationArguments):
    """Back to which deployment.

    Attributes:
        deployment: its number in the application's history; None: the one before the last.
    """

    deployment: int | None = Field(default=None, ge=0, le=2**53 - 1)
    prune: bool = False
    timeout_s: int = Field(default=240, ge=1, le=3600)


class Rollback(Action[RollbackArguments]):
    """Sync to an earlier deployment. NONE: an operation has no note here, and each is one more
    entry of the history, so that the one before the last is another each time."""

    name: ClassVar[str] = "argocd.rollback"
    summary: ClassVar[str] = "Roll an Argo CD application back"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = RollbackArguments

    def __init__(self, argocd: ArgoCD) -> None:
        self._argocd = argocd

    def risk_of(self, arguments: RollbackArguments) -> Risk:
        """See `Action.risk_of`."""
        return Risk.DESTRUCTIVE if arguments.prune else Risk.CHANGE

    def idempotency_of(self, arguments: RollbackArguments) -> Idempotency:
        """See `Action.idempotency_of`. A named deployment is the same one each time."""
        return Idempotency.NONE if arguments.deployment is None else Idempotency.NATURAL

    def describe(self, arguments: RollbackArguments) -> str:
        """See `Action.describe`."""
        named = arguments.deployment
        to = "the deployment before the last" if named is None else f"deployment {named}"
        prune = ", deleting what was not there then" if arguments.prune else ""
        return f"Roll the application {arguments.title} back to {to}{prune}"

    async def preview(self, arguments: RollbackArguments) -> str | None:
        """See `Action.preview`. Which deployment it would be; nothing is started."""
        app, to = await self._target(arguments)
        return f"{_state(app)}\nback to {_deployed(to)}"

    async def execute(self, arguments: RollbackArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        if context.repeated:
            app = await self._argocd.get(arguments.application, arguments.app_namespace)
            await self._argocd.until(app, _is_idle, arguments.timeout_s, "an earlier operation")
        app, to = await self._target(arguments)
        before = app.status.operation_state
        request: dict[str, JsonValue] = {"id": to.id, "prune": arguments.prune, "dryRun": False}
        await self._argocd.ask(app, "rollback", request)
        app = await self._argocd.until(
            app, lambda now: _is_new(now, before), arguments.timeout_s, "the rollback"
        )
        state = _finished(app)
        return ActionResult(
            summary=f"{app.title} is rolled back to {clip(to.revision, 40)}: {_outcome(state)}",
            output=_resources(state),
            values={**_values(app), "deployment": to.id},
            link=self._argocd.link(app),
        )

    async def _target(self, arguments: RollbackArguments) -> tuple[Application, Deployed]:
        app = await self._argocd.get(arguments.application, arguments.app_namespace)
        if app.spec.sync_policy.is_automatic:
            raise ActionError(
                f"{app.title} is synced automatically, so Argo CD would undo it: switch that off "
                "first, or revert the commit."
            )
        _require_idle(app)
        history = app.status.history
        if arguments.deployment is None and len(history) > 1:
            return app, history[-2]
        for one in history:
            if one.id == arguments.deployment:
                return app, one
        known = ", ".join(str(one.id) for one in history) or "none"
        raise ActionError(f"{app.title} has no such earlier deployment; its history has: {known}.")


class WaitArguments(ApplicationArguments):
    """How long to wait, in seconds."""

    timeout_s: int = Field(default=240, ge=1, le=3600)


class WaitForHealth(Action[WaitArguments]):
    """Wait until an application is synced and healthy."""

    name: ClassVar[str] = "argocd.wait"
    summary: ClassVar[str] = "Wait until an Argo CD application is synced and healthy"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = WaitArguments

    def __init__(self, argocd: ArgoCD) -> None:
        self._argocd = argocd

    def describe(self, arguments: WaitArguments) -> str:
        """See `Action.describe`."""
        return f"Wait up to {arguments.timeout_s} s until {arguments.title} is healthy"

    async def execute(self, arguments: WaitArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        app = await self._argocd.get(arguments.application, arguments.app_namespace, refresh=True)
        app = await self._argocd.until(
            app,
            lambda now: (now.status.sync.status, now.status.health.status) == ("Synced", "Healthy"),
            arguments.timeout_s,
            "the wait for it to be synced and healthy",
            ActionError,
        )
        return ActionResult(summary=_state(app), values=_values(app), link=self._argocd.link(app))


def _request(arguments: SyncArguments, key: str | None) -> dict[str, JsonValue]:
    request: dict[str, JsonValue] = {"prune": arguments.prune, "dryRun": False}
    if arguments.revision is not None:
        request["revision"] = arguments.revision
    if key is not None:
        request["infos"] = [{"name": _KEY, "value": key}]
    return request


def _is_idle(app: Application) -> bool:
    state = app.status.operation_state
    return app.operation is None and (state is None or state.phase in FINISHED)


def _require_idle(app: Application) -> None:
    if not _is_idle(app):
        raise ActionError(f"{app.title} has an operation in progress: wait for its end.")


def _has_note(operation: Operation | None, key: str) -> bool:
    return operation is not None and any(
        note.name == _KEY and note.value == key for note in operation.info
    )


def _is_ours(app: Application, key: str) -> bool:
    state = app.status.operation_state
    return _has_note(app.operation, key) or (state is not None and _has_note(state.operation, key))


def _has_failed(app: Application) -> bool:
    """Whether the last operation has, and none has followed it."""
    state = app.status.operation_state
    ended = None if state is None or app.operation is not None else state.phase
    return ended in FINISHED - {"Succeeded"}


def _is_over(app: Application, key: str, before: OperationState | None) -> bool:
    """Whether our operation is over; `before` is the one that was over already."""
    state = app.status.operation_state
    if state is None or state.phase not in FINISHED or state == before:
        return False
    return _has_note(state.operation, key)


def _is_new(app: Application, before: OperationState | None) -> bool:
    """Whether another operation than `before` has begun since, and is over."""
    state = app.status.operation_state
    if state is None or state.phase not in FINISHED or app.operation is not None:
        return False
    return state != before


def _is_new_dry_run(app: Application, before: OperationState | None) -> bool:
    state = app.status.operation_state
    return _is_new(app, before) and state is not None and state.operation.is_dry


def _finished(app: Application) -> OperationState:
    """The last operation.

    Raises:
        ActionError: it failed.
    """
    state = app.status.operation_state
    if state is None or state.phase != "Succeeded":
        said = f": {_outcome(state)}\n{_resources(state)}" if state else ""
        raise ActionError(f"{app.title}: the operation failed{said}")
    return state


def _outcome(state: OperationState) -> str:
    revision = clip(state.sync_result.revision, 40)
    said = clip(state.message, 500) or clip(state.phase, 40)
    return f"{said} ({revision})" if revision else said


def _resources(state: OperationState) -> str:
    shown = state.sync_result.resources
    lines = [
        tidy(f"{r.status} {r.kind} {r.namespace}/{r.name} {r.hook_type}: {r.message}", 400)
        for r in shown[:_SHOWN]
    ]
    if len(shown) > _SHOWN:
        lines.append(f"and {len(shown) - _SHOWN} more")
    return "\n".join(lines)


def _deployed(one: Deployed) -> str:
    at = f", deployed {one.deployed_at:%Y-%m-%d %H:%M} UTC" if one.deployed_at else ""
    return f"deployment {one.id}: {clip(one.revision, 64)}{at}"


def _state(app: Application) -> str:
    status = app.status
    revision = clip(status.sync.revision or ", ".join(status.sync.revisions), 100)
    return f"{app.title} is {clip(status.sync.status, 40)} and {clip(status.health.status, 40)}" + (
        f" at {revision}" if revision else ""
    )


def _values(app: Application) -> dict[str, JsonValue]:
    status = app.status
    images: list[JsonValue] = [clip(image, 300) for image in status.summary.images[:_SHOWN]]
    return {
        "sync": clip(status.sync.status, 40),
        "health": clip(status.health.status, 40),
        "revision": clip(status.sync.revision, 100),
        "images": images,
    }
