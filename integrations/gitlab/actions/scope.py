"""Which projects actions touch, and how they name them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.workflows.actions import ActionError

ProjectPath = Annotated[
    str,
    StringConstraints(
        # `group/project` or `group/subgroup/project`; GitLab's paths begin with no dot
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){1,20}$",
        max_length=255,
    ),
]
Number = Annotated[int, Field(ge=1, le=2**53 - 1)]


class ProjectArguments(BaseModel):
    """Base of all actions' arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: ProjectPath

    @property
    def path(self) -> str:
        """Where the API has the project."""
        return f"/projects/{quote(self.project, safe='')}"


class Scope:
    """The projects that actions may touch, as patterns (`acme/*`); none means all that the token
    can see."""

    def __init__(self, integration_id: str, patterns: tuple[str, ...]) -> None:
        self._file = f"integrations/{integration_id}.yaml"
        self._patterns = tuple(pattern.lower() for pattern in patterns)

    def check(self, project: str) -> None:
        """Refuse other projects.

        Raises:
            ActionError: it is not in scope.
        """
        if self._patterns and not any(fnmatchcase(project.lower(), p) for p in self._patterns):
            raise ActionError(
                f"{project} is not among the projects that {self._file} allows: "
                f"{', '.join(self._patterns)}."
            )
