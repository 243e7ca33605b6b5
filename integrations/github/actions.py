"""What workflows can do on GitHub. Token permissions: Actions read and write, Issues read and
write, of the repositories concerned, and nothing else."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.github.client import GitHubClient
from integrations.github.payloads import WorkflowRun
from integrations.text import clip

RepositoryName = Annotated[
    str,
    StringConstraints(
        # `owner/name`; a name of dots only would climb in the URL's path
        pattern=r"^[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$",
        max_length=140,
    ),
]
_LOOK_BACK = 300  # issues; more than that are not created between two attempts of one step


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: RepositoryName

    @property
    def path(self) -> dict[str, str]:
        """Variables of the API's URL templates."""
        owner, _, repo = self.repository.partition("/")
        return {"owner": owner, "repo": repo}


class Scope:
    """The repositories that actions may touch, as patterns (`acme/*`); none means all that the
    token can see."""

    def __init__(self, integration_id: str, patterns: tuple[str, ...]) -> None:
        self._file = f"integrations/{integration_id}.yaml"
        self._patterns = tuple(pattern.lower() for pattern in patterns)

    def check(self, repository: str) -> None:
        """Refuse other repositories.

        Raises:
            ActionError: it is not in scope.
        """
        if self._patterns and not any(fnmatchcase(repository.lower(), p) for p in self._patterns):
            raise ActionError(
                f"{repository} is not among the repositories that {self._file} allows: "
                f"{', '.join(self._patterns)}."
            )


class RerunArguments(_Arguments):
    """Which attempt of which run is to be run again."""

    run_id: int = Field(ge=1, le=2**53 - 1)
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
            values={"run_id": run.id, "attempt": attempt, "url": clip(run.html_url, 500)},
            link=clip(run.html_url, 500) or None,
        )

    def _path(self, arguments: RerunArguments) -> dict[str, str]:
        return {**arguments.path, "run_id": str(arguments.run_id)}

    async def _run(self, arguments: RerunArguments) -> WorkflowRun:
        self._scope.check(arguments.repository)
        answer = await self._client.get(
            "/repos/{owner}/{repo}/actions/runs/{run_id}", self._path(arguments)
        )
        try:
            return WorkflowRun.model_validate(answer)
        except ValidationError as error:
            raise ActionError("GitHub's answer is not a workflow run.") from error

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


class IssueArguments(_Arguments):
    """The issue to open."""

    title: str = Field(min_length=1, max_length=256)
    body: str = Field(default="", max_length=30_000)
    labels: tuple[Annotated[str, StringConstraints(min_length=1, max_length=50)], ...] = Field(
        default=(), max_length=20
    )


class CreateIssue(Action[IssueArguments]):
    """Open an issue. KEYED by a hidden marker in the issue's text."""

    name: ClassVar[str] = "github.create_issue"
    summary: ClassVar[str] = "Open a GitHub issue"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = IssueArguments

    def __init__(self, client: GitHubClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: IssueArguments) -> str:
        """See `Action.describe`."""
        return f"Open an issue in {arguments.repository}: {clip(arguments.title, 256)}"

    async def preview(self, arguments: IssueArguments) -> str | None:
        """See `Action.preview`. The text as it will be; nothing is asked of GitHub."""
        self._scope.check(arguments.repository)
        labels = f"\nlabels: {', '.join(arguments.labels)}" if arguments.labels else ""
        return f"{clip(arguments.title, 256)}{labels}\n\n{_without_markers(arguments.body)}"

    async def execute(self, arguments: IssueArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        self._scope.check(arguments.repository)
        marker = f"<!-- countersign:{context.key} -->"
        issue = await self._find(arguments, marker) if context.repeated else None
        if found := issue is not None:
            verb = "is open already"
        else:
            verb = "opened"
            issue = await self._client.post(
                "/repos/{owner}/{repo}/issues",
                arguments.path,
                {
                    "title": clip(arguments.title, 256),
                    "body": f"{_without_markers(arguments.body)}\n\n{marker}",
                    "labels": list(arguments.labels),
                },
            )
        try:
            number, url = int(issue["number"]), clip(str(issue["html_url"]), 500)
        except (KeyError, TypeError, ValueError) as error:
            unsure = ActionError if found else OutcomeUnknownError
            raise unsure("GitHub's answer is not an issue.") from error
        return ActionResult(
            summary=f"Issue {arguments.repository}#{number} {verb}",
            values={"number": number, "url": url},
            link=url,
        )

    async def _find(self, arguments: IssueArguments, marker: str) -> dict[str, Any] | None:
        """The issue that an earlier attempt opened. Search is not used: its index lags."""
        issues, more = await self._client.get_list(
            "/repos/{owner}/{repo}/issues?state=all&sort=created&direction=desc&per_page=100",
            arguments.path,
            _LOOK_BACK,
        )
        for issue in issues:
            if isinstance(issue, dict) and marker in (issue.get("body") or ""):
                return issue
        if more:
            raise OutcomeUnknownError(
                f"{_LOOK_BACK} newer issues are in {arguments.repository}: look there yourself "
                f"whether '{clip(arguments.title, 100)}' was opened."
            )
        return None


def _without_markers(body: str) -> str:
    """Text from outside must not pass for our own earlier effect."""
    return body.replace("<!-- countersign:", "<!-- ")
