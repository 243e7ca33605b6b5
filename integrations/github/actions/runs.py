"""Workflow runs of GitHub Actions: running one again, starting one, waiting for one."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field, StringConstraints, ValidationError

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
from integrations.github.payloads import WorkflowRun
from integrations.text import clip, in_full, web_address


class RerunArguments(RepositoryArguments):
    """Which attempt of which run is to be run again."""

    run_id: Number
    attempt: int = Field(ge=1, le=1000, description="the attempt that ended, as its event says")
    failed_jobs_only: bool = False


class RerunWorkflow(Action[RerunArguments]):
    """Run a GitHub Actions run again.

    KEYED by the attempt: once the run has a later attempt, this one has been re-run.
    """

    name: ClassVar[str] = "github.rerun_workflow"
    summary: ClassVar[str] = "Run a GitHub Actions workflow run again"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = RerunArguments

    def __init__(self, client: GitHubClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: RerunArguments) -> str:
        """See `Action.describe`."""
        what = "the failed jobs of attempt" if arguments.failed_jobs_only else "attempt"
        return (
            f"Run {what} {arguments.attempt} of workflow run {arguments.run_id} "
            f"in {arguments.repository} again"
        )

    async def preview(self, arguments: RerunArguments) -> str | None:
        """See `Action.preview`."""
        run = await self._run(arguments)
        self._check(arguments, run)
        return (
            f"{clip(run.name, 200)} #{run.run_number}, attempt {run.run_attempt}: "
            f"{clip(run.conclusion or run.status, 40)}\n"
            f"branch {clip(run.head_branch, 250)}, commit {clip(run.head_sha, 64)}\n"
            f"{clip(run.html_url, 500)}"
        )

    async def execute(self, arguments: RerunArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        run = await self._run(arguments)
        done = run.run_attempt > arguments.attempt
        if not done:
            self._check(arguments, run)
            verb = "rerun-failed-jobs" if arguments.failed_jobs_only else "rerun"
            await self._client.post(
                f"/repos/{{owner}}/{{repo}}/actions/runs/{{run_id}}/{verb}",
                self._path(arguments),
                {},
            )
        name = clip(run.name, 100) or f"run {run.id}"
        attempt = run.run_attempt if done else arguments.attempt + 1
        return ActionResult(
            summary=f"{name} {'runs again already' if done else 'runs again'}, attempt {attempt}",
            values={"run_id": run.id, "attempt": attempt, "url": web_address(run.html_url)},
            link=web_address(run.html_url) or None,
        )

    def _path(self, arguments: RerunArguments) -> dict[str, str]:
        return {**arguments.path, "run_id": str(arguments.run_id)}

    async def _run(self, arguments: RerunArguments) -> WorkflowRun:
        self._scope.check(arguments.repository)
        return await _read_run(self._client, self._path(arguments))

    @staticmethod
    def _check(arguments: RerunArguments, run: WorkflowRun) -> None:
        if run.run_attempt < arguments.attempt:
            raise ActionError(
                f"Workflow run {run.id} has no attempt {arguments.attempt} yet: it is at "
                f"attempt {run.run_attempt}."
            )
        if run.run_attempt == arguments.attempt and run.status != "completed":
            raise ActionError(
                f"Workflow run {run.id} is {clip(run.status, 40)}, so it cannot be run again yet: "
                f"wait for it to end, or cancel it on GitHub."
            )


class DispatchArguments(RepositoryArguments):
    """Which workflow to start, on what, with which inputs."""

    workflow: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,100}\.ya?ml$")
    ] = Field(description="the file's name, such as deploy.yml")
    ref: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/@+-]*$", max_length=250)
    ] = Field(description="branch or tag")
    inputs: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=100)],
        Annotated[str, StringConstraints(max_length=4000)],
    ] = Field(default_factory=dict, max_length=25)
    key_input: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=100)]
        | None
    ) = Field(
        default=None,
        description="the input that the workflow's run-name shows; it is given the step's key",
    )


class DispatchWorkflow(Action[DispatchArguments]):
    """Start a workflow that has the trigger `workflow_dispatch`.

    KEYED where `key_input` names an input that the workflow's `run-name` shows: then the run can
    be found again. NONE otherwise, as GitHub tells nobody who asked for a run.
    """

    name: ClassVar[str] = "github.dispatch"
    summary: ClassVar[str] = "Start a GitHub Actions workflow"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = DispatchArguments

    def __init__(self, client: GitHubClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def idempotency_of(self, arguments: DispatchArguments) -> Idempotency:
        """See `Action.idempotency_of`."""
        return Idempotency.KEYED if arguments.key_input else Idempotency.NONE

    def describe(self, arguments: DispatchArguments) -> str:
        """See `Action.describe`."""
        given = ", ".join(
            f"{name}={clip(v, _SHOWN)}" for name, v in sorted(arguments.inputs.items())
        )
        return f"Start {arguments.workflow} of {arguments.repository} on {arguments.ref}" + (
            f" with {given}" if given else ""
        )

    async def preview(self, arguments: DispatchArguments) -> str | None:
        """See `Action.preview`. Whether the workflow is there and active, and which commit it
        would run on."""
        self._scope.check(arguments.repository)
        workflow = await self._client.get(
            f"{_WORKFLOW}/{quote(arguments.workflow, safe='')}", arguments.path
        )
        commit = await self._client.get(
            f"/repos/{{owner}}/{{repo}}/commits/{quote(arguments.ref, safe='')}", arguments.path
        )
        try:
            state, name, sha = workflow["state"], workflow["name"], commit["sha"]
        except (KeyError, TypeError) as error:
            raise ActionError("GitHub's answer is not a workflow and a commit.") from error
        if state != "active":
            raise ActionError(f"The workflow {arguments.workflow} is {clip(str(state), 40)}.")
        what = f"{clip(str(name), 200)} on {arguments.ref}, commit {clip(str(sha), 64)}"
        return what + in_full(arguments.inputs, _SHOWN)

    async def execute(self, arguments: DispatchArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`. Servers that do not say which run they started give no `run_id`."""
        self._scope.check(arguments.repository)
        if context.repeated and arguments.key_input:
            found = await self._find(arguments, context.key)
            if found is not None:
                return self._result(arguments, found.id, found.html_url, "runs already")
        key = {arguments.key_input: context.key} if arguments.key_input else {}
        answer = await self._client.post(
            f"{_WORKFLOW}/{quote(arguments.workflow, safe='')}/dispatches",
            arguments.path,
            {
                "ref": arguments.ref,
                "inputs": {**arguments.inputs, **key},
                "return_run_details": True,
            },
        )
        said = answer if isinstance(answer, dict) else {}
        run_id = said.get("workflow_run_id")
        url = str(said.get("html_url") or "")
        return self._result(arguments, run_id if isinstance(run_id, int) else None, url, "started")

    def _result(
        self, arguments: DispatchArguments, run_id: int | None, url: str, verb: str
    ) -> ActionResult:
        link = web_address(url)
        return ActionResult(
            summary=f"{arguments.workflow} {verb} on {arguments.ref} of {arguments.repository}",
            values={"url": link} | ({} if run_id is None else {"run_id": run_id, "attempt": 1}),
            link=link or None,
        )

    async def _find(self, arguments: DispatchArguments, key: str) -> WorkflowRun | None:
        """The run that an earlier attempt started."""
        answer = await self._client.get(
            f"{_WORKFLOW}/{quote(arguments.workflow, safe='')}/runs"
            "?event=workflow_dispatch&per_page=100",
            arguments.path,
        )
        runs = answer.get("workflow_runs") if isinstance(answer, dict) else None
        if not isinstance(runs, list):
            raise ActionError("GitHub's answer is not a list of workflow runs.")
        for run in map(_as_run, runs):
            if key in run.display_title.split():
                return run
        if len(runs) >= _MOST_RUNS:
            raise OutcomeUnknownError(
                f"{_MOST_RUNS} newer runs of {arguments.workflow} are there: look yourself whether "
                "one of them is ours."
            )
        return None


