"""What workflows can do in PagerDuty. A key of a user who may respond to the services concerned is
enough; an account's key with write access can do far more than that."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from integrations.calling import SystemClient
from integrations.pagerduty.payloads import Incident, IncidentAnswer, NoteAnswer, NotesAnswer
from integrations.text import clip, tidy, web_address


class IncidentArguments(BaseModel):
    """Which incident: the id of its address (`Q1K4ABCD`), not its number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    incident_id: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{5,30}$")]


class NoteArguments(IncidentArguments):
    """What is written to it."""

    content: str = Field(min_length=1, max_length=5000)


class PagerDutyApi:
    """The incidents that actions may touch.

    Args:
        sender: `From` of changes: the e-mail address of a PagerDuty user, needed with an account's
            key; None with a user's own.
        services: patterns of names or ids; none: all that the key can see.
    """

    def __init__(
        self,
        client: SystemClient,
        integration_id: str,
        sender: str | None,
        services: tuple[str, ...],
    ) -> None:
        self._client = client
        self._file = f"integrations/{integration_id}.yaml"
        self._from: Mapping[str, str] = {"From": sender} if sender else {}
        self._services = services

    async def incident(self, incident_id: str) -> Incident:
        """The incident.

        Raises:
            ActionError: it is not there, or of a service that is not allowed.
        """
        answer = await self._client.get(f"/incidents/{incident_id}")
        incident = answer.read(IncidentAnswer).incident
        names = (clip(incident.service.summary, 200), incident.service.id)
        allowed = any(fnmatchcase(name, one) for name in names for one in self._services)
        if self._services and not allowed:
            raise ActionError(
                f"The incident is of the service {names[0]}, which is not among those that "
                f"{self._file} allows: {', '.join(self._services)}."
            )
        return incident

    async def acknowledge(self, incident_id: str) -> None:
        """Acknowledge it; a second time changes nothing."""
        data: JsonValue = {"incident": {"type": "incident", "status": "acknowledged"}}
        await self._client.call(
            "PUT", f"/incidents/{incident_id}", data=data, headers=self._from, idempotent=True
        )

    async def has_note(self, incident_id: str, mark: str) -> bool:
        """Whether a note ends with `mark`; one in the middle is somebody's text."""
        answer = await self._client.get(f"/incidents/{incident_id}/notes")
        return any(note.content.endswith(mark) for note in answer.read(NotesAnswer).notes)

    async def add_note(self, incident_id: str, content: str) -> None:
        """Write a note; twice makes two.

        Raises:
            OutcomeUnknownError: it may have been written.
        """
        answer = await self._client.call(
            "POST",
            f"/incidents/{incident_id}/notes",
            data={"note": {"content": content}},
            headers=self._from,
            idempotent=False,
        )
        try:
            answer.read(NoteAnswer)
        except ActionError as error:
            raise OutcomeUnknownError(str(error)) from error


class Acknowledge(Action[IncidentArguments]):
    """Acknowledge an incident, so that PagerDuty stops escalating it. NATURAL."""

    name: ClassVar[str] = "pagerduty.acknowledge"
    summary: ClassVar[str] = "Acknowledge a PagerDuty incident"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = IncidentArguments

    def __init__(self, api: PagerDutyApi) -> None:
        self._api = api

    def describe(self, arguments: IncidentArguments) -> str:
        """See `Action.describe`."""
        return f"Acknowledge the PagerDuty incident {arguments.incident_id}"

    async def preview(self, arguments: IncidentArguments) -> str | None:
        """See `Action.preview`. The incident as it is now."""
        return _shown(await self._open(arguments))

    async def execute(self, arguments: IncidentArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        incident = await self._open(arguments)
        done = incident.status == "acknowledged"
        if not done:
            await self._api.acknowledge(incident.id)
        verb = "is acknowledged already" if done else "is acknowledged"
        return _result(incident, f"Incident #{incident.incident_number} {verb}")

    async def _open(self, arguments: IncidentArguments) -> Incident:
        incident = await self._api.incident(arguments.incident_id)
        if incident.status not in {"triggered", "acknowledged"}:
            raise ActionError(
                f"Incident #{incident.incident_number} is {clip(incident.status, 40)}: there is "
                "nothing to acknowledge."
            )
        return incident


class AddNote(Action[NoteArguments]):
    """Write a note to an incident. KEYED by a mark at the note's end."""

    name: ClassVar[str] = "pagerduty.note"
    summary: ClassVar[str] = "Write a note to a PagerDuty incident"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = NoteArguments

    def __init__(self, api: PagerDutyApi) -> None:
        self._api = api

    def describe(self, arguments: NoteArguments) -> str:
        """See `Action.describe`."""
        return (
            f"Write to the PagerDuty incident {arguments.incident_id}: "
            f"{clip(arguments.content, 1000)}"
        )

    async def preview(self, arguments: NoteArguments) -> str | None:
        """See `Action.preview`. The incident as it is now, and the note."""
        incident = await self._api.incident(arguments.incident_id)
        return f"{_shown(incident)}\n\n{_content(arguments)}"

    async def execute(self, arguments: NoteArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        incident = await self._api.incident(arguments.incident_id)
        mark = f"[countersign:{context.key}]"
        done = context.repeated and await self._api.has_note(incident.id, mark)
        if not done:
            await self._api.add_note(incident.id, f"{_content(arguments)} {mark}")
        verb = "has the note already" if done else "has a new note"
        return _result(incident, f"Incident #{incident.incident_number} {verb}")


def _content(arguments: NoteArguments) -> str:
    return tidy(arguments.content, 5000)


def _shown(incident: Incident) -> str:
    who = ", ".join(clip(one.assignee.summary, 100) for one in incident.assignments[:10])
    return (
        f"#{incident.incident_number} {clip(incident.title, 300)}\n"
        f"{clip(incident.status, 40)}, urgency {clip(incident.urgency, 40)}, service "
        f"{clip(incident.service.summary, 200)}, assigned to {who or 'nobody'}\n"
        f"{web_address(incident.html_url)}"
    ).strip()


def _result(incident: Incident, summary: str) -> ActionResult:
    url = web_address(incident.html_url)
    return ActionResult(
        summary=f"{summary}: {clip(incident.title, 300)}",
        values={"incident_id": incident.id, "number": incident.incident_number, "url": url},
        link=url or None,
    )
