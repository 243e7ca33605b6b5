"""Where a trigger tells of an event: its own channel, or that of the owner of what it is about."""

from __future__ import annotations

import logging

from core.automation import AITrigger, event_scope
from core.errors import InvalidRequestError
from core.ownership import Owner, OwnerRule, Owners, read_owners
from core.records import Event
from core.state import ApplicationState
from core.workflows.template import render

_log = logging.getLogger(__name__)


class Targets:
    """The channels of triggers; reads the ownership files once.

    Raises:
        ConfigurationError: a file of owners cannot be read or does not fit.
    """

    def __init__(self, state: ApplicationState) -> None:
        self._owners: dict[str, Owners] = {
            trigger.id: read_owners(state.folder, trigger.owner)
            for trigger in state.triggers.values()
            if trigger.owner is not None
        }

    def of(self, trigger: AITrigger, event: Event) -> Owner:
        """Who is told; the trigger's own channel where nobody owns what the event is about."""
        if trigger.owner is not None:
            for name in _names(trigger.owner, event):
                if owner := self._owners[trigger.id].of(name):
                    return owner
            _log.info("trigger %s: nobody owns what %s is about", trigger.id, event.id)
        return Owner(channel=trigger.channel)


def _names(rule: OwnerRule, event: Event) -> list[str]:
    """What is looked up; nothing where the event lacks it."""
    try:
        found = render(rule.of, event_scope(event), frozenset())
    except InvalidRequestError:
        return []
    names = found if isinstance(found, list) else [found]
    return [name for name in names if isinstance(name, str) and name]
