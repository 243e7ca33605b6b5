"""All assistants at once: one question, every answer that comes in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.assistants.service import AssistantService
from core.services.manager import AIIntegrationManager, Answer, Broadcast, Failure
from core.state import AIAssistant

ALL = "all"
"""What a question to everybody begins with: `all: …`."""

_DEADLINE_S = 120.0


@dataclass(frozen=True)
class AssistantResponder:
    """An assistant as one of several that are asked."""

    name: str
    service: AssistantService

    async def respond(self, instruction: str) -> str:
        """Its whole answer as Markdown; raises `OrchestratorError` where it has none."""
        return await self.service.ask(self.name, instruction)


def panel(service: AssistantService, assistants: Mapping[str, AIAssistant]) -> AIIntegrationManager:
    """Everybody who can be asked, by the assistant's id."""
    responders = [AssistantResponder(name, service) for name in assistants]
    return AIIntegrationManager(responders, _DEADLINE_S)


def minutes(broadcast: Broadcast, assistants: Mapping[str, AIAssistant]) -> str:
    """What came of it, as Markdown: each assistant's answer, or why there is none."""
    parts = []
    for outcome in broadcast.outcomes:
        name = assistants[outcome.responder].name
        if isinstance(outcome, Answer):
            parts.append(f"**{name}**\n\n{outcome.text}")
        elif isinstance(outcome, Failure):
            parts.append(f"**{name}** has no answer: {outcome.reason}")
        else:
            parts.append(f"**{name}** did not answer within {outcome.seconds:.0f} s.")
    return "\n\n".join(parts)
