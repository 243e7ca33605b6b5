"""What `countersign check` does: read everything and see whether it fits, without starting it."""

from __future__ import annotations

from collections.abc import Iterator

from bot.composition import read_secrets
from core.consistency import problems
from core.consistency.places import Problem, file_of, located
from core.ports import Announcement, PostedMessage, PresentationError
from core.records import Place
from core.services.ai import OrchestratorUnavailableError
from core.settings import Settings
from core.state import ApplicationState
from core.workflows.actions import ActionRegistry
from integrations import registry
from integrations.builtin import AskAssistant, PostMessage
from integrations.registry import Integrations
from scheduler.book import cron_problems


def check(settings: Settings) -> tuple[ApplicationState, list[str]]:
    """The state and everything that does not fit in it.

    Raises:
        ConfigurationError: a file cannot be read at all.
    """
    state = ApplicationState.load(settings.config_dir)
    integrations = registry.load(state.integrations, read_secrets(settings))
    found = [*cron_problems(state), *_silent_triggers(state, integrations)]
    return state, [*problems(state, _actions(integrations)), *located(found)]


def actions_of(settings: Settings, state: ApplicationState) -> ActionRegistry:
    """What workflows can do here; for looking at, nothing is connected.

    Raises:
        ConfigurationError: an integration cannot be made.
    """
    return _actions(registry.load(state.integrations, read_secrets(settings)))


def _actions(integrations: Integrations) -> ActionRegistry:
    return ActionRegistry(
        [*integrations.actions(), AskAssistant(_ask), PostMessage(_NotConnected())], integrations
    )


def _silent_triggers(state: ApplicationState, integrations: Integrations) -> Iterator[Problem]:
    """Triggers that wait for events of what takes no webhooks."""
    silent = {one.id for one in integrations if one.webhook is None}
    for trigger in state.triggers.values():
        if trigger.integration in silent:
            spot = file_of(state.folder, "triggers", trigger.id).at("integration")
            yield spot.says(
                f"{trigger.integration} takes no webhooks: give integrations/"
                f"{trigger.integration}.yaml its webhook secret, or name one that takes them."
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
