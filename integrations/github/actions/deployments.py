"""Deployments: saying how one goes.

https://docs.github.com/en/rest/deployments/statuses
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.github.actions.scope import Number, RepositoryArguments, Scope
from integrations.github.client import GitHubClient
from integrations.text import clip

WebAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=500)]


class DeploymentStatusArguments(RepositoryArguments):
    """Which deployment, and how it goes."""

    deployment_id: Number
    state: Literal["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]
    description: str = Field(default="", max_length=140)
    log_url: WebAddress | None = None
    environment_url: WebAddress | None = None


class SetDeploymentStatus(Action[DeploymentStatusArguments]):
    """Give a deployment a new status. KEYED: once the latest status says the same, it is done."""

    name: ClassVar[str] = "github.deployment_status"
    summary: ClassVar[str] = "Set the status of a GitHub deployment"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = DeploymentStatusArguments

    def __init__(self, client: GitHubClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: DeploymentStatusArguments) -> str:
        """See `Action.describe`."""
        return (
            f"Set deployment {arguments.deployment_id} of {arguments.repository} "
            f"to {arguments.state}"
        )

    async def preview(self, arguments: DeploymentStatusArguments) -> str | None:
        """See `Action.preview`. The deployment, and its status now."""
        self._scope.check(arguments.repository)
        deployment = await self._client.get(_DEPLOYMENT, self._path(arguments))
        latest = await self._latest(arguments)
        try:
            what = f"{deployment['ref']} ({deployment['sha']}) to {deployment['environment']}"
        except (KeyError, TypeError) as error:
            raise ActionError("GitHub's answer is not a deployment.") from error
        now = clip(str(latest.get("state")), 40) if latest else "without a status"
        return f"{clip(what, 500)}\nnow {now}, then {arguments.state}"

    async def execute(
        self, arguments: DeploymentStatusArguments, context: ActionContext
    ) -> ActionResult:
        """See `Action.execute`."""
        self._scope.check(arguments.repository)
        data = {
            "state": arguments.state,
            "description": clip(arguments.description, 140),
            "log_url": arguments.log_url or "",
            "environment_url": arguments.environment_url or "",
        }
        latest = await self._latest(arguments) if context.repeated else None
        found = latest is not None and all(
            (latest.get(name) or "") == value for name, value in data.items()
        )
        if not found:
            latest = await self._client.post(f"{_DEPLOYMENT}/statuses", self._path(arguments), data)
        try:
            status_id = int((latest or {})["id"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            unsure = ActionError if found else OutcomeUnknownError
            raise unsure("GitHub's answer is not a deployment's status.") from error
        return ActionResult(
            summary=(
                f"Deployment {arguments.deployment_id} of {arguments.repository} is "
                f"{'already ' if found else ''}{arguments.state}"
            ),
            values={"status_id": status_id, "state": arguments.state},
            link=arguments.log_url,
        )

    def _path(self, arguments: DeploymentStatusArguments) -> dict[str, str]:
        return {**arguments.path, "deployment_id": str(arguments.deployment_id)}

    async def _latest(self, arguments: DeploymentStatusArguments) -> dict[str, Any] | None:
        statuses = await self._client.get(
            f"{_DEPLOYMENT}/statuses?per_page=1", self._path(arguments)
        )
        if not isinstance(statuses, list) or not all(isinstance(s, dict) for s in statuses):
            raise ActionError("GitHub's answer is not a list of statuses.")
        return statuses[0] if statuses else None


_DEPLOYMENT = "/repos/{owner}/{repo}/deployments/{deployment_id}"
