"""`git.tag` and `git.log`."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field, JsonValue

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.git.process import GitFailedError, git
from integrations.git.repositories import SHORT, CommitName, Repositories, RepositoryArguments
from integrations.git.repository import TRAILER, Repository
from integrations.text import clip, tidy


class TagArguments(RepositoryArguments):
    """The tag and the commit that it names."""

    tag: str = Field(min_length=1, max_length=200)
    commit: CommitName
    message: str = Field(default="", max_length=5000)


class CreateTag(Action[TagArguments]):
    """Set an annotated tag. NATURAL: a tag that names the commit already is left as it is; one
    that names another commit is never moved."""

    name: ClassVar[str] = "git.tag"
    summary: ClassVar[str] = "Set an annotated tag on a commit"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = TagArguments

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    def describe(self, arguments: TagArguments) -> str:
        """See `Action.describe`."""
        repository = self._repositories.get(arguments.repository)
        pushed = f" and push it to {repository.remote}" if repository.remote else ""
        tag = clip(arguments.tag, 200)
        return f"Tag commit {arguments.commit[:SHORT]} of {repository.name} as {tag}{pushed}"

    async def preview(self, arguments: TagArguments) -> str | None:
        """See `Action.preview`. The commit that would be tagged."""
        repository = self._repositories.get(arguments.repository)
        commit, there = await self._look(repository, arguments)
        shown = await git(repository.path, "log", "-n1", "--format=%h %as %an: %s", commit)
        return clip(shown, 500) + ("\nThe tag is there already." if there else "")

    async def execute(self, arguments: TagArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        repository = self._repositories.get(arguments.repository)
        async with repository.exclusively():
            commit, there = await self._look(repository, arguments)
            if not there:
                message = tidy(arguments.message, 5000) or arguments.tag
                await git(
                    repository.path, "tag", "--annotate", "--cleanup=verbatim", "-F", "-",
                    arguments.tag, commit,
                    text=f"{message}\n\n{TRAILER}: {context.key}\n",
                    environment=repository.author.environment,
                )  # fmt: skip
            ref = f"refs/tags/{arguments.tag}"
            await repository.push(f"{ref}:{ref}")
        return ActionResult(
            summary=f"{arguments.tag} {'is' if there else 'set'} on {commit[:SHORT]} "
            f"of {repository.name}",
            values={"tag": arguments.tag, "commit": commit},
        )

    @staticmethod
    async def _look(repository: Repository, arguments: TagArguments) -> tuple[str, bool]:
        """The commit, and whether it has the tag already."""
        ref = f"refs/tags/{arguments.tag}"
        if arguments.tag.startswith("-"):
            raise ActionError(f"{clip(arguments.tag, 200)} is not a name for a tag.")
        try:
            await git(repository.path, "check-ref-format", ref)
        except (GitFailedError, ValueError) as error:
            raise ActionError(f"{clip(arguments.tag, 200)} is not a name for a tag.") from error
        commit = await repository.commit(arguments.commit)
        tagged = await repository.resolve(ref)
        if tagged is not None and tagged != commit:
            raise ActionError(
                f"The tag {arguments.tag} of {repository.name} names commit {tagged[:SHORT]} "
                f"already, and tags are not moved: choose another name."
            )
        return commit, tagged is not None


class LogArguments(RepositoryArguments):
    """Which part of the branch's history."""

    count: int = Field(default=10, ge=1, le=100)
    path: str | None = Field(default=None, min_length=1, max_length=500)


class ReadLog(Action[LogArguments]):
    """The latest commits of the configured branch."""

    name: ClassVar[str] = "git.log"
    summary: ClassVar[str] = "List a branch's latest commits"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = LogArguments

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    def describe(self, arguments: LogArguments) -> str:
        """See `Action.describe`."""
        repository = self._repositories.get(arguments.repository)
        where = f" that touch {clip(arguments.path, 200)}" if arguments.path else ""
        return (
            f"List the latest {arguments.count} commits on {repository.branch} "
            f"of {repository.name}{where}"
        )

    async def execute(self, arguments: LogArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`. `values.commits` has `sha`, `date`, `author`, `subject`."""
        repository = self._repositories.get(arguments.repository)
        head = await repository.head()
        if arguments.path and re.search(r"[\x00-\x1f]", arguments.path):
            raise InvalidRequestError("The path holds control characters.")
        paths = (f":(literal){arguments.path}",) if arguments.path else ()
        log = await git(
            repository.path, "log", f"-n{arguments.count}", "--no-show-signature",
            "--format=%H%x00%aI%x00%an%x00%s", head, "--", *paths,
        )  # fmt: skip
        commits: list[JsonValue] = []
        lines = []
        for line in log.splitlines():
            sha, date, author, subject = (clip(field, 300) for field in line.split("\0", 3))
            commits.append({"sha": sha, "date": date, "author": author, "subject": subject})
            lines.append(f"{sha[:SHORT]} {date[:10]} {author}: {subject}")
        found = "1 commit" if len(lines) == 1 else f"{len(lines)} commits"
        return ActionResult(
            summary=f"{found} on {repository.branch} of {repository.name}",
            output="\n".join(lines),
            values={"commits": commits, "head": head},
        )
