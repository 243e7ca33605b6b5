"""All assistants at once: an answer that is missing costs no other one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bot.assistants.panel import minutes
from core.services.ai import OrchestratorUnavailableError
from core.services.manager import AIIntegrationManager
from tests.support.assistants import team


@dataclass(frozen=True)
class Colleague:
    """Answers, fails, or takes for ever."""

    name: str
    does: str

    async def respond(self, instruction: str) -> str:
        if self.does == "fail":
            raise OrchestratorUnavailableError("the model server is restarting")
        if self.does == "sleep":
            await asyncio.Event().wait()
        return f"about {instruction}"


async def test_each_answer_stands_under_its_name_and_each_missing_one_has_its_reason() -> None:
    manager = AIIntegrationManager(
        [
            Colleague("planner", "answer"),
            Colleague("incident", "fail"),
            Colleague("governance", "sleep"),
        ],
        deadline_s=0.2,
    )
    broadcast = await manager.broadcast("disks", manager.names)
    assert minutes(broadcast, team().assistants) == (
        "**Planner**\n\nabout disks\n\n"
        "**Incident** has no answer: the model server is restarting\n\n"
        "**Governance** did not answer within 0 s."
    )
