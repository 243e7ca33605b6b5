"""How the systems are that Countersign talks to: asked now and then, remembered in between."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from core.records import Frozen, Instant
from core.services.manager import AIIntegrationManager, Answer, Failure, Outcome, TimedOut

HEALTH = "health"
"""The instruction that every integration understands."""

_FRESH_S = 10.0
_EVERY_S = 60.0
_JITTER = 0.2  # of the pause: the replicas do not all ask at once
_log = logging.getLogger(__name__)


class SystemHealth(Frozen):
    """How one system was when it was last asked.

    Attributes:
        detail: in words what is so, or why it is not ready; may be shown to people.
        since: when it became ready, or ceased to be, as far as this process knows.
    """

    name: str
    ready: bool
    detail: str
    since: Instant


class HealthWatch:
    """Knows how each system is.

    Args:
        systems: who is asked.
        fresh_s: for how many seconds an answer counts as what is so now.
    """

    def __init__(self, systems: AIIntegrationManager, fresh_s: float = _FRESH_S) -> None:
        self._systems = systems
        self._fresh_s = fresh_s
        self._known: dict[str, SystemHealth] = {}
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    @property
    def degraded(self) -> Mapping[str, str]:
        """Of the systems that were not ready when last asked: name to reason. Asks nobody."""
        return {one.name: one.detail for one in self._known.values() if not one.ready}

    async def now(self) -> tuple[SystemHealth, ...]:
        """How each system is, asked no longer ago than `fresh_s`; those who come at the same time
        share one asking, which takes as long as the manager's deadline at most."""
        async with self._asking:
            age = None if self._asked_at is None else time.monotonic() - self._asked_at
            if age is None or age > self._fresh_s:
                await self._ask()
        return tuple(self._known.values())

    async def last(self) -> tuple[SystemHealth, ...]:
        """How each system was when last asked; asks only where nobody has yet."""
        return tuple(self._known.values()) if self._asked_at is not None else await self.now()

    async def run(self) -> None:
        """Ask every minute or so, for ever; cancel to stop."""
        while True:
            await self.now()
            jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - nobody guesses it
            await asyncio.sleep(_EVERY_S * jitter)

    async def _ask(self) -> None:
        asked = await self._systems.broadcast(HEALTH, self._systems.names)
        moment = datetime.now(UTC)
        for outcome in asked.outcomes:
            self._note(_judged(outcome, moment))
        self._asked_at = time.monotonic()

    def _note(self, new: SystemHealth) -> None:
        old = self._known.get(new.name)
        if old is not None and old.ready == new.ready:
            new = new.model_copy(update={"since": old.since})
        elif not new.ready:
            _log.warning("%s is not ready: %s", new.name, new.detail)
        elif old is not None:
            _log.info("%s is ready again: %s", new.name, new.detail)
        self._known[new.name] = new


def _judged(outcome: Outcome, moment: Instant) -> SystemHealth:
    ready = False
    match outcome:
        case Answer(text=text):
            ready, detail = True, text or "ready"
        case Failure(reason=reason):
            detail = reason
        case TimedOut(seconds=seconds):
            detail = f"no answer within {seconds:.0f} s"
    return SystemHealth(name=outcome.responder, ready=ready, detail=detail, since=moment)
