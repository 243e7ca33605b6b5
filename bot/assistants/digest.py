"""Digests: facts from the tables first, then a labelled summary that these facts cover."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pydantic import Field

from bot.assistants.chat_models import ChatModels
from bot.assistants.grounding import Sources
from bot.assistants.prompts import digest_prompt
from bot.assistants.summary import DEADLINE_S, MAX_TOKENS, grounded_sentences, why_missing
from core.records import Frozen, Instant
from core.services.ai import AIOrchestratorClient, ChatRequest, OrchestratorError
from core.state import AIAssistant
from core.workflows.run import Run, RunState

logger = logging.getLogger(__name__)

WINDOW = timedelta(hours=24)
LISTED = 20


class OpenIncident(Frozen):
    """An incident that is not resolved. Its title may be an outsider's words."""

    title: str = Field(max_length=500)
    opened_at: Instant
    link: str | None = None


class Activity(Protocol):
    """What happened lately, from the tables."""

    async def awaiting(self) -> list[Run]:
        """Runs that wait for countersignatures, oldest first."""
        ...

    async def runs_by_state(self, since: datetime) -> Mapping[RunState, int]:
        """How many runs were asked for since then, by the state that they are in now."""
        ...

    async def open_incidents(self) -> list[OpenIncident]:
        """Incidents that are not resolved, oldest first."""
        ...


class Digester:
    """Writes digests in Markdown. Texts from outside are in them: the edge escapes mentions."""

    def __init__(
        self, orchestrator: AIOrchestratorClient, models: ChatModels, activity: Activity
    ) -> None:
        self._orchestrator = orchestrator
        self._models = models
        self._activity = activity

    async def write(self, assistant: AIAssistant, prompt: str) -> str:
        """Return the facts, and under them the model's summary or why there is none."""
        facts = await self._facts(datetime.now(UTC))
        sentences: list[str] = []
        try:
            speaker = await self._models.of(assistant)
            request = ChatRequest(
                messages=digest_prompt(assistant, prompt, facts),
                model=speaker.name,
                max_tokens=MAX_TOKENS,
                deadline_s=DEADLINE_S,
                priority="background",
            )
            sources = Sources([facts], prompt, verbatim=not speaker.calls_tools)
            async with aclosing(
                grounded_sentences(self._orchestrator, request, sources)
            ) as generated:
                sentences = [part async for part in generated if isinstance(part, str)]
        except OrchestratorError as error:
            logger.warning("No summary for the digest of %s: %s", assistant.id, error)
            return f"{facts}\n\n_{why_missing(error)}_"
        if not sentences:
            return facts
        return f"{facts}\n\n_Summary written by {speaker.name}:_ {' '.join(sentences)}"

    async def _facts(self, now: datetime) -> str:
        awaiting = await self._activity.awaiting()
        counts = await self._activity.runs_by_state(now - WINDOW)
        incidents = await self._activity.open_incidents()
        lines = [f"**Waiting for countersignatures: {len(awaiting)}**"]
        lines += [_waiting_line(run) for run in awaiting[:LISTED]]
        lines += _more(len(awaiting))
        total = sum(counts.values())
        lines.append(f"**Runs asked for in the last 24 hours: {total}**")
        lines += [f"- {state}: {counts[state]}" for state in RunState if counts.get(state)]
        lines.append(f"**Open incidents: {len(incidents)}**")
        lines += [_incident_line(incident, now) for incident in incidents[:LISTED]]
        lines += _more(len(incidents))
        return "\n".join(lines)


def _waiting_line(run: Run) -> str:
    targets = f" on {_line(', '.join(run.plan.targets))}" if run.plan.targets else ""
    expires = f", expires {run.expires_at:%Y-%m-%d %H:%M} UTC" if run.expires_at else ""
    return f"- {_line(run.plan.name)}{targets} (`{run.id}`), asked for by {run.requester}{expires}"


def _incident_line(incident: OpenIncident, now: datetime) -> str:
    minutes = max(0, int((now - incident.opened_at).total_seconds() // 60))
    age = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
    return f"- {_line(incident.title)}, open for {age}" + (
        f": {incident.link}" if incident.link else ""
    )


def _more(count: int) -> list[str]:
    return [f"- and {count - LISTED} more"] if count > LISTED else []


def _line(text: str) -> str:
    """One line without Markdown's marks, so that an outsider's title cannot draw a link."""
    plain = "".join(" " if c in "\r\n" else c for c in text if c not in "*_`[]<>|~")
    return plain[:200]
