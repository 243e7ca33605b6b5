"""`jenkins.build` and `jenkins.wait`.

Permissions of the user whose token it is: Overall/Read, Job/Read and Job/Build of the jobs
concerned, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from core.records import Idempotency, Risk, Scalar
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.jenkins.builds import JenkinsBuilds
from integrations.jenkins.payloads import BuildState, Job
from integrations.text import clip, in_full, web_address

_QUEUE_LIMIT_S = 60.0
_SHOWN = 200


def _no_dots(name: str) -> str:
    if any(set(part) <= {"."} for part in name.split("/")):
        raise ValueError("a folder or job has a name of its own")
    return name


JobName = Annotated[
    str,
    # What Jenkins forbids in names; `%2F` is how it writes a branch's slash.
    StringConstraints(pattern=r"^[^?*\\!@#$^&|<>\[\]:;\x00-\x1f]+$", min_length=1, max_length=300),
    AfterValidator(_no_dots),
]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")]


class Scope:
    """The jobs that actions may touch, as patterns (`shop/*`); none means all that the user may.

    Args:
        file: named in messages.
    """

    def __init__(self, file: str, patterns: Sequence[str]) -> None:
        self._file = file
        self._patterns = patterns

    def check(self, job: str) -> None:
        """Refuse other jobs.

        Raises:
            ActionError: it is not in scope.
        """
        if self._patterns and not any(fnmatchcase(job, pattern) for pattern in self._patterns):
            raise ActionError(
                f"{job} is not among the jobs that {self._file} allows: "
                f"{', '.join(self._patterns)}."
            )


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    job: JobName = Field(description="the full name, with its folders: `team/deploy`")
    accept_unstable: bool = Field(
        default=False, description="whether UNSTABLE (tests failed) counts as success"
    )

    def accepts(self, build: BuildState) -> bool:
        """Whether it ended as it should."""
        return build.result == "SUCCESS" or (self.accept_unstable and build.result == "UNSTABLE")


class BuildArguments(_Arguments):
    """What to build, how, and how long to wait for its end."""

    parameters: dict[ParameterName, Scalar] = Field(default_factory=dict, max_length=50)
    key_parameter: ParameterName | None = Field(
        default=None, description="a text parameter of the job that is given the step's key"
    )
    wait_minutes: int = Field(default=0, ge=0, le=240)


class WaitArguments(_Arguments):
    """Which build, and how long to wait for its end."""

    number: int = Field(ge=1, le=2**53 - 1)
    minutes: int = Field(default=30, ge=0, le=240)


class Build(Action[BuildArguments]):
    """Start a build, and wait for its end where that is asked.

    KEYED where the job has a parameter for the key, by which its own build is recognised; else
    NONE: each request is a new build.
    """

    name: ClassVar[str] = "jenkins.build"
    summary: ClassVar[str] = "Start a Jenkins build"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = BuildArguments

    def __init__(self, builds: JenkinsBuilds, scope: Scope) -> None:
        self._builds = builds
        self._scope = scope

    def idempotency_of(self, arguments: BuildArguments) -> Idempotency:
        """See `Action.idempotency_of`."""
        return Idempotency.KEYED if arguments.key_parameter else Idempotency.NONE

    def describe(self, arguments: BuildArguments) -> str:
        """See `Action.describe`."""
        given = ", ".join(f"{n}={clip(v, _SHOWN)}" for n, v in _texts(arguments).items())
        wait = f", and wait {arguments.wait_minutes} min for it" if arguments.wait_minutes else ""
        return f"Build the Jenkins job {arguments.job}{f' with {given}' if given else ''}{wait}"

    async def preview(self, arguments: BuildArguments) -> str | None:
        """See `Action.preview`. The job as it is; Jenkins has no dry run."""
        job = await self._job(arguments)
        last = job.last_build
        before = f"#{last.number}, {clip(last.result or 'building', 40)}" if last else "none"
        kept = sorted(set(job.parameters) - set(arguments.parameters))
        defaults = f"\nwith their defaults: {clip(', '.join(kept), 500)}" if kept else ""
        what = f"last build: {before}{defaults}\n{web_address(job.url)}".rstrip()
        return what + in_full(_texts(arguments), _SHOWN)

    async def execute(self, arguments: BuildArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        job = await self._job(arguments)
        key = arguments.key_parameter
        item = None
        if key is not None and context.repeated:
            item = await self._builds.started_with(arguments.job, key, context.key)
        if item is None:
            parameters = _texts(arguments) | ({key: context.key} if key is not None else {})
            number = await self._builds.start(
                arguments.job, parameters, declared=bool(job.parameters)
            )
        else:
            number = item.id
        if item is not None and item.executable is not None:
            return await self._follow(arguments, item.executable.number)
        return await self._from_queue(arguments, number)

    async def _from_queue(self, arguments: BuildArguments, item: int) -> ActionResult:
        limit_s = max(_QUEUE_LIMIT_S, arguments.wait_minutes * 60.0)
        try:
            found = await self._builds.leave_queue(item, limit_s)
        except ActionError as error:
            raise OutcomeUnknownError(
                f"A build of {arguments.job} was asked for (item {item} of the queue), and then: "
                f"{error}"
            ) from error
        if found.cancelled:
            raise ActionError(f"Item {item} of Jenkins' queue, {arguments.job}, was cancelled.")
        if found.executable is not None:
            return await self._follow(arguments, found.executable.number)
        why = clip(found.why, 200) or "no reason is given"
        if arguments.wait_minutes:
            raise OutcomeUnknownError(
                f"{arguments.job} is still in Jenkins' queue after {limit_s / 60:.0f} min: {why}"
            )
        return ActionResult(
            summary=f"{arguments.job} waits in Jenkins' queue: {why}", values={"queue_id": item}
        )

    async def _follow(self, arguments: BuildArguments, number: int) -> ActionResult:
        """Wait for the end of a build that is there already, where that is asked."""
        try:
            build = await self._builds.end(arguments.job, number, arguments.wait_minutes * 60.0)
        except ActionError as error:
            raise OutcomeUnknownError(
                f"{arguments.job} #{number} was started, and then: {error}"
            ) from error
        if arguments.wait_minutes and build.building:
            raise OutcomeUnknownError(
                f"{arguments.job} #{number} still builds after {arguments.wait_minutes} min: "
                f"{web_address(build.url)}"
            )
        if not build.building and not arguments.accepts(build):
            raise _failed(arguments.job, build)
        return _result(arguments.job, build)

    async def _job(self, arguments: BuildArguments) -> Job:
        """The job, which takes the parameters that it is given.

        Jenkins ignores those that a job does not declare, without a word.
        """
        self._scope.check(arguments.job)
        job = await self._builds.job(arguments.job)
        if not job.buildable:
            raise ActionError(f"{arguments.job} cannot be built: it is disabled, or a folder.")
        declared, given = job.parameters, _texts(arguments)
        named = {*given, *([arguments.key_parameter] if arguments.key_parameter else [])}
        if unknown := sorted(named - set(declared)):
            raise ActionError(
                f"{arguments.job} declares no parameter {', '.join(unknown)}; it has: "
                f"{clip(', '.join(sorted(declared)), 500) or 'none'}."
            )
        if arguments.key_parameter in given:
            raise ActionError(f"{arguments.key_parameter} is for the key: give it no value.")
        for name, value in given.items():
            choices = declared[name].choices
            if choices is not None and value not in choices:
                raise ActionError(
                    f"{name} is one of {clip(', '.join(choices), 500)}, not {clip(value, 100)}."
                )
        return job


class Wait(Action[WaitArguments]):
    """Wait for the end of a build."""

    name: ClassVar[str] = "jenkins.wait"
    summary: ClassVar[str] = "Wait for a Jenkins build"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = WaitArguments

    def __init__(self, builds: JenkinsBuilds, scope: Scope) -> None:
        self._builds = builds
        self._scope = scope

    def describe(self, arguments: WaitArguments) -> str:
        """See `Action.describe`."""
        return f"Wait {arguments.minutes} min for {arguments.job} #{arguments.number} on Jenkins"

    async def execute(self, arguments: WaitArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        self._scope.check(arguments.job)
        build = await self._builds.end(arguments.job, arguments.number, arguments.minutes * 60.0)
        if build.building:
            raise ActionError(
                f"{arguments.job} #{arguments.number} still builds after {arguments.minutes} min: "
                f"{web_address(build.url)}"
            )
        if not arguments.accepts(build):
            raise _failed(arguments.job, build)
        return _result(arguments.job, build)


def _texts(arguments: BuildArguments) -> dict[str, str]:
    """The parameters as Jenkins' forms write them."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in arguments.parameters.items()
    }


def _failed(job: str, build: BuildState) -> ActionError:
    return ActionError(
        f"{job} #{build.number} ended as {clip(build.result, 40) or 'nothing'}: "
        f"{web_address(build.url)}"
    )


def _result(job: str, build: BuildState) -> ActionResult:
    word = "builds" if build.building else clip(build.result, 40)
    url = web_address(build.url)
    return ActionResult(
        summary=f"{job} #{build.number}: {word}",
        values={
            "number": build.number,
            "result": "" if build.building else clip(build.result, 40),
            "duration_s": build.duration / 1000,
            "url": url,
        },
        link=url or None,
    )
