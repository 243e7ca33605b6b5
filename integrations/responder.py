"""Integrations as responders: asked how they are, each says so or why not."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import CountersignError
from core.services.health import HEALTH
from core.services.manager import AIIntegrationManager, Responder
from integrations.base import Integration
from integrations.registry import Integrations

_DEADLINE_S = 5.0


class NotReadyError(CountersignError):
    """The integration cannot do its work now; the message says why."""


@dataclass(frozen=True)
class IntegrationResponder:
    """An integration as one of several that are asked."""

    integration: Integration

    @property
    def name(self) -> str:
        """The integration's id."""
        return self.integration.id

    async def respond(self, instruction: str) -> str:
        """Say how it is.

        Raises:
            NotReadyError: it cannot do its work, or knows no such instruction.
        """
        if instruction != HEALTH:
            raise NotReadyError(f"{self.name} can only be asked for its {HEALTH}.")
        health = await self.integration.health()
        if not health.ready:
            raise NotReadyError(health.detail)
        return health.detail


def systems(integrations: Integrations, *others: Responder) -> AIIntegrationManager:
    """All integrations, by id, and whoever else can be asked for their health."""
    asked = [IntegrationResponder(one) for one in integrations]
    return AIIntegrationManager([*asked, *others], _DEADLINE_S)
