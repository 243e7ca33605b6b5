"""A repository and its branch: what is where, and moving it without losing anybody's work."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from core.workflows.actions import ActionError, OutcomeUnknownError
from integrations.git.process import GitFailedError, git
from integrations.git.settings import RepositorySettings

TRAILER = "Countersign-Run"
_NETWORK_LIMIT_S = 120.0
_PREFIX = "countersign-git-"

_log = logging.getLogger(__name__)


class BranchMovedError(ActionError):
    """Somebody else moved the branch between our looking at it and our moving it."""


class Repository:
    """One configured repository. Changes of it are made one at a time."""

    def __init__(self, name: str, settings: RepositorySettings) -> None:
        self.name = name
        self.branch = settings.branch
        self.author = settings.author
        self.remote = settings.remote
        self.path = settings.path
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def exclusively(self) -> AsyncIterator[None]:
        """While this is held no other action of this process changes the repository."""
        async with self._lock:
            yield

    async def check(self) -> str:
        """The branch's commit, or why there is none.

        Raises:
            ActionError: the path is no repository, or has no such branch.
        """
        if not self.path.is_dir():
            raise ActionError(f"There is no folder {self.path} for the repository {self.name}.")
        return await self.head()

    async def head(self) -> str:
        """The commit that the local branch is at.

        Raises:
            ActionError: there is no such branch.
        """
        if commit := await self.resolve(f"refs/heads/{self.branch}"):
            return commit
        raise ActionError(f"The repository {self.name} has no branch {self.branch}.")

    async def resolve(self, revision: str) -> str | None:
        """The commit that `revision` names; None where it names none."""
        try:
            output = await git(
                self.path, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"
            )
        except GitFailedError as error:
            if error.exit_code == 1:
                return None
            raise
        return output.strip()

    async def commit(self, revision: str) -> str:
        """The commit that `revision` names.

        Raises:
            ActionError: there is none, or the short form is ambiguous.
        """
        if commit := await self.resolve(revision):
            return commit
        raise ActionError(f"The repository {self.name} has no commit {revision}.")

    async def contains(self, tip: str, commit: str) -> bool:
        """Whether `commit` is `tip` or one of its ancestors."""
        try:
            await git(self.path, "merge-base", "--is-ancestor", commit, tip)
        except GitFailedError as error:
            if error.exit_code == 1:
                return False
            raise
        return True

    async def base(self) -> tuple[str, str]:
        """The local branch's commit and the one to build on: the remote's, where there is one.

        Raises:
            ActionError: the local branch has commits that the remote does not have.
        """
        local = await self.head()
        if self.remote is None:
            return local, local
        tracking = f"refs/countersign/{self.remote}/{self.branch}"
        await git(
            self.path,
            "fetch",
            "--quiet",
            "--no-tags",
            self.remote,
            f"+refs/heads/{self.branch}:{tracking}",
            time_limit_s=_NETWORK_LIMIT_S,
        )
        upstream = await self.commit(tracking)
        if not await self.contains(upstream, local):
            raise ActionError(
                f"{self.branch} of {self.name} has commits that {self.remote} does not have: "
                f"push or drop them in {self.path} first."
            )
        return local, upstream

    async def find_run(self, key: str, after: str, tip: str) -> str | None:
        """The commit in `after..tip` that carries the trailer of this key."""
        log = await git(
            self.path,
            "log",
            f"{after}..{tip}",
            "--fixed-strings",
            f"--grep={TRAILER}: {key}",
            f"--format=%H %(trailers:key={TRAILER},valueonly,separator=%x20)",
        )
        for line in log.splitlines():
            commit, _, keys = line.partition(" ")
            if key in keys.split():
                return commit
        return None

    @asynccontextmanager
    async def worktree(self, commit: str) -> AsyncIterator[Path]:
        """A temporary checkout of `commit`, on no branch; gone afterwards."""
        with TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
            path = Path(folder) / "worktree"
            await git(self.path, "worktree", "add", "--quiet", "--detach", str(path), commit)
            try:
                yield path
            finally:
                await asyncio.shield(git(self.path, "worktree", "remove", "--force", str(path)))

    async def sweep(self) -> None:
        """Remove the temporary checkouts of processes that were killed. Call it before any other
        work: a checkout of a process with our own id is taken for a former one's.

        Raises:
            ActionError: the path is no repository.
        """
        for entry in await self._worktrees():
            folder = Path(entry["worktree"]).parent
            owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if folder.name.startswith(_PREFIX) and owner.isdecimal() and not _lives(int(owner)):
                await git(self.path, "worktree", "remove", "--force", entry["worktree"])
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                _log.info("removed %s, which a killed process left in %s", folder, self.name)

    async def _worktrees(self) -> list[dict[str, str]]:
        listing = await git(self.path, "worktree", "list", "--porcelain", "-z")
        return [
            dict(line.partition(" ")[::2] for line in entry.strip("\0").split("\0"))
            for entry in listing.split("\0\0")
            if entry.strip("\0")
        ]

    async def checked_out(self) -> Path | None:
        """The working copy in which the branch is checked out, if any."""
        for entry in await self._worktrees():
            if entry.get("branch") == f"refs/heads/{self.branch}" and "bare" not in entry:
                return Path(entry["worktree"])
        return None

    async def require_movable(self, old: str, new: str) -> None:
        """Refuse where moving the branch's working copy could touch somebody's work.

        Raises:
            ActionError: the message names the working copy and what to do.
        """
        path = await self.checked_out()
        if path is None:
            return
        if not await _matches(path, old):
            raise ActionError(
                f"{self.branch} is checked out in {path} with changes that are not committed: "
                f"commit or stash them there, then start this again."
            )
        try:
            await git(path, "read-tree", "-n", "-m", "-u", old, new)
        except GitFailedError as error:
            raise ActionError(
                f"{self.branch} is checked out in {path}, which is in the way: {error}. "
                f"Move those files, then start this again."
            ) from error

    async def move(self, old: str, new: str, reason: str) -> None:
        """Move the local branch from `old` to `new`, and its clean working copy with it.

        Raises:
            BranchMovedError: the branch is not at `old` any more, so nothing was moved.
        """
        if old == new:
            return
        ref = f"refs/heads/{self.branch}"
        try:
            await git(self.path, "update-ref", "--create-reflog", "-m", reason, ref, new, old)
        except GitFailedError as error:
            if await self.head() == old:
                raise
            raise BranchMovedError(
                f"{self.branch} of {self.name} was moved by somebody else in this moment: look "
                f"at it, then start this again."
            ) from error
        await self.follow(old, new)

    async def follow(self, old: str, new: str) -> None:
        """Bring a working copy that still shows `old` to `new`; leave any other as it is.

        git checks each file (two-tree `read-tree -m`), so local changes are never overwritten.
        """
        path = await self.checked_out()
        if path and await _matches(path, old):
            await git(path, "read-tree", "-m", "-u", old, new)

    async def push(self, *refspecs: str) -> None:
        """Push without force; nothing to do where there is no remote.

        Raises:
            ActionError: the remote refused.
            OutcomeUnknownError: the connection broke, or took too long.
        """
        if self.remote is None:
            return
        try:
            output = await git(
                self.path,
                "push",
                "--porcelain",
                self.remote,
                *refspecs,
                time_limit_s=_NETWORK_LIMIT_S,
            )
        except GitFailedError as error:
            raise _push_error(self.remote, error) from error
        except ActionError as error:
            raise OutcomeUnknownError(f"The push to {self.remote} did not end: {error}") from error
        if "\nDone" not in output:
            raise OutcomeUnknownError(f"{self.remote} did not confirm the push.")


def _push_error(remote: str, error: GitFailedError) -> ActionError | OutcomeUnknownError:
    text = str(error)
    if "rejected" in text or "denied" in text or "does not appear to be" in text:
        return ActionError(f"{remote} refused the push, so nothing was changed: {text}")
    return OutcomeUnknownError(f"The push to {remote} failed: {text}")


async def _matches(path: Path, commit: str) -> bool:
    """Whether index and files that git knows are as in `commit`, and no merge is under way."""
    for options in (["--cached"], []):
        try:
            await git(path, "diff", "--quiet", "--no-ext-diff", *options, commit, "--")
        except GitFailedError as error:
            if error.exit_code == 1:
                return False
            raise
    return True


def _lives(process: int) -> bool:
    """Whether another process with this id is there."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