class WaitArguments(RepositoryArguments):
    """The run to wait for."""

    run_id: Number
    attempt: int = Field(default=1, ge=1, le=1000)
    timeout_s: float = Field(default=900, gt=0, le=7200)


class WaitForRun(Action[WaitArguments]):
    """Wait until a workflow run has ended; it is an error if it did not succeed."""

    name: ClassVar[str] = "github.wait"
    summary: ClassVar[str] = "Wait for a GitHub Actions workflow run"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = WaitArguments

    def __init__(self, client: GitHubClient, scope: Scope, pause_s: float = 10.0) -> None:
        self._client = client
        self._scope = scope
        self._pause_s = pause_s

    def describe(self, arguments: WaitArguments) -> str:
        """See `Action.describe`."""
        return (
            f"Wait up to {arguments.timeout_s:g} s for workflow run {arguments.run_id} of "
            f"{arguments.repository}"
        )

    async def execute(self, arguments: WaitArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        self._scope.check(arguments.repository)
        run = None
        try:
            async with asyncio.timeout(arguments.timeout_s):
                while run is None or not _ended(run, arguments.attempt):
                    if run is not None:
                        await asyncio.sleep(self._pause_s)
                    path = {**arguments.path, "run_id": str(arguments.run_id)}
                    run = await _read_run(self._client, path)
        except TimeoutError as error:
            status = clip(run.status, 40) if run else "unknown"
            link = web_address(run.html_url) if run else ""
            raise ActionError(
                f"Workflow run {arguments.run_id} has not ended in {arguments.timeout_s:g} s; it "
                f"is {status}: {link}"
            ) from error
        name, conclusion = clip(run.name, 100) or f"run {run.id}", clip(run.conclusion, 40)
        if run.conclusion != "success":
            raise ActionError(f"{name} ended as {conclusion}: {web_address(run.html_url)}")
        return ActionResult(
            summary=f"{name} succeeded",
            values={"run_id": run.id, "attempt": run.run_attempt, "conclusion": conclusion},
            link=web_address(run.html_url) or None,
        )


_WORKFLOW = "/repos/{owner}/{repo}/actions/workflows"
_MOST_RUNS = 100
_SHOWN = 60


def _ended(run: WorkflowRun, attempt: int) -> bool:
    return run.run_attempt >= attempt and run.status == "completed"


async def _read_run(client: GitHubClient, path: dict[str, str]) -> WorkflowRun:
    return _as_run(await client.get("/repos/{owner}/{repo}/actions/runs/{run_id}", path))


def _as_run(value: Any) -> WorkflowRun:
    try:
        return WorkflowRun.model_validate(value)
    except ValidationError as error:
        raise ActionError("GitHub's answer is not a workflow run.") from error
