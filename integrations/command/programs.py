"""What may be run, with which arguments: the allow-list of `command.run` and `ssh.run`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from core.errors import InvalidRequestError
from core.records import Frozen, Idempotency, Risk
from core.workflows.definition import Duration

P = TypeVar("P", bound="AllowedProgram")


class AllowedProgram(Frozen):
    """A program that may be run.

    Attributes:
        arguments: for each argument, in order, the regular expression that all of it must match.
        repeat_last: the last expression holds for any number of arguments, also none.
        idempotency: `natural` where running it twice is like running it once; `keyed` where it
            recognises `$COUNTERSIGN_KEY`, the same for each attempt of one step.
        dry_run: arguments to add for a preview; none means that it has no preview.
        output_limit: bytes of output that are kept, half from the start and half from the end.
    """

    path: Path
    arguments: tuple[str, ...] = Field(default=(), max_length=64)
    repeat_last: bool = False
    risk: Risk = Risk.CHANGE
    idempotency: Idempotency = Idempotency.NONE
    dry_run: tuple[str, ...] = Field(default=(), max_length=16)
    time_limit: Duration = timedelta(minutes=5)
    output_limit: int = Field(default=64 * 1024, ge=1024, le=4 * 1024 * 1024)

    @field_validator("path")
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


class ProgramArguments(BaseModel):
    """Which program, with which arguments."""

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


def allowed(programs: Mapping[str, P], arguments: ProgramArguments, file: str) -> P:
    """The program that is asked for.

    Raises:
        InvalidRequestError: it is not listed in `file`, or an argument does not fit.
    """
    program = programs.get(arguments.program)
    if program is None:
        known = ", ".join(sorted(programs)) or "none"
        raise InvalidRequestError(
            f"'{arguments.program}' is not an allowed program ({file}); allowed: {known}."
        )
    program.check(arguments.program, arguments.arguments)
    return program


def ending(program: AllowedProgram, exit_code: int | None) -> str:
    """How it ended, in words; None is the time limit, negative a signal."""
    if exit_code is None:
        return f"was killed after its time limit of {program.time_limit.total_seconds():g} s"
    if exit_code < 0:
        return f"was ended by signal {-exit_code}"
    return f"ended with exit code {exit_code}"
