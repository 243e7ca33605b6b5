"""Manual jobs.

https://docs.gitlab.com/api/jobs/#run-a-job
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.calling import SystemClient
from integrations.gitlab.actions.scope import Number, ProjectArguments, Scope
from integrations.text import clip, in_full, web_address

_WAITING = frozenset({"manual", "scheduled"})
_SHOWN = 60


class PlayArguments(ProjectArguments):
    """Which job to start, with which variables."""

    job_id: Number
    variables: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")],
        Annotated[str, StringConstraints(max_length=4000)],
    ] = Field(default_factory=dict, max_length=50)

    @property
    def job(self) -> str:
        """Where the API has it."""
        return f"{self.path}/jobs/{self.job_id}"


class JobState(BaseModel):
    """A job as the API shows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: int
    name: str = ""
    stage: str = ""
    status: str
    ref: str | None = ""
    web_url: str = ""


class PlayJob(Action[PlayArguments]):
    """Start a job that waits for somebody to start it. KEYED: once it waits no more, it was
    started."""

    name: ClassVar[str] = "gitlab.play"
    summary: ClassVar[str] = "Start a manual GitLab job"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = PlayArguments

    def __init__(self, client: SystemClient, scope: Scope) -> None:
        self._client = client
        self._scope = scope

    def describe(self, arguments: PlayArguments) -> str:
        """See `Action.describe`."""
        given = ", ".join(f"{n}={clip(v, _SHOWN)}" for n, v in sorted(arguments.variables.items()))
        return f"Start manual job {arguments.job_id} of {arguments.project}" + (
            f" with {given}" if given else ""
        )

    async def preview(self, arguments: PlayArguments) -> str | None:
        """See `Action.preview`."""
        job = await self._job(arguments)
        self._check(arguments, job)
        return (
            f"{clip(job.name, 200)} (stage {clip(job.stage, 100)}): {clip(job.status, 40)}\n"
            f"{clip(job.ref, 250)}\n{web_address(job.web_url)}"
        ) + in_full(arguments.variables, _SHOWN)

    async def execute(self, arguments: PlayArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        job = await self._job(arguments)
        if context.repeated and job.status not in _WAITING:
            return self._result(job, "was started already")
        self._check(arguments, job)
        variables: list[JsonValue] = [
            {"key": name, "value": value} for name, value in arguments.variables.items()
        ]
        answer = await self._client.call(
            "POST",
            f"{arguments.job}/play",
            data={"job_variables_attributes": variables} if variables else None,
            idempotent=False,
        )
        return self._result(answer.read(JobState), "is started")

    async def _job(self, arguments: PlayArguments) -> JobState:
        self._scope.check(arguments.project)
        return (await self._client.get(arguments.job)).read(JobState)

    @staticmethod
    def _check(arguments: PlayArguments, job: JobState) -> None:
        if job.status not in _WAITING:
            raise ActionError(
                f"Job {arguments.job_id} of {arguments.project} is {clip(job.status, 40)}: only "
                "one that waits to be started by hand is started."
            )

    @staticmethod
    def _result(job: JobState, verb: str) -> ActionResult:
        link = web_address(job.web_url)
        return ActionResult(
            summary=f"{clip(job.name, 100) or f'job {job.id}'} {verb}",
            values={"job_id": job.id, "status": clip(job.status, 40), "url": link},
            link=link or None,
        )
