"""`circleci.rerun`."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.calling import SystemClient
from integrations.circleci.payloads import Started, WorkflowState
from integrations.text import clip

_UNFINISHED = frozenset({"running", "failing", "on_hold", "not_run"})


class RerunArguments(BaseModel):
    """Which workflow; from its failed jobs, or from the start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow_id: str = Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    from_failed: bool = True


class RerunWorkflow(Action[RerunArguments]):
    """Run a workflow again. Each call starts a new one, so after a crash a person is asked."""

    name: ClassVar[str] = "circleci.rerun"
    summary: ClassVar[str] = "Run a CircleCI workflow again"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = RerunArguments

    def __init__(
        self, file: str, client: SystemClient, projects: Sequence[str], web_url: str
    ) -> None:
        self._file = file
        self._client = client
        self._projects = projects
        self._web_url = web_url.rstrip("/")

    def describe(self, arguments: RerunArguments) -> str:
        """See `Action.describe`."""
        what = "the failed jobs of" if arguments.from_failed else "all of"
        return f"Run {what} the CircleCI workflow {arguments.workflow_id} again"

    async def preview(self, arguments: RerunArguments) -> str | None:
        """See `Action.preview`. The workflow as it is now."""
        found = await self._find(arguments)
        return (
            f"{clip(found.name, 200)} of {clip(found.project_slug, 200)}, pipeline "
            f"{found.pipeline_number}: {clip(found.status, 40)}"
        )

    async def execute(self, arguments: RerunArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        found = await self._find(arguments)
        answer = await self._client.call(
            "POST",
            f"/workflow/{arguments.workflow_id}/rerun",
            data={"from_failed": arguments.from_failed},
        )
        started = answer.read(Started).workflow_id
        project, number = clip(found.project_slug, 200), found.pipeline_number
        return ActionResult(
            summary=f"{clip(found.name, 200)} of {project} runs again",
            values={"workflow_id": clip(started, 100), "project": project},
            link=f"{self._web_url}/pipelines/{project}/{number}/workflows/{clip(started, 100)}",
        )

    async def _find(self, arguments: RerunArguments) -> WorkflowState:
        answer = await self._client.get(f"/workflow/{arguments.workflow_id}")
        found = answer.read(WorkflowState)
        slug = found.project_slug
        if self._projects and not any(fnmatchcase(slug, p) for p in self._projects):
            allowed = ", ".join(self._projects)
            raise ActionError(
                f"The project {clip(slug, 200)} may not be touched ({self._file}); allowed: "
                f"{allowed}."
            )
        if found.status in _UNFINISHED:
            raise ActionError(
                f"{clip(found.name, 200)} has not ended ({clip(found.status, 40)}): CircleCI runs "
                "a workflow again only after its end."
            )
        return found
