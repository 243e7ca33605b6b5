"""What a schedule's firing leads to: a run, or an assistant's digest in a channel."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Protocol

from core.automation import AISchedule
from core.errors import CountersignError
from core.ports import Messenger, PresentationError
from core.records import Instant, Place, Provenance
from core.workflows.plan import PlannedArgument
from core.workflows.service import RunRequest, WorkflowService

_log = logging.getLogger(__name__)


class Digester(Protocol):
    """Writes digests; the assistants do."""

    async def digest(self, assistant_id: str, prompt: str) -> str:
        """Plain text or Markdown."""
        ...


class FiringService:
    """Handles firings. One firing, however often it is handled, has its effect once."""

    def __init__(
        self, workflows: WorkflowService, digester: Digester, messenger: Messenger
    ) -> None:
        self._workflows = workflows
        self._digester = digester
        self._messenger = messenger

    async def fire(
        self,
        schedule: AISchedule,
        at: Instant,
        requester: str | None = None,
        *,
        by_hand: str | None = None,
    ) -> None:
        """Act on a schedule's firing of the moment `at`.

        Args:
            requester: as whom a workflow is asked for: who added the schedule, or started it by
                hand; None for the configuration's.
            by_hand: key of the request to do it now; None where the clock fires.
        """
        moment = at.astimezone(UTC).isoformat()
        key = f"schedule:{schedule.id}:{moment if by_hand is None else by_hand}"
        place = Place(channel=schedule.channel)
        _log.info("schedule %s fires for %s", schedule.id, moment)
        if schedule.assistant is not None and schedule.prompt is not None:
            text = await self._digester.digest(schedule.assistant, schedule.prompt)
            await self._messenger.say(place, text, key=key)
            return
        try:
            await self._workflows.request(_request(schedule, key, place, requester))
        except PresentationError:
            raise  # tried again
        except CountersignError as error:
            text = f"The schedule “{schedule.name}” could not start its workflow: {error}"
            await self._messenger.say(place, text, key=f"refused:{key}")


def arguments_of(schedule: AISchedule) -> dict[str, PlannedArgument]:
    """What a schedule gives its workflow."""
    provenance = Provenance(kind="schedule", detail=schedule.name)
    return {
        name: PlannedArgument(value=value, provenance=provenance)
        for name, value in schedule.arguments.items()
    }


def _request(schedule: AISchedule, key: str, place: Place, requester: str | None) -> RunRequest:
    return RunRequest(
        key=key,
        workflow=schedule.workflow or "",
        arguments=arguments_of(schedule),
        requester=requester or f"schedule:{schedule.id}",
        origin=f"schedule “{schedule.name}”, {at_text(datetime.now(UTC))}",
        place=place,
        automatic=requester is None,
    )


def at_text(moment: datetime) -> str:
    """A moment for people who read logs: `2026-11-24 23:30 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
