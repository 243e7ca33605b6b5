"""Pull requests: merging one whose checks have passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field, ValidationError

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.github.actions.scope import CommitId, Number, RepositoryArguments, Scope
from integrations.github.client import GitHubClient
from integrations.github.payloads import PullRequest
from integrations.text import clip, web_address

_PASSED = frozenset({"success", "neutral", "skipped"})
_MOST_CHECKS = 1000


class MergeArguments(RepositoryArguments):
    """Which pull request, and the commit that its head must be."""

    number: Number
    sha: CommitId = Field(description="head commit that is to be merged: 40 hexadecimal digits")
    method: Literal["merge", "squash", "rebase"] = "merge"
    without_checks: bool = Field(default=False, description="also where no check ran at all")


class MergePullRequest(Action[MergeArguments]):
    """Merge a pull request whose checks have all passed.

    The head commit is part of what is signed: commits pushed later are not merged. KEYED by it:
    a pull request that was merged with this head is done.
    """

    name: ClassVar[str] = "github.merge"
    summary: ClassVar[str] = "Merge a GitHub pull request when its checks have passed"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = MergeArguments

    def __init__(self, client: GitHubClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: MergeArguments) -> str:
        """See `Action.describe`."""
        checks = ", even without checks" if arguments.without_checks else ""
        return (
            f"Merge {arguments.repository}#{arguments.number} ({arguments.method}) "
            f"at {arguments.sha[:12]}{checks}"
        )

    async def preview(self, arguments: MergeArguments) -> str | None:
        """See `Action.preview`. The pull request, and the state of its checks."""
        pull = await self._pull(arguments)
        if pull.merged:
            return f"{clip(pull.title, 300)}\nis merged already\n{web_address(pull.html_url)}"
        checks = await self._check(arguments, pull)
        return (
            f"{clip(pull.title, 300)}\n{clip(pull.head.ref, 250)} into {clip(pull.base.ref, 250)}, "
            f"commit {arguments.sha}\nchecks: {checks}\n{web_address(pull.html_url)}"
        )

    async def execute(self, arguments: MergeArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        pull = await self._pull(arguments)
        if pull.merged and pull.head.sha == arguments.sha:
            return self._result(arguments, pull, pull.merge_commit_sha or "", "is merged already")
        await self._check(arguments, pull)
        try:
            answer = await self._client.put(
                f"{_PULL}/merge",
                self._path(arguments),
                {"sha": arguments.sha, "merge_method": arguments.method},
            )
        except ActionError:
            # aiohttp sends a PUT again when an idle connection broke, and merging twice is refused.
            pull = await self._pull(arguments)
            if not pull.merged or pull.head.sha != arguments.sha:
                raise
            return self._result(arguments, pull, pull.merge_commit_sha or "", "is merged")
        if not isinstance(answer, dict) or answer.get("merged") is not True:
            raise OutcomeUnknownError(
                f"GitHub does not say whether {arguments.repository}#{arguments.number} is merged."
            )
        return self._result(arguments, pull, str(answer.get("sha") or ""), "merged")

    def _result(
        self, arguments: MergeArguments, pull: PullRequest, sha: str, verb: str
    ) -> ActionResult:
        url = web_address(pull.html_url)
        return ActionResult(
            summary=f"{arguments.repository}#{arguments.number} {verb}: {clip(pull.title, 200)}",
            values={"sha": clip(sha, 64), "base": clip(pull.base.ref, 250), "url": url},
            link=url or None,
        )

    def _path(self, arguments: MergeArguments) -> dict[str, str]:
        return {**arguments.path, "number": str(arguments.number)}

    async def _pull(self, arguments: MergeArguments) -> PullRequest:
        self._scope.check(arguments.repository)
        return await read_pull(self._client, self._path(arguments))

    async def _check(self, arguments: MergeArguments, pull: PullRequest) -> str:
        """The state of its checks in a few words.

        Raises:
            ActionError: it is not to be merged: closed, a draft, moved on, or not green.
        """
        name = f"{arguments.repository}#{arguments.number}"
        if pull.state != "open":
            raise ActionError(f"{name} is closed.")
        if pull.draft:
            raise ActionError(f"{name} is a draft: mark it as ready for review first.")
        if pull.head.sha != arguments.sha:
            raise ActionError(
                f"{name} has moved on: its head is {clip(pull.head.sha, 64)}, not {arguments.sha}. "
                "Look at what is new, then ask again."
            )
        outcomes = Counter(await self._outcomes(arguments))
        if not outcomes and not arguments.without_checks:
            raise ActionError(
                f"No check has run on {arguments.sha[:12]}: wait for them, or say "
                "`without_checks: true`."
            )
        said = ", ".join(f"{count} {word}" for word, count in sorted(outcomes.items())) or "none"
        if set(outcomes) - _PASSED:
            raise ActionError(f"Not all checks of {name} have passed: {said}.")
        return said

    async def _outcomes(self, arguments: MergeArguments) -> list[str]:
        """How each check run and each commit status of the head stands."""
        path = {**arguments.path, "sha": arguments.sha}
        runs, more_runs = await self._client.get_list(
            f"{_COMMIT}/check-runs?filter=latest&per_page=100",
            path,
            _MOST_CHECKS,
            "check_runs",
        )
        statuses, more_statuses = await self._client.get_list(
            f"{_COMMIT}/status?per_page=100", path, _MOST_CHECKS, "statuses"
        )
        if more_runs or more_statuses:
            raise ActionError(f"{arguments.sha[:12]} has more than {_MOST_CHECKS} checks.")
        try:
            found = [
                *(
                    str(run["conclusion"]) if run["status"] == "completed" else str(run["status"])
                    for run in runs
                ),
                *(str(status["state"]) for status in statuses),
            ]
        except (KeyError, TypeError) as error:
            raise ActionError("GitHub's answer is not a list of checks.") from error
        return _short(found)


_PULL = "/repos/{owner}/{repo}/pulls/{number}"
_COMMIT = "/repos/{owner}/{repo}/commits/{sha}"


def _short(words: Iterable[str]) -> list[str]:
    return [clip(word, 40) for word in words]


async def read_pull(client: GitHubClient, path: dict[str, str]) -> PullRequest:
    """The pull request.

    Raises:
        ActionError: there is no such, or GitHub's answer is not one.
    """
    try:
        return PullRequest.model_validate(await client.get(_PULL, path))
    except ValidationError as error:
        raise ActionError("GitHub's answer is not a pull request.") from error
