"""What `countersign check` does: read everything and see whether it fits, without starting it."""

from __future__ import annotations

from bot.composition import read_secrets
from core.consistency import problems
from core.consistency.places import located
from core.ports import Announcement, PostedMessage, PresentationError
from core.records import Place
from core.services.ai import OrchestratorUnavailableError
from core.settings import Settings
from core.state import ApplicationState
from core.workflows.actions import ActionRegistry
from integrations import registry
from integrations.builtin import AskAssistant, PostMessage
from scheduler.book import cron_problems


def check(settings: Settings) -> tuple[ApplicationState, list[str]]:
    """The state and everything that does not fit in it.

    Raises:
        ConfigurationError: a file cannot be read at all.
    """
    state = ApplicationState.load(settings.config_dir)
    actions = actions_of(settings, state)
    return state, [*problems(state, actions), *located(cron_problems(state))]


def actions_of(settings: Settings, state: ApplicationState) -> ActionRegistry:
    """What workflows can do here; for looking at, nothing is connected.

    Raises:
        ConfigurationError: an integration cannot be made.
    """
    integrations = registry.load(state.integrations, read_secrets(settings))
    return ActionRegistry(
        [*integrations.actions(), AskAssistant(_ask), PostMessage(_NotConnected())]
    )


async def _ask(assistant: str, _question: str) -> str:
    raise OrchestratorUnavailableError(f"{assistant} is not running while checking.")


class _NotConnected:
    """A messenger for when nothing may be posted."""

    async def say(self, place: Place, text: str, key: str) -> PostedMessage:  # noqa: ARG002
        """Refuses."""
        raise PresentationError(f"Nothing is posted to {place.channel} while checking.")

    async def announce(self, announcement: Announcement) -> PostedMessage:
        """Refuses."""
        raise PresentationError(
            f"Nothing is posted to {announcement.place.channel} while checking."
        )
