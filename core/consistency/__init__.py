"""Whether the records fit each other and the integrations: what `countersign check` says."""

from __future__ import annotations

from collections.abc import Iterator

from core.consistency.places import Problem, located
from core.consistency.policy import policy_problems
from core.consistency.records import assistant_problems, model_problems
from core.consistency.starting import schedule_problems, trigger_problems
from core.consistency.workflows import workflow_problems
from core.errors import ConfigurationError
from core.state import ApplicationState
from core.workflows.actions import ActionRegistry

__all__ = ["problems", "require_consistent"]


def problems(state: ApplicationState, registry: ActionRegistry) -> list[str]:
    """Everything that does not fit, as `file:line: field: what and the mend` lines; empty if it
    does. The line is left out where the field does not stand in a file."""
    return located(_all(state, registry))


def require_consistent(state: ApplicationState, registry: ActionRegistry) -> None:
    """Let pass a state in which everything fits.

    Raises:
        ConfigurationError: something does not; the message has a line for each.
    """
    if found := problems(state, registry):
        raise ConfigurationError("\n".join(found))


def _all(state: ApplicationState, registry: ActionRegistry) -> Iterator[Problem]:
    yield from policy_problems(state)
    yield from model_problems(state)
    yield from assistant_problems(state)
    for workflow in state.workflows.values():
        yield from workflow_problems(state, registry, workflow)
    for trigger in state.triggers.values():
        yield from trigger_problems(state, trigger)
    for schedule in state.schedules.values():
        yield from schedule_problems(state, schedule)
