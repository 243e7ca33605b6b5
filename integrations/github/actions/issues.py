"""Opening issues, and commenting on issues and pull requests."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.github.actions.scope import (
    Number,
    RepositoryArguments,
    Scope,
    marker,
    without_markers,
)
from integrations.github.client import GitHubClient
from integrations.text import clip, tidy

_LOOK_BACK = 300  # issues; more than that are not created between two attempts of one step
_LOOK_AT = 1000  # comments of one issue


class IssueArguments(RepositoryArguments):
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
        return f"{clip(arguments.title, 256)}{labels}\n\n{without_markers(arguments.body)}"

    async def execute(self, arguments: IssueArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        self._scope.check(arguments.repository)
        mark = marker(context.key)
        issue = await self._find(arguments, mark) if context.repeated else None
        if found := issue is not None:
            verb = "is open already"
        else:
            verb = "opened"
            issue = await self._client.post(
                "/repos/{owner}/{repo}/issues",
                arguments.path,
                {
                    "title": clip(arguments.title, 256),
                    "body": f"{without_markers(arguments.body)}\n\n{mark}",
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

    async def _find(self, arguments: IssueArguments, mark: str) -> dict[str, Any] | None:
        """The issue that an earlier attempt opened. Search is not used: its index lags."""
        issues, more = await self._client.get_list(
            "/repos/{owner}/{repo}/issues?state=all&sort=created&direction=desc&per_page=100",
            arguments.path,
            _LOOK_BACK,
        )
        for issue in issues:
            if isinstance(issue, dict) and mark in (issue.get("body") or ""):
                return issue
        if more:
            raise OutcomeUnknownError(
                f"{_LOOK_BACK} newer issues are in {arguments.repository}: look there yourself "
                f"whether '{clip(arguments.title, 100)}' was opened."
            )
        return None


class CommentArguments(RepositoryArguments):
    """What to say, and below which issue or pull request."""

    number: Number
    body: str = Field(min_length=1, max_length=30_000)


class CommentOnIssue(Action[CommentArguments]):
    """Comment on an issue or a pull request. KEYED by a hidden marker in the comment."""

    name: ClassVar[str] = "github.comment"
    summary: ClassVar[str] = "Comment on a GitHub issue or pull request"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = CommentArguments

    def __init__(self, client: GitHubClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: CommentArguments) -> str:
        """See `Action.describe`."""
        return f"Comment on {arguments.repository}#{arguments.number}"

    async def preview(self, arguments: CommentArguments) -> str | None:
        """See `Action.preview`. What it goes below, and the text as it will be."""
        self._scope.check(arguments.repository)
        about = await self._client.get(_ISSUE, self._path(arguments))
        title = clip(str(about.get("title")), 256) if isinstance(about, dict) else ""
        return (
            f"{arguments.repository}#{arguments.number}: {title}\n\n"
            f"{tidy(without_markers(arguments.body), 30_000)}"
        )

    async def execute(self, arguments: CommentArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        self._scope.check(arguments.repository)
        mark = marker(context.key)
        comment = await self._find(arguments, mark) if context.repeated else None
        found = comment is not None
        if comment is None:
            comment = await self._client.post(
                f"{_ISSUE}/comments",
                self._path(arguments),
                {"body": f"{without_markers(arguments.body)}\n\n{mark}"},
            )
        try:
            number, url = int(comment["id"]), clip(str(comment["html_url"]), 500)
        except (KeyError, TypeError, ValueError) as error:
            unsure = ActionError if found else OutcomeUnknownError
            raise unsure("GitHub's answer is not a comment.") from error
        verb = "has the comment already" if found else "has a new comment"
        return ActionResult(
            summary=f"{arguments.repository}#{arguments.number} {verb}",
            values={"comment_id": number, "url": url},
            link=url,
        )

    def _path(self, arguments: CommentArguments) -> dict[str, str]:
        return {**arguments.path, "number": str(arguments.number)}

    async def _find(self, arguments: CommentArguments, mark: str) -> dict[str, Any] | None:
        """The comment that an earlier attempt wrote."""
        comments, more = await self._client.get_list(
            f"{_ISSUE}/comments?per_page=100", self._path(arguments), _LOOK_AT
        )
        for comment in comments:
            if isinstance(comment, dict) and mark in (comment.get("body") or ""):
                return comment
        if more:
            raise OutcomeUnknownError(
                f"{arguments.repository}#{arguments.number} has more than {_LOOK_AT} comments: "
                "look there yourself whether ours is among them."
            )
        return None


_ISSUE = "/repos/{owner}/{repo}/issues/{number}"
