"""Merge requests: merging one whose pipeline has succeeded.

https://docs.gitlab.com/api/merge_requests/#merge-a-merge-request
"""

from __future__ import annotations

from typing import Annotated, ClassVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.calling import RefusedError, SystemClient
from integrations.gitlab.actions.scope import Number, ProjectArguments, Scope
from integrations.text import clip, web_address

_GOING = frozenset(
    {"created", "waiting_for_resource", "preparing", "pending", "running", "scheduled"}
)
_MERGEABLE = frozenset({"mergeable", "ci_still_running", "ci_must_pass"})


class MergeArguments(ProjectArguments):
    """Which merge request, and the commit that its head must be."""

    number: Number = Field(description="the number after the !")
    sha: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(
        description="head commit that is to be merged: 40 hexadecimal digits"
    )
    squash: bool | None = Field(default=None, description="left out: as the merge request says")
    when_pipeline_succeeds: bool = Field(
        default=False, description="also while the pipeline runs: GitLab merges when it succeeds"
    )
    without_pipeline: bool = Field(default=False, description="also where no pipeline ran at all")

    @property
    def request(self) -> str:
        """Where the API has it."""
        return f"{self.path}/merge_requests/{self.number}"


class HeadPipeline(BaseModel):
    """The pipeline of a merge request's head."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: int
    sha: str
    status: str
    web_url: str = ""


class CommitState(BaseModel):
    """A commit as the API shows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    parent_ids: tuple[str, ...] = ()


class RequestState(BaseModel):
    """A merge request as the API shows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str
    state: str
    draft: bool = False
    sha: str | None = None
    source_branch: str
    target_branch: str
    detailed_merge_status: str = "mergeable"
    merge_when_pipeline_succeeds: bool = False
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    head_pipeline: HeadPipeline | None = None
    web_url: str = ""


class MergeMergeRequest(Action[MergeArguments]):
    """Merge a merge request whose pipeline has succeeded.

    The head commit is part of what is signed: commits pushed later are not merged. KEYED by it:
    a merge request that was merged with this head, or that GitLab will merge, is done.
    """

    name: ClassVar[str] = "gitlab.merge"
    summary: ClassVar[str] = "Merge a GitLab merge request when its pipeline has succeeded"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = MergeArguments

    def __init__(self, client: SystemClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: MergeArguments) -> str:
        """See `Action.describe`."""
        when = " as soon as its pipeline succeeds" if arguments.when_pipeline_succeeds else ""
        bare = ", even without a pipeline" if arguments.without_pipeline else ""
        return f"Merge {arguments.project}!{arguments.number} at {arguments.sha[:12]}{when}{bare}"

    async def preview(self, arguments: MergeArguments) -> str | None:
        """See `Action.preview`. The merge request, and the state of its pipeline."""
        request = await self._request(arguments)
        if request.state == "merged":
            return f"{clip(request.title, 300)}\nis merged already\n{web_address(request.web_url)}"
        pipeline = await self._check(arguments, request)
        return (
            f"{clip(request.title, 300)}\n{clip(request.source_branch, 250)} into "
            f"{clip(request.target_branch, 250)}, commit {arguments.sha}\npipeline: {pipeline}\n"
            f"{web_address(request.web_url)}"
        )

    async def execute(self, arguments: MergeArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        request = await self._request(arguments)
        if self._done(arguments, request):
            return self._result(arguments, request, already=True)
        await self._check(arguments, request)
        data: dict[str, str | bool] = {"sha": arguments.sha}
        if arguments.squash is not None:
            data["squash"] = arguments.squash
        if arguments.when_pipeline_succeeds:
            # the first since GitLab 17.11, the second until then
            data |= {"auto_merge": True, "merge_when_pipeline_succeeds": True}
        try:
            answer = await self._client.call("PUT", f"{arguments.request}/merge", data={**data})
        except RefusedError:
            # a second PUT after a broken connection is refused where the first one merged
            request = await self._request(arguments)
            if not self._done(arguments, request):
                raise
            return self._result(arguments, request, already=False)
        return self._result(arguments, answer.read(RequestState), already=False)

    @staticmethod
    def _done(arguments: MergeArguments, request: RequestState) -> bool:
        awaited = arguments.when_pipeline_succeeds and request.merge_when_pipeline_succeeds
        return request.sha == arguments.sha and (request.state == "merged" or awaited)

    @staticmethod
    def _result(arguments: MergeArguments, request: RequestState, *, already: bool) -> ActionResult:
        merged = request.state == "merged"
        word = "is merged" if merged else "will be merged when its pipeline succeeds"
        url = web_address(request.web_url)
        return ActionResult(
            summary=(
                f"{arguments.project}!{arguments.number} {word}{' already' if already else ''}: "
                f"{clip(request.title, 200)}"
            ),
            values={
                "merged": merged,
                "sha": clip(request.merge_commit_sha or request.squash_commit_sha, 64),
                "base": clip(request.target_branch, 250),
                "url": url,
            },
            link=url or None,
        )

    async def _request(self, arguments: MergeArguments) -> RequestState:
        self._scope.check(arguments.project)
        return (await self._client.get(arguments.request)).read(RequestState)

    async def _check(self, arguments: MergeArguments, request: RequestState) -> str:
        """The state of its pipeline in a few words.

        Raises:
            ActionError: it is not to be merged: closed, a draft, moved on, or its pipeline has not
                succeeded.
        """
        name = f"{arguments.project}!{arguments.number}"
        if request.state != "opened":
            raise ActionError(f"{name} is {clip(request.state, 40)}.")
        if request.draft:
            raise ActionError(f"{name} is a draft: mark it as ready first.")
        if request.sha != arguments.sha:
            raise ActionError(
                f"{name} has moved on: its head is {clip(request.sha, 64)}, not {arguments.sha}. "
                "Look at what is new, then ask again."
            )
        if request.detailed_merge_status not in _MERGEABLE:
            raise ActionError(
                f"{name} cannot be merged: GitLab says {clip(request.detailed_merge_status, 60)}."
            )
        pipeline = request.head_pipeline
        if pipeline is None:
            if arguments.without_pipeline and not arguments.when_pipeline_succeeds:
                return "none"
            raise ActionError(
                f"No pipeline has run for {name}: wait for it, or say `without_pipeline: true`."
            )
        await self._check_commit(arguments, pipeline)
        status = clip(pipeline.status, 40)
        going = arguments.when_pipeline_succeeds and pipeline.status in _GOING
        if pipeline.status != "success" and not going:
            raise ActionError(
                f"The pipeline of {name} is {status}: {web_address(pipeline.web_url)}"
            )
        return status

    async def _check_commit(self, arguments: MergeArguments, pipeline: HeadPipeline) -> None:
        """A pipeline of an older head says nothing; one of the merged result is of a commit whose
        parents are the target and the head."""
        if pipeline.sha == arguments.sha:
            return
        answer = await self._client.get(
            f"{arguments.path}/repository/commits/{quote(pipeline.sha, safe='')}"
        )
        if arguments.sha not in answer.read(CommitState).parent_ids:
            raise ActionError(
                f"The latest pipeline of {arguments.project}!{arguments.number} is of another "
                f"commit, {clip(pipeline.sha, 64)}: wait for that of {arguments.sha[:12]}."
            )
