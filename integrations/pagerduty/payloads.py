"""What PagerDuty posts and answers, as far as we use it.

https://developer.pagerduty.com/docs/webhooks-overview (version 3)
https://developer.pagerduty.com/api-reference/ (REST API, version 2)
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from integrations.webhooks import Payload


class Reference(Payload):
    """Something else, named: a service, a user, a team, a priority."""

    id: str = ""
    summary: str | None = None
    html_url: str | None = None


class EventData(Payload):
    """An incident, or something of one (a note, a status update, a responder) with `incident`."""

    type: str = ""
    id: str | None = None
    html_url: str | None = None
    number: int | None = Field(default=None, ge=0, le=2**53 - 1)
    status: str | None = None
    incident_key: str | None = None
    title: str | None = None
    urgency: str | None = None
    service: Reference | None = None
    assignees: tuple[Reference, ...] = ()
    escalation_policy: Reference | None = None
    teams: tuple[Reference, ...] = ()
    priority: Reference | None = None
    incident: Reference | None = None
    user: Reference | None = None
    content: str | None = None
    message: str | None = None


class OutboundEvent(Payload):
    """One happening; `id` is the same in every attempt to deliver it."""

    id: str = Field(min_length=1, max_length=150, pattern=r"^[A-Za-z0-9_-]+$")
    event_type: str = Field(min_length=1, max_length=80)
    resource_type: str = ""
    occurred_at: datetime
    agent: Reference | None = None
    data: EventData


class Delivery(Payload):
    """The body of a webhook."""

    event: OutboundEvent


class Assignment(Payload):
    """Who has an incident."""

    assignee: Reference


class Incident(Payload):
    """An incident as the API shows it."""

    id: str
    incident_number: int = 0
    title: str = ""
    status: str
    urgency: str = ""
    html_url: str | None = None
    service: Reference
    assignments: tuple[Assignment, ...] = ()


class IncidentAnswer(Payload):
    """`GET` and `PUT /incidents/{id}`."""

    incident: Incident


class Note(Payload):
    """A note of an incident."""

    id: str
    content: str


class NoteAnswer(Payload):
    """`POST /incidents/{id}/notes`."""

    note: Note


class NotesAnswer(Payload):
    """`GET /incidents/{id}/notes`."""

    notes: tuple[Note, ...]
