"""Ask several assistants or integrations at once, and lose no answer to another's failure."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from core.errors import CountersignError, InvalidRequestError, NotFoundError

logger = logging.getLogger(__name__)


class Responder(Protocol):
    """An assistant or integration that can be asked."""

    @property
    def name(self) -> str:
        """Unique among the responders of one manager."""
        ...

    async def respond(self, instruction: str) -> str:
        """Answer; raises `CountersignError` where it cannot."""
        ...


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Frozen):
    """The responder answered."""

    outcome: Literal["answer"] = "answer"
    responder: str
    text: str
    seconds: float


class Failure(_Frozen):
    """The responder could not answer; `reason` may be shown to people."""

    outcome: Literal["failed"] = "failed"
    responder: str
    reason: str
    seconds: float


class TimedOut(_Frozen):
    """The responder did not answer within `seconds` and was cancelled."""

    outcome: Literal["timed_out"] = "timed_out"
    responder: str
    seconds: float


Outcome = Answer | Failure | TimedOut


class Broadcast(_Frozen):
    """What came of one instruction, in the order in which the responders were named."""

    instruction: str
    outcomes: tuple[Outcome, ...]

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers alone."""
        return tuple(item for item in self.outcomes if isinstance(item, Answer))

    @property
    def complete(self) -> bool:
        """True where every responder answered."""
        return len(self.answers) == len(self.outcomes)


class AIIntegrationManager:
    """Broadcasts instructions to responders by name.

    Args:
        responders: all that can be asked.
        deadline_s: seconds that each of them has, unless a broadcast says otherwise.

    Raises:
        InvalidRequestError: two responders have the same name.
    """

    def __init__(self, responders: Sequence[Responder], deadline_s: float = 60.0) -> None:
        self._responders: Mapping[str, Responder] = {item.name: item for item in responders}
        if len(self._responders) != len(responders):
            raise InvalidRequestError("Two responders have the same name; rename one of them.")
        self._deadline_s = deadline_s

    @property
    def names(self) -> tuple[str, ...]:
        """Everyone who can be asked."""
        return tuple(self._responders)

    async def broadcast(
        self, instruction: str, names: Sequence[str], deadline_s: float | None = None
    ) -> Broadcast:
        """Ask the named responders at the same time and wait for the last of them.

        Args:
            instruction: the same words for all.
            names: who is asked; a name given twice is asked once.
            deadline_s: seconds that each of them has.

        Raises:
            NotFoundError: a name is unknown; then nobody was asked.
        """
        asked = list(dict.fromkeys(names))
        if unknown := [name for name in asked if name not in self._responders]:
            known = ", ".join(self._responders) or "none"
            raise NotFoundError(f"Nobody is called {', '.join(unknown)}. There are: {known}.")
        if not asked:
            return Broadcast(instruction=instruction, outcomes=())
        limit = self._deadline_s if deadline_s is None else deadline_s
        calls = [_Call(self._responders[name], instruction) for name in asked]
        try:
            await asyncio.wait([call.task for call in calls], timeout=limit)
        finally:
            for call in calls:
                call.task.cancel()  # nothing for those that are done
        outcomes = tuple(call.outcome(limit) for call in calls)
        return Broadcast(instruction=instruction, outcomes=outcomes)


class _Call:
    """One responder at work."""

    def __init__(self, responder: Responder, instruction: str) -> None:
        self._name = responder.name
        self._seconds = 0.0
        self.task = asyncio.create_task(self._respond(responder, instruction))

    async def _respond(self, responder: Responder, instruction: str) -> str:
        started = time.monotonic()
        try:
            return await responder.respond(instruction)
        finally:
            self._seconds = time.monotonic() - started

    def outcome(self, deadline_s: float) -> Outcome:
        """What came of it; whatever a plug-in raises is its own failure, not the broadcast's."""
        if not self.task.done():
            return TimedOut(responder=self._name, seconds=deadline_s)
        if self.task.cancelled():
            return self._failure("was cancelled")
        error = self.task.exception()
        if error is None:
            text = self.task.result()
            return Answer(responder=self._name, text=text, seconds=self._seconds)
        if isinstance(error, CountersignError):
            return self._failure(str(error))
        logger.error("%s failed at an instruction.", self._name, exc_info=error)
        return self._failure(f"an internal error ({type(error).__name__}); the log says more")

    def _failure(self, reason: str) -> Failure:
        return Failure(responder=self._name, reason=reason, seconds=self._seconds)
