"""Which repositories actions touch, and how they name them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.workflows.actions import ActionError

RepositoryName = Annotated[
    str,
    StringConstraints(
        # `owner/name`; a name of dots only would climb in the URL's path
        pattern=r"^[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$",
        max_length=140,
    ),
]
Number = Annotated[int, Field(ge=1, le=2**53 - 1)]
CommitId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class RepositoryArguments(BaseModel):
    """Base of all actions' arguments."""

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


def marker(key: str) -> str:
    """What marks a text on GitHub as this attempt's own, unseen by readers."""
    return f"<!-- countersign:{key} -->"


def without_markers(text: str) -> str:
    """Text from outside must not pass for our own earlier effect."""
    return text.replace("<!-- countersign:", "<!-- ")
