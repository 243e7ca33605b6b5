"""`buildkite.rebuild` and `buildkite.retry_job`."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.buildkite.payloads import Build, Job
from integrations.calling import Answer, SystemClient
from integrations.text import clip, web_address

_ENDED = frozenset({"passed", "failed", "canceled", "skipped", "not_run"})


class BuildArguments(BaseModel):
    """Which build."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")
    number: int = Field(ge=1, le=10**9)


class JobArguments(BuildArguments):
    """Which job of which build."""

    job_id: str = Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


class Builds:
    """The builds of one organization, of the pipelines that may be touched."""

    def __init__(
        self, file: str, client: SystemClient, organization: str, pipelines: Sequence[str]
    ) -> None:
        self._file = file
        self._client = client
        self._base = f"/organizations/{organization}/pipelines"
        self._pipelines = pipelines

    def path(self, arguments: BuildArguments) -> str:
        """Of the build, below the API's address.

        Raises:
            InvalidRequestError: the pipeline may not be touched.
        """
        slug = arguments.pipeline
        if self._pipelines and not any(fnmatchcase(slug, p) for p in self._pipelines):
            allowed = ", ".join(self._pipelines)
            raise InvalidRequestError(
                f"The pipeline {slug} may not be touched ({self._file}); allowed: {allowed}."
            )
        return f"{self._base}/{slug}/builds/{arguments.number}"

    async def find(self, arguments: BuildArguments) -> Build:
        """The build as it is now."""
        return (await self._client.get(self.path(arguments))).read(Build)

    async def put(self, path: str) -> Answer:
        """Ask for something that happens again each time."""
        return await self._client.call("PUT", path, idempotent=False)


class Rebuild(Action[BuildArguments]):
    """Build the same commit again. Each call makes a new build: after a crash a person is asked."""

    name: ClassVar[str] = "buildkite.rebuild"
    summary: ClassVar[str] = "Build a Buildkite build's commit again"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = BuildArguments

    def __init__(self, builds: Builds) -> None:
        self._builds = builds

    def describe(self, arguments: BuildArguments) -> str:
        """See `Action.describe`."""
        return f"Build {arguments.pipeline} #{arguments.number} again"

    async def preview(self, arguments: BuildArguments) -> str | None:
        """See `Action.preview`. The build as it is now."""
        return _seen(arguments, _ended(await self._builds.find(arguments)))

    async def execute(self, arguments: BuildArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        _ended(await self._builds.find(arguments))
        answer = await self._builds.put(self._builds.path(arguments) + "/rebuild")
        new = answer.read(Build)
        return ActionResult(
            summary=f"{arguments.pipeline} #{arguments.number} is built again as #{new.number}",
            values={"number": new.number, "build_id": clip(new.id, 100)},
            link=web_address(new.web_url) or None,
        )


class RetryJob(Action[JobArguments]):
    """Run one job of a build again. Buildkite retries a job once and says in which new one, which
    is how a repeated attempt knows its own effect."""

    name: ClassVar[str] = "buildkite.retry_job"
    summary: ClassVar[str] = "Run one job of a Buildkite build again"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = JobArguments

    def __init__(self, builds: Builds) -> None:
        self._builds = builds

    def describe(self, arguments: JobArguments) -> str:
        """See `Action.describe`."""
        return f"Run the job {arguments.job_id} of {arguments.pipeline} #{arguments.number} again"

    async def preview(self, arguments: JobArguments) -> str | None:
        """See `Action.preview`. The job as it is now."""
        build = await self._builds.find(arguments)
        job = _job(build, arguments)
        if job.retried:
            raise ActionError(f"{_called(job)} was retried already: give the id of the newer job.")
        return f"{_called(job)}, {clip(job.state, 40)}\n{_seen(arguments, build)}"

    async def execute(self, arguments: JobArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        job = _job(await self._builds.find(arguments), arguments)
        if not job.retried:
            path = f"{self._builds.path(arguments)}/jobs/{arguments.job_id}/retry"
            await self._builds.put(path)
        elif not context.repeated:
            raise ActionError(f"{_called(job)} was retried already: give the id of the newer job.")
        try:
            build = await self._builds.find(arguments)
            new = _job(build, arguments).retried_in_job_id
        except ActionError as error:
            raise OutcomeUnknownError(f"{_called(job)} runs again, and then: {error}") from error
        return ActionResult(
            summary=f"{_called(job)} of {arguments.pipeline} #{arguments.number} runs again",
            values={"job_id": clip(new, 100)},
            link=web_address(build.web_url) or None,
        )


def _ended(build: Build) -> Build:
    if build.state not in _ENDED:
        raise ActionError(
            f"Build #{build.number} has not ended ({clip(build.state, 40)}): wait for its end, or "
            "cancel it."
        )
    return build


def _job(build: Build, arguments: JobArguments) -> Job:
    job = next((job for job in build.jobs if job.id == arguments.job_id), None)
    if job is None:
        raise ActionError(
            f"{arguments.pipeline} #{arguments.number} has no job {arguments.job_id}."
        )
    return job


def _called(job: Job) -> str:
    return f"The job {clip(job.name, 100) or clip(job.id, 100)}"


def _seen(arguments: BuildArguments, build: Build) -> str:
    line = f"{arguments.pipeline} #{arguments.number}, {clip(build.state, 40)}"
    line += f", {clip(build.branch, 100)} at {clip(build.commit, 12)}" if build.branch else ""
    title = clip((build.message or "").partition("\n")[0], 200)
    return f"{line}: {title}" if title else line
