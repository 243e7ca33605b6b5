"""Taking a merged pull request back, by a pull request.

GitHub makes the reverting commits itself (GraphQL's `revertPullRequest`, what its *Revert* button
does), with a real three-way merge; the REST API has no such call, and building the tree from its
parts would be right only where nothing was merged since.
https://docs.github.com/en/graphql/reference/mutations#revertpullrequest
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.github.actions.pulls import read_pull
from integrations.github.actions.scope import (
    Number,
    RepositoryArguments,
    Scope,
    marker,
    without_markers,
)
from integrations.github.client import GitHubClient
from integrations.github.payloads import PullRequest
from integrations.text import clip, web_address

_LOOK_BACK = 300  # pull requests
_REVERT = """
mutation Revert($pull: ID!, $title: String!, $body: String!, $draft: Boolean!) {
  revertPullRequest(
    input: { pullRequestId: $pull, title: $title, body: $body, draft: $draft }
  ) {
    revertPullRequest { number url headRefName headRefOid }
  }
}
"""


class RevertArguments(RepositoryArguments):
    """Which merged pull request to take back, and why."""

    number: Number
    reason: str = Field(default="", max_length=10_000)
    draft: bool = False


class RevertPullRequest(Action[RevertArguments]):
    """Open a pull request that takes a merged one back. KEYED by a hidden marker in its text."""

    name: ClassVar[str] = "github.revert"
    summary: ClassVar[str] = "Open a pull request that reverts a merged one"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = RevertArguments

    def __init__(self, client: GitHubClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: RevertArguments) -> str:
        """See `Action.describe`."""
        return f"Open a pull request that reverts {arguments.repository}#{arguments.number}"

    async def preview(self, arguments: RevertArguments) -> str | None:
        """See `Action.preview`. What would be taken back; nothing is changed."""
        pull, _ = await self._pull(arguments)
        return (
            f"{clip(pull.title, 300)}\nmerged into {clip(pull.base.ref, 250)} as "
            f"{clip(pull.merge_commit_sha, 64)}\n{web_address(pull.html_url)}"
        )

    async def execute(self, arguments: RevertArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        pull, node = await self._pull(arguments)
        mark = marker(context.key)
        found = await self._find(arguments, mark) if context.repeated else None
        if found is not None:
            return self._result(arguments, found, found.get("html_url"), "is reverted already by")
        reason = without_markers(arguments.reason).strip()
        reverts = f"Reverts {arguments.repository}#{arguments.number}"
        answer = await self._client.graphql(
            _REVERT,
            {
                "pull": node,
                "title": clip(f'Revert "{pull.title}"', 256),
                "body": "\n\n".join(filter(None, (reverts, reason, mark))),
                "draft": arguments.draft,
            },
        )
        opened = (answer.get("revertPullRequest") or {}).get("revertPullRequest")
        if not isinstance(opened, dict) or not isinstance(opened.get("number"), int):
            raise OutcomeUnknownError("GitHub's answer is not a pull request.")
        return self._result(arguments, opened, opened.get("url"), "is to be reverted by")

    @staticmethod
    def _result(
        arguments: RevertArguments, pull: dict[str, Any], url: object, verb: str
    ) -> ActionResult:
        """`pull` and `url` as REST or GraphQL has them: the number is called the same in both."""
        link = web_address(str(url or ""))
        return ActionResult(
            summary=f"{arguments.repository}#{arguments.number} {verb} #{pull.get('number')}",
            values={"number": pull.get("number"), "url": link},
            link=link or None,
        )

    async def _pull(self, arguments: RevertArguments) -> tuple[PullRequest, str]:
        """The pull request, and its id in GraphQL."""
        self._scope.check(arguments.repository)
        pull = await read_pull(self._client, {**arguments.path, "number": str(arguments.number)})
        if not pull.merged:
            raise ActionError(
                f"{arguments.repository}#{arguments.number} is not merged, so there is nothing to "
                "revert."
            )
        return pull, pull.node_id

    async def _find(self, arguments: RevertArguments, mark: str) -> dict[str, Any] | None:
        """The pull request that an earlier attempt opened."""
        pulls, more = await self._client.get_list(
            "/repos/{owner}/{repo}/pulls?state=all&sort=created&direction=desc&per_page=100",
            arguments.path,
            _LOOK_BACK,
        )
        for pull in pulls:
            if isinstance(pull, dict) and mark in (pull.get("body") or ""):
                return pull
        if more:
            raise OutcomeUnknownError(
                f"{_LOOK_BACK} newer pull requests are in {arguments.repository}: look there "
                f"yourself whether #{arguments.number} was reverted."
            )
        return None
