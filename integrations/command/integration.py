"""The kind `command`."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field

from core.errors import ConfigurationError
from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action
from integrations.base import Health, Integration, check_secret_names, read_settings
from integrations.command.actions import Program, RunCommand


class CommandSettings(Frozen):
    """Settings of the kind `command`: the programs that may be run, by the name workflows use."""

    programs: dict[str, Program] = Field(min_length=1, max_length=200)


class CommandIntegration(Integration):
    """Runs allow-listed programs with our own user's rights. Give that user few."""

    kind: ClassVar[str] = "command"

    def __init__(self, integration_id: str, settings: CommandSettings) -> None:
        self.id = integration_id
        self._programs = settings.programs

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:  # noqa: ARG003
        """See `Integration.create`."""
        settings = read_settings(record, CommandSettings)
        check_secret_names(record, frozenset())
        problems = [
            f"integrations/{record.id}.yaml: settings.programs.{name}: {problem}."
            for name, program in settings.programs.items()
            if (problem := _problem(program))
        ]
        if problems:
            raise ConfigurationError("\n".join(problems))
        return cls(record.id, settings)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return (RunCommand(f"integrations/{self.id}.yaml", self._programs),)

    async def health(self) -> Health:
        """See `Integration.health`. The programs are still there."""
        problems = [
            f"{name}: {problem}"
            for name, program in self._programs.items()
            if (problem := _problem(program))
        ]
        return Health(ready=not problems, detail="; ".join(problems) or "all programs are there")


def _problem(program: Program) -> str | None:
    """What is wrong with it on this machine."""
    if not program.path.is_file():
        return f"there is no program {program.path}"
    if not os.access(program.path, os.X_OK):
        return f"{program.path} is not executable; run `chmod +x {program.path}`"
    if program.path.stat().st_mode & stat.S_IWOTH:
        return f"everybody can change {program.path}; run `chmod o-w {program.path}`"
    if not program.directory.is_dir():
        return f"there is no directory {program.directory}"
    return None
