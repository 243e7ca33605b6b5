"""What starts work without a person: triggers (events) and schedules (the clock)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from core.records import Event, Frozen, Identifier, Scalar
from core.workflows.definition import Duration
from core.workflows.guardrails.freeze import TimeZone


class Offer(Frozen):
    """A workflow with arguments filled in from an event, by `${event.…}` references."""

    workflow: Identifier
    arguments: dict[str, JsonValue] = Field(default_factory=dict, alias="with")


class AITrigger(Frozen):
    """A rule from an event to a thread and to workflows.

    Attributes:
        match: for each attribute of the event the regular expression that all of it must match.
        mode: `offer` shows buttons for people; `start` asks for the run at once (its guardrails
            and countersignatures still hold).
        incident: open an incident thread with the matching runbook.
    """

    id: Identifier
    integration: Identifier
    event: str = Field(max_length=80)
    match: dict[str, str] = Field(default_factory=dict)
    channel: str = Field(pattern=r"^#[a-z0-9_-]{1,79}$")
    mode: Literal["offer", "start"] = "offer"
    incident: bool = False
    workflows: tuple[Offer, ...] = Field(default=(), max_length=5)

    @field_validator("match")
    @classmethod
    def _patterns(cls, match: dict[str, str]) -> dict[str, str]:
        for name, pattern in match.items():
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{name} is not a regular expression: {error}") from error
        return match

    def accepts(self, event: Event) -> bool:
        """Whether this rule is meant for `event`."""
        return (
            event.source == self.integration
            and event.kind == self.event
            and all(
                re.fullmatch(pattern, str(event.attributes.get(name, "")))
                for name, pattern in self.match.items()
            )
        )


class AISchedule(Frozen):
    """A cron line that starts a workflow or asks an assistant for a digest.

    Attributes:
        cron: five fields, in `timezone`.
        misfire_grace: a firing that was missed by more than this (the machine was off) is skipped.
    """

    id: Identifier
    name: str = Field(max_length=120)
    cron: str = Field(pattern=r"^\S+( \S+){4}$", max_length=100)
    timezone: TimeZone = "UTC"
    channel: str = Field(pattern=r"^#[a-z0-9_-]{1,79}$")
    misfire_grace: Duration = Field(
        default=timedelta(minutes=10), ge=timedelta(seconds=1), le=timedelta(days=7)
    )
    workflow: Identifier | None = None
    arguments: dict[str, Scalar] = Field(default_factory=dict, alias="with")
    assistant: Identifier | None = None
    prompt: str | None = Field(default=None, max_length=2000)

    @model_validator(mode="after")
    def _one_of(self) -> AISchedule:
        if (self.workflow is None) == (self.assistant is None):
            raise ValueError("name either a 'workflow' or an 'assistant'")
        if (self.assistant is None) != (self.prompt is None):
            raise ValueError("an 'assistant' needs a 'prompt', and a workflow has none")
        return self
