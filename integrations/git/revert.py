"""`git.revert`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.git.process import GitFailedError, git
from integrations.git.repositories import SHORT, CommitName, Repositories, RepositoryArguments
from integrations.git.repository import TRAILER, BranchMovedError, Repository
from integrations.text import clip, tidy

_PREVIEW_LIMIT = 6000
_TRIES = 3

_log = logging.getLogger(__name__)


class RevertArguments(RepositoryArguments):
    """The commit to undo. `mainline` is needed for a merge: the parent to go back to, mostly 1."""

    commit: CommitName
    mainline: int | None = Field(default=None, ge=1, le=9)
    reason: str = Field(default="", max_length=1000)


class RevertCommit(Action[RevertArguments]):
    """Undo a commit by a new one on the configured branch.

    KEYED by the trailer `Countersign-Run` of the new commit. The work is done in a temporary
    worktree; then the remote's branch (if there is one) and the local branch move in one
    compare-and-swap each, so a working copy is never left half-done.
    """

    name: ClassVar[str] = "git.revert"
    summary: ClassVar[str] = "Undo a commit with a new commit"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = RevertArguments

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    def describe(self, arguments: RevertArguments) -> str:
        """See `Action.describe`."""
        repository = self._repositories.get(arguments.repository)
        pushed = f" and push it to {repository.remote}" if repository.remote else ""
        return (
            f"Revert commit {arguments.commit[:SHORT]} on {repository.branch} "
            f"of {repository.name}{pushed}"
        )

    async def preview(self, arguments: RevertArguments) -> str | None:
        """See `Action.preview`. The statistics and the patch of the revert as of now."""
        repository = self._repositories.get(arguments.repository)
        local, base = await repository.base()
        commit = await _reverted(repository, arguments, base)
        await repository.require_movable(local, base)
        async with repository.worktree(base) as folder:
            await _revert(folder, commit, arguments)
            diff = await git(
                folder, "diff", "--cached", "--stat", "--patch", "--no-ext-diff", "--no-textconv",
                "--no-color", "HEAD", "--",
            )  # fmt: skip
        return tidy(diff, _PREVIEW_LIMIT) if diff else None

    async def execute(self, arguments: RevertArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        repository = self._repositories.get(arguments.repository)
        async with repository.exclusively():
            for _ in range(_TRIES - 1):
                try:
                    return await self._try(repository, arguments, context)
                except BranchMovedError as error:
                    _log.info("%s; trying again", error)
            return await self._try(repository, arguments, context)

    async def _try(
        self, repository: Repository, arguments: RevertArguments, context: ActionContext
    ) -> ActionResult:
        local, base = await repository.base()
        commit = await _reverted(repository, arguments, base)
        if done := await repository.find_run(context.key, commit, base):
            await self._finish(repository, local, base, done)
            return _result(repository, commit, done, "is reverted already")
        async with repository.worktree(base) as folder:
            await _revert(folder, commit, arguments)
            new = await _commit(folder, commit, arguments, context, repository)
        await repository.require_movable(local, new)
        await repository.push(f"{new}:refs/heads/{repository.branch}")
        await repository.move(local, new, f"countersign: revert {commit[:SHORT]}")
        return _result(repository, commit, new, "reverted")

    @staticmethod
    async def _finish(repository: Repository, local: str, base: str, done: str) -> None:
        """What an attempt that was cut off after its commit may have left open."""
        if local != base:
            await repository.require_movable(local, base)
            await repository.move(local, base, f"countersign: revert as {done[:SHORT]}")
        else:
            await repository.follow(await repository.commit(f"{done}^"), local)


async def _reverted(repository: Repository, arguments: RevertArguments, tip: str) -> str:
    """The full name of the commit to revert, which must be on the branch."""
    commit = await repository.commit(arguments.commit)
    if not await repository.contains(tip, commit):
        raise ActionError(
            f"Commit {commit[:SHORT]} is not on {repository.branch} of {repository.name}, so "
            f"there is nothing to revert there."
        )
    parents = (await git(repository.path, "rev-list", "--parents", "-n1", commit)).split()[1:]
    if len(parents) > 1 and arguments.mainline is None:
        raise ActionError(
            f"Commit {commit[:SHORT]} is a merge: give 'mainline', the parent to go back to "
            f"(1 is the branch that was merged into)."
        )
    if arguments.mainline is not None and not 1 < len(parents) >= arguments.mainline:
        raise ActionError(
            f"Commit {commit[:SHORT]} has {len(parents)} parents: leave 'mainline' out, or give "
            f"one of its parents."
        )
    return commit


async def _revert(folder: Path, commit: str, arguments: RevertArguments) -> None:
    mainline = () if arguments.mainline is None else ("--mainline", str(arguments.mainline))
    try:
        await git(folder, "revert", "--no-commit", *mainline, commit)
    except GitFailedError as error:
        listing = await git(folder, "diff", "--name-only", "--diff-filter=U", "-z")
        files = [clip(file, 200) for file in listing.split("\0") if file]
        if not files:
            raise
        raise ActionError(
            f"Commit {commit[:SHORT]} cannot be reverted by itself, because later commits "
            f"changed the same lines of: {', '.join(files[:20])}"
            f"{', …' if len(files) > 20 else ''}. "
            f"Revert those commits first (`git log {commit[:SHORT]}.. -- FILE`), or revert by "
            f"hand. Nothing was changed."
        ) from error
    if not await git(folder, "diff", "--cached", "--name-only", "HEAD", "--"):
        raise ActionError(
            f"Reverting commit {commit[:SHORT]} changes nothing: it is undone already."
        )


async def _commit(
    folder: Path,
    commit: str,
    arguments: RevertArguments,
    context: ActionContext,
    repository: Repository,
) -> str:
    subject = (await git(folder, "log", "-n1", "--format=%s", commit)).strip()
    paragraphs = [
        clip(f'Revert "{subject}"', 200),
        f"This reverts commit {commit}.",
        # One paragraph, so that nothing in it can pass for a trailer.
        clip(arguments.reason, 1000),
        f"Requested-by: {clip(context.requester, 100)}\n{TRAILER}: {context.key}",
    ]
    message = "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"
    await git(
        folder, "commit", "--quiet", "--no-verify", "--cleanup=verbatim", "-F", "-",
        text=message, environment=repository.author.environment,
    )  # fmt: skip
    return (await git(folder, "rev-parse", "HEAD")).strip()


def _result(repository: Repository, commit: str, new: str, verb: str) -> ActionResult:
    return ActionResult(
        summary=(
            f"Commit {commit[:SHORT]} of {repository.name} {verb} by {new[:SHORT]} "
            f"on {repository.branch}"
        ),
        values={"commit": new, "reverted": commit, "branch": repository.branch},
    )
