"""`command.run`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.command.process import Finished, run
from integrations.command.programs import AllowedProgram, ProgramArguments, allowed, ending

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Program(AllowedProgram):
    """A program of this machine.

    Attributes:
        environment: variables beside PATH, LANG and HOME.
    """

    directory: Path = Path("/")
    environment: dict[str, str] = Field(default_factory=dict)

    @field_validator("directory")
    @classmethod
    def _absolute_directory(cls, directory: Path) -> Path:
        if not directory.is_absolute():
            raise ValueError("write the absolute path")
        return directory


class RunArguments(ProgramArguments):
    """Which program, with which arguments; no shell ever sees them."""


class RunCommand(Action[RunArguments]):
    """Run one of the allowed programs. Risk and idempotency are each program's own."""

    name: ClassVar[str] = "command.run"
    summary: ClassVar[str] = "Run an allowed program on this machine"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = RunArguments

    def __init__(self, file: str, programs: Mapping[str, Program]) -> None:
        self._file = file
        self._programs = dict(programs)

    def risk_of(self, arguments: RunArguments) -> Risk:
        """See `Action.risk_of`."""
        return self._program(arguments).risk

    def idempotency_of(self, arguments: RunArguments) -> Idempotency:
        """See `Action.idempotency_of`."""
        return self._program(arguments).idempotency

    def describe(self, arguments: RunArguments) -> str:
        """See `Action.describe`. What is run, quoted as a shell would need it, and where."""
        program = self._program(arguments)
        line = shlex.join([str(program.path), *arguments.arguments])
        line += f" in {program.directory}"
        return "Run " + "".join(c if c.isprintable() else "�" for c in line)

    async def preview(self, arguments: RunArguments) -> str | None:
        """See `Action.preview`. The program itself with its `dry_run` arguments added."""
        program = self._program(arguments)
        if not program.dry_run:
            return None
        finished = await self._start(program, (*arguments.arguments, *program.dry_run), "preview")
        if finished.exit_code != 0:
            how = ending(program, finished.exit_code)
            raise ActionError(f"The dry run {how}.\n{finished.output}")
        return finished.output

    async def execute(self, arguments: RunArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`. An exit code other than 0 is an ActionError."""
        program = self._program(arguments)
        finished = await self._start(program, arguments.arguments, context.key)
        if finished.exit_code != 0:
            # A program that failed says so; one that was killed may have been halfway.
            killed = finished.exit_code is None or finished.exit_code < 0
            unsure = killed and program.risk is not Risk.READ
            raised = OutcomeUnknownError if unsure else ActionError
            how = ending(program, finished.exit_code)
            raise raised(f"{arguments.program} {how}.\n{finished.output}")
        return ActionResult(
            summary=f"{arguments.program} ended with exit code 0",
            output=finished.output,
            values={"exit_code": 0, "output": finished.output.strip()[:4000]},
        )

    def _program(self, arguments: RunArguments) -> Program:
        return allowed(self._programs, arguments, self._file)

    async def _start(self, program: Program, arguments: tuple[str, ...], key: str) -> Finished:
        environment = {
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            "HOME": str(program.directory),
            **program.environment,
            "COUNTERSIGN_KEY": key,
        }
        try:
            return await run(
                program.path,
                arguments,
                directory=program.directory,
                environment=environment,
                time_limit_s=program.time_limit.total_seconds(),
                output_limit=program.output_limit,
            )
        except OSError as error:
            raise ActionError(f"{program.path} cannot be started: {error.strerror}.") from error
