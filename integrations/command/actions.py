"""`command.run`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from core.errors import InvalidRequestError
from core.records import Frozen, Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from core.workflows.definition import Duration
from integrations.command.process import Finished, run

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Program(Frozen):
    """A program that may be run, and how.

    Attributes:
        arguments: for each argument, in order, the regular expression that all of it must match.
        repeat_last: the last expression holds for any number of arguments, also none.
        idempotency: `natural` where running it twice is like running it once; `keyed` where it
            recognises `$COUNTERSIGN_KEY`, the same for each attempt of one step.
        dry_run: arguments to add for a preview; none means that it has no preview.
        environment: variables beside PATH, LANG and HOME.
        output_limit: bytes of output that are kept, half from the start and half from the end.
    """

    path: Path
    arguments: tuple[str, ...] = Field(default=(), max_length=64)
    repeat_last: bool = False
    risk: Risk = Risk.CHANGE
    idempotency: Idempotency = Idempotency.NONE
    dry_run: tuple[str, ...] = Field(default=(), max_length=16)
    directory: Path = Path("/")
    environment: dict[str, str] = Field(default_factory=dict)
    time_limit: Duration = timedelta(minutes=5)
    output_limit: int = Field(default=64 * 1024, ge=1024, le=4 * 1024 * 1024)

    @field_validator("path", "directory")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError("write the absolute path")
        return path

    @field_validator("arguments")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return patterns

    def check(self, name: str, given: tuple[str, ...]) -> None:
        """Refuse arguments that are not allowed.

        Raises:
            InvalidRequestError: the message names the first that does not fit.
        """
        patterns = list(self.arguments)
        if self.repeat_last and patterns:
            last = patterns.pop()
            patterns += [last] * (len(given) - len(patterns))
        if len(given) != len(patterns):
            least = "at least " if self.repeat_last else ""
            raise InvalidRequestError(
                f"{name} takes {least}{len(patterns)} arguments, not {len(given)}."
            )
        for place, (pattern, argument) in enumerate(zip(patterns, given, strict=True), 1):
            if not re.fullmatch(pattern, argument):
                raise InvalidRequestError(f"{name}: argument {place} must match {pattern}.")


class RunArguments(BaseModel):
    """Which program, with which arguments; no shell ever sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    program: str = Field(max_length=80)
    arguments: tuple[Annotated[str, StringConstraints(max_length=2000)], ...] = Field(
        default=(), max_length=64
    )

    @field_validator("arguments")
    @classmethod
    def _no_nul(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        if any("\0" in argument for argument in arguments):
            raise ValueError("an argument cannot hold a NUL character")
        return arguments


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
            raise ActionError(f"The dry run {_ending(program, finished)}.\n{finished.output}")
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
            raise raised(f"{arguments.program} {_ending(program, finished)}.\n{finished.output}")
        return ActionResult(
            summary=f"{arguments.program} ended with exit code 0",
            output=finished.output,
            values={"exit_code": 0, "output": finished.output.strip()[:4000]},
        )

    def _program(self, arguments: RunArguments) -> Program:
        program = self._programs.get(arguments.program)
        if program is None:
            allowed = ", ".join(sorted(self._programs)) or "none"
            raise InvalidRequestError(
                f"'{arguments.program}' is not an allowed program ({self._file}); "
                f"allowed: {allowed}."
            )
        program.check(arguments.program, arguments.arguments)
        return program

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


def _ending(program: Program, finished: Finished) -> str:
    if finished.exit_code is None:
        return f"was killed after its time limit of {program.time_limit.total_seconds():g} s"
    if finished.exit_code < 0:
        return f"was ended by signal {-finished.exit_code}"
    return f"ended with exit code {finished.exit_code}"
