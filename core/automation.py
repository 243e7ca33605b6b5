"""What starts work without a person: triggers (events) and schedules (the clock)."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue, NaiveDatetime, field_validator, model_validator

from core.expressions import ExpressionError, compile_expression
from core.ownership import ChannelName, OwnerRule
from core.quiet import Quiet
from core.records import Event, Frozen, Identifier, Instant, Value
from core.workflows.definition import Duration
from core.workflows.guardrails.freeze import TimeZone

_log = logging.getLogger(__name__)


class Offer(Frozen):
    """A workflow with arguments filled in from an event, by `${event.…}` references."""

    workflow: Identifier
    arguments: dict[str, JsonValue] = Field(default_factory=dict, alias="with")


class Grouping(Frozen):
    """That events are told in one thread that counts them, instead of a message for each.

    Attributes:
        by: what events of one group have in common, by `${event.…}` references; without it all
            events of the trigger are one group.
        window: a group goes on as long as the next event comes within this.
        after: so many come within the window before they are told in one thread; those before
            have a message each. More than 1 makes it a rule for storms only.
    """

    by: str | None = Field(default=None, min_length=1, max_length=500)
    window: Duration = Field(
        default=timedelta(minutes=5), ge=timedelta(seconds=10), le=timedelta(days=1)
    )
    after: int = Field(default=1, ge=1, le=1000)


class AITrigger(Frozen):
    """A rule from an event to a thread and to workflows.

    Attributes:
        match: for each attribute of the event the regular expression that all of it must match.
        when: a condition over `event`, its attributes with `title`, `subject` and `kind`; an
            attribute that it names and the event lacks makes it false.
        channel: where people are told; with `owner`, where nobody owns what the event is about.
        owner: whose channel comes first, by a file of owners.
        mode: `offer` shows buttons for people; `start` asks for the run at once (its guardrails
            and countersignatures still hold).
        group: which events are told together. Of a group only the events before it is one thread,
            or the first, ask for runs.
        quiet: when events are kept, to be told together afterwards.
        incident: open an incident thread with the matching runbook.
    """

    id: Identifier
    integration: Identifier
    event: str = Field(max_length=80)
    match: dict[str, str] = Field(default_factory=dict)
    when: str | None = Field(default=None, min_length=1, max_length=1000)
    channel: ChannelName
    owner: OwnerRule | None = None
    mode: Literal["offer", "start"] = "offer"
    group: Grouping | None = None
    quiet: Quiet | None = None
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

    @model_validator(mode="after")
    def _one_thread(self) -> AITrigger:
        if self.incident and self.group is not None:
            raise ValueError(
                "an incident has one thread for each subject already: leave out 'incident' or "
                "'group'"
            )
        return self

    def accepts(self, event: Event) -> bool:
        """Whether this rule is meant for `event`."""
        return (
            event.source == self.integration
            and event.kind == self.event
            and all(
                re.fullmatch(pattern, str(event.attributes.get(name, "")))
                for name, pattern in self.match.items()
            )
            and (self.when is None or self._holds(self.when, event))
        )

    def quiet_until(self, event: Event, now: Instant) -> datetime | None:
        """Until when `event` is kept; None where it is told at once."""
        if self.quiet is None or (end := self.quiet.until(now)) is None:
            return None
        if self.quiet.unless is not None and self._holds(self.quiet.unless, event):
            return None
        return end

    def _holds(self, condition: str, event: Event) -> bool:
        try:
            return compile_expression(condition, None).holds(event_scope(event))
        except ExpressionError as error:
            _log.info("trigger %s: no condition for %s: %s", self.id, event.id, error)
            return False


def event_scope(event: Event) -> dict[str, JsonValue]:
    """What expressions over an event know, as `event.NAME`."""
    about = {"title": event.title, "subject": event.subject, "kind": event.kind}
    return {"event": {**event.attributes, **about}}


class Misfire(StrEnum):
    """What becomes of planned moments at which nothing ran that could fire them.

    SKIP: nothing. ONCE: the last of them is made up for. ALL: each is, up to a limit.
    """

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class AISchedule(Frozen):
    """When by the clock a workflow is asked for, or an assistant for a digest.

    Attributes:
        cron: five fields, in `timezone`; or
        at: one moment, as a clock in `timezone` shows it.
        jitter: each firing comes later by a part of this that is drawn for its moment, the same
            on every replica, so that many schedules of one minute do not start at once.
        misfire: what becomes of what was missed by more than a minute.
        misfire_grace: what was missed by more than this is never made up for.
        catch_up_limit: with `misfire: all`, how many are made up for at most; the latest.
        paused: as it begins; people pause and resume schedules in Slack.
    """

    id: Identifier
    name: str = Field(min_length=1, max_length=120)
    cron: str | None = Field(default=None, pattern=r"^\S+( \S+){4}$", max_length=100)
    at: NaiveDatetime | None = None
    timezone: TimeZone = "UTC"
    channel: ChannelName
    jitter: Duration = Field(default=timedelta(0), ge=timedelta(0), le=timedelta(hours=12))
    misfire: Misfire = Misfire.ONCE
    misfire_grace: Duration = Field(
        default=timedelta(minutes=10), ge=timedelta(seconds=1), le=timedelta(days=7)
    )
    catch_up_limit: int = Field(default=10, ge=1, le=100)
    paused: bool = False
    workflow: Identifier | None = None
    arguments: dict[str, Value] = Field(default_factory=dict, alias="with", max_length=50)
    assistant: Identifier | None = None
    prompt: str | None = Field(default=None, min_length=1, max_length=2000)

    @model_validator(mode="after")
    def _one_of(self) -> AISchedule:
        if (self.cron is None) == (self.at is None):
            raise ValueError("give either 'cron' or 'at'")
        if (self.workflow is None) == (self.assistant is None):
            raise ValueError("name either a 'workflow' or an 'assistant'")
        if (self.assistant is None) != (self.prompt is None):
            raise ValueError("an 'assistant' needs a 'prompt', and a workflow has none")
        return self

    @property
    def timing(self) -> str:
        """The cron line, or the one moment as a clock in its time zone shows it."""
        return self.cron or (self.at.strftime("%Y-%m-%d %H:%M") if self.at else "")
