"""The configured repositories, and what the arguments of all git actions share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.errors import InvalidRequestError
from integrations.git.repository import Repository

CommitName = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$", to_lower=True)]
SHORT = 12
"""Digits of a commit's name that are shown."""


class RepositoryArguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str = Field(max_length=80, description="its name in the integration's settings")


class Repositories:
    """The configured repositories, by name."""

    def __init__(self, file: str, by_name: Mapping[str, Repository]) -> None:
        self._file = file
        self._by_name = dict(by_name)

    def get(self, name: str) -> Repository:
        """The repository of that name.

        Raises:
            InvalidRequestError: none is configured; the message lists those that are.
        """
        if name not in self._by_name:
            known = ", ".join(sorted(self._by_name)) or "none"
            raise InvalidRequestError(
                f"The repository '{name}' is not configured ({self._file}); known: {known}."
            )
        return self._by_name[name]

    def all(self) -> list[Repository]:
        """Every one."""
        return list(self._by_name.values())
