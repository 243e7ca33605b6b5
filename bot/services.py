"""What the Slack face works with; the composition root makes one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from slack_sdk.web.async_client import AsyncWebClient

from bot.assistants.events import AnswerEvent, Question
from bot.slack.cards import Cards
from bot.slack.directory import SlackDirectory
from bot.slack.escaping import LinkPolicy
from bot.slack.messenger import SlackMessenger
from core.deliveries import DeliveryBook
from core.inbox import Inbox
from core.offers import OfferStore
from core.security.delegations import Delegations
from core.security.permissions import Permissions
from core.security.policy import Roles
from core.security.reviews import Reviews
from core.services.ai import AIOrchestratorClient
from core.services.health import HealthWatch
from core.services.manager import AIIntegrationManager
from core.settings import Settings
from core.state import ApplicationState
from core.workflows.service import WorkflowService
from scheduler.service import ScheduleService


class Assistants(Protocol):
    """What Slack needs of `bot.assistants.service.AssistantService`."""

    def respond(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """Answer: `Routed` first, `Finished` last; closing it cancels the generation."""
        ...


@dataclass(frozen=True)
class BotServices:
    """Everything that listeners and handlers use.

    Attributes:
        inbox: where listeners put what came in, before they acknowledge it.
        panel: all assistants, to be asked at once.
        systems: how all integrations are.
        links: which links in texts of models and runbooks stay links; our own pages must be in.
    """

    settings: Settings
    state: ApplicationState
    client: AsyncWebClient
    workflows: WorkflowService
    roles: Roles
    permissions: Permissions
    delegations: Delegations
    reviews: Reviews
    cards: Cards
    orchestrator: AIOrchestratorClient
    assistants: Assistants
    panel: AIIntegrationManager
    systems: HealthWatch
    inbox: Inbox
    offers: OfferStore
    schedules: ScheduleService
    deliveries: DeliveryBook
    messenger: SlackMessenger
    directory: SlackDirectory
    links: LinkPolicy
