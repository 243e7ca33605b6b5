"""Pipelines: running what failed again, cancelling one, waiting for one.

https://docs.gitlab.com/api/pipelines/
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.calling import Answer, SystemClient
from integrations.gitlab.actions.scope import Number, ProjectArguments, Scope
from integrations.text import clip, web_address

_RETRIED = frozenset({"failed", "canceled"})
_ENDED = frozenset({"success", "failed", "canceled", "skipped"})


class PipelineArguments(ProjectArguments):
    """Which pipeline."""

    pipeline_id: Number

    @property
    def pipeline(self) -> str:
        """Where the API has it."""
        return f"{self.path}/pipelines/{self.pipeline_id}"


class PipelineState(BaseModel):
    """A pipeline as the API shows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: int
    status: str
    ref: str | None = ""
    sha: str = ""
    web_url: str = ""

    @property
    def line(self) -> str:
        """In a few words, for previews."""
        return (
            f"pipeline {self.id}: {clip(self.status, 40)}\n"
            f"{clip(self.ref, 250)}, commit {clip(self.sha, 64)}\n{web_address(self.web_url)}"
        )


class RetryPipeline(Action[PipelineArguments]):
    """Run the failed and cancelled jobs of a pipeline again.

    NONE: GitLab counts no attempts, so whether a pipeline that failed was run again and failed
    again cannot be seen.
    """

    name: ClassVar[str] = "gitlab.retry"
    summary: ClassVar[str] = "Run the failed jobs of a GitLab pipeline again"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = PipelineArguments

    def __init__(self, client: SystemClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: PipelineArguments) -> str:
        """See `Action.describe`."""
        return (
            f"Run the failed and cancelled jobs of pipeline {arguments.pipeline_id} of "
            f"{arguments.project} again"
        )

    async def preview(self, arguments: PipelineArguments) -> str | None:
        """See `Action.preview`."""
        return (await self._check(arguments)).line

    async def execute(self, arguments: PipelineArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        await self._check(arguments)
        answer = await self._client.call("POST", f"{arguments.pipeline}/retry", idempotent=False)
        return _result(
            answer, f"Pipeline {arguments.pipeline_id} of {arguments.project} runs again"
        )

    async def _check(self, arguments: PipelineArguments) -> PipelineState:
        state = await _read(self._client, self._scope, arguments)
        if state.status not in _RETRIED:
            raise ActionError(
                f"Pipeline {arguments.pipeline_id} of {arguments.project} is "
                f"{clip(state.status, 40)}: only one that failed or was cancelled is run again."
            )
        return state


class CancelPipeline(Action[PipelineArguments]):
    """Cancel a pipeline. NATURAL: cancelling twice is like once."""

    name: ClassVar[str] = "gitlab.cancel"
    summary: ClassVar[str] = "Cancel a GitLab pipeline"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = PipelineArguments

    def __init__(self, client: SystemClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: PipelineArguments) -> str:
        """See `Action.describe`."""
        return f"Cancel pipeline {arguments.pipeline_id} of {arguments.project}"

    async def preview(self, arguments: PipelineArguments) -> str | None:
        """See `Action.preview`."""
        return (await _read(self._client, self._scope, arguments)).line

    async def execute(self, arguments: PipelineArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`. One that has ended is left as it is."""
        state = await _read(self._client, self._scope, arguments)
        name = f"Pipeline {arguments.pipeline_id} of {arguments.project}"
        if state.status in _ENDED:
            return _shown(state, f"{name} has ended already: {clip(state.status, 40)}")
        answer = await self._client.call("POST", f"{arguments.pipeline}/cancel", idempotent=True)
        return _result(answer, f"{name} is being cancelled")


class WaitArguments(PipelineArguments):
    """The pipeline to wait for."""

    timeout_s: float = Field(default=900, gt=0, le=7200)


class WaitForPipeline(Action[WaitArguments]):
    """Wait until a pipeline has ended; it is an error if it did not succeed."""

    name: ClassVar[str] = "gitlab.wait"
    summary: ClassVar[str] = "Wait for a GitLab pipeline"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = WaitArguments

    def __init__(self, client: SystemClient, scope: Scope, pause_s: float = 10.0) -> None:
        self._client = client
        self._scope = scope
        self._pause_s = pause_s

    def describe(self, arguments: WaitArguments) -> str:
        """See `Action.describe`."""
        return (
            f"Wait up to {arguments.timeout_s:g} s for pipeline {arguments.pipeline_id} of "
            f"{arguments.project}"
        )

    async def execute(self, arguments: WaitArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`. A pipeline that waits for a manual job has not ended."""
        state = None
        name = f"Pipeline {arguments.pipeline_id} of {arguments.project}"
        try:
            async with asyncio.timeout(arguments.timeout_s):
                while state is None or state.status not in _ENDED:
                    if state is not None:
                        await asyncio.sleep(self._pause_s)
                    state = await _read(self._client, self._scope, arguments)
        except TimeoutError as error:
            status = clip(state.status, 40) if state else "unknown"
            link = web_address(state.web_url) if state else ""
            raise ActionError(
                f"{name} has not ended in {arguments.timeout_s:g} s; it is {status}: {link}"
            ) from error
        if state.status != "success":
            raise ActionError(
                f"{name} ended as {clip(state.status, 40)}: {web_address(state.web_url)}"
            )
        return _shown(state, f"{name} succeeded")


async def _read(client: SystemClient, scope: Scope, arguments: PipelineArguments) -> PipelineState:
    scope.check(arguments.project)
    return (await client.get(arguments.pipeline)).read(PipelineState)


def _result(answer: Answer, summary: str) -> ActionResult:
    return _shown(answer.read(PipelineState), summary)


def _shown(state: PipelineState, summary: str) -> ActionResult:
    link = web_address(state.web_url)
    return ActionResult(
        summary=summary,
        values={"pipeline_id": state.id, "status": clip(state.status, 40), "url": link},
        link=link or None,
    )
