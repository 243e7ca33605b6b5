"""`ssh.run`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.command.process import Finished
from integrations.command.programs import AllowedProgram, ProgramArguments, allowed, ending
from integrations.ssh.connection import FAILED, TIMED_OUT, Connections, SshHost


class SshArguments(ProgramArguments):
    """Which program on which host, with which arguments."""

    host: str = Field(min_length=1, max_length=253)


class RunOverSsh(Action[SshArguments]):
    """Run one of the allowed programs on a host. Risk and idempotency are each program's own."""

    name: ClassVar[str] = "ssh.run"
    summary: ClassVar[str] = "Run an allowed program on another machine"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = SshArguments

    def __init__(
        self,
        file: str,
        connections: Connections,
        hosts: Mapping[str, SshHost],
        programs: Mapping[str, AllowedProgram],
    ) -> None:
        self._file = file
        self._connections = connections
        self._hosts = hosts
        self._programs = programs

    def risk_of(self, arguments: SshArguments) -> Risk:
        """See `Action.risk_of`."""
        return self._program(arguments).risk

    def idempotency_of(self, arguments: SshArguments) -> Idempotency:
        """See `Action.idempotency_of`."""
        return self._program(arguments).idempotency

    def describe(self, arguments: SshArguments) -> str:
        """See `Action.describe`. What is run, quoted as a shell would need it, and where."""
        program = self._program(arguments)
        line = shlex.join([str(program.path), *arguments.arguments]) + f" on {arguments.host}"
        return "Run " + "".join(c if c.isprintable() else "\ufffd" for c in line)

    async def preview(self, arguments: SshArguments) -> str | None:
        """See `Action.preview`. The program itself with its `dry_run` arguments added."""
        program = self._program(arguments)
        if not program.dry_run:
            return None
        finished = await self._run(program, arguments, program.dry_run, "preview")
        if finished.exit_code != 0:
            how = _ending(program, finished)
            raise ActionError(f"The dry run on {arguments.host} {how}.\n{finished.output}")
        return finished.output

    async def execute(self, arguments: SshArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`. An exit code other than 0 is an ActionError."""
        program = self._program(arguments)
        await self._reach(arguments.host)
        finished = await self._run(program, arguments, (), context.key)
        what = f"{arguments.program} on {arguments.host}"
        if finished.exit_code != 0:
            unsure = _halfway(finished) and program.risk is not Risk.READ
            raised = OutcomeUnknownError if unsure else ActionError
            raise raised(f"{what} {_ending(program, finished)}.\n{finished.output}")
        return ActionResult(
            summary=f"{what} ended with exit code 0",
            output=finished.output,
            values={
                "host": arguments.host,
                "exit_code": 0,
                "output": finished.output.strip()[:4000],
            },
        )

    def _program(self, arguments: SshArguments) -> AllowedProgram:
        if arguments.host not in self._hosts:
            known = ", ".join(sorted(self._hosts)[:50]) or "none"
            raise InvalidRequestError(
                f"'{arguments.host}' is not a host of {self._file}; there are: {known}."
            )
        return allowed(self._programs, arguments, self._file)

    async def _reach(self, host: str) -> None:
        """Say hello first: what fails here was certainly not run, and nobody need be asked."""
        try:
            finished = await self._connections.greet(host)
        except OSError as error:
            raise ActionError(f"The ssh client cannot be started: {error.strerror}.") from error
        if finished.exit_code != 0:
            said = finished.output.strip() or "no answer in time"
            raise ActionError(f"{host} cannot be reached, nothing was run: {said}")

    async def _run(
        self,
        program: AllowedProgram,
        arguments: SshArguments,
        more: tuple[str, ...],
        key: str,
    ) -> Finished:
        given = (*arguments.arguments, *more)
        try:
            return await self._connections.run(arguments.host, program, given, key)
        except OSError as error:
            raise ActionError(f"The ssh client cannot be started: {error.strerror}.") from error


def _halfway(finished: Finished) -> bool:
    """Whether the program may have been cut off, or may still run."""
    code = finished.exit_code
    return code is None or code < 0 or code in {FAILED, TIMED_OUT, 128 + 9}


def _ending(program: AllowedProgram, finished: Finished) -> str:
    if finished.exit_code == FAILED:
        return "lost its connection, or ended with exit code 255"
    if finished.exit_code in {TIMED_OUT, 128 + 9}:
        return ending(program, None)
    return ending(program, finished.exit_code)
