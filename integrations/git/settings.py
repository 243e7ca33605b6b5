"""Settings of one repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from core.records import Frozen

BranchName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/+@-]*$", max_length=200)
]
RemoteName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)
]


class Author(Frozen):
    """Who our commits and tags are by."""

    name: str = Field(default="Countersign", pattern=r"^[^<>\n\x00]{1,100}$")
    email: str = Field(default="countersign@localhost", pattern=r"^[^<>\s\x00]{1,200}$")

    @property
    def environment(self) -> dict[str, str]:
        """As git reads it."""
        return {
            "GIT_AUTHOR_NAME": self.name,
            "GIT_AUTHOR_EMAIL": self.email,
            "GIT_COMMITTER_NAME": self.name,
            "GIT_COMMITTER_EMAIL": self.email,
        }


class RepositorySettings(Frozen):
    """One repository that actions may change.

    Attributes:
        path: a working copy or a bare repository on this machine.
        branch: the only branch that is changed.
        remote: name of the remote that has the last word and is pushed to; None: stay local.
    """

    path: Path
    branch: BranchName = "main"
    remote: RemoteName | None = None
    author: Author = Author()

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()
