"""Where one request may go, one server after the other.

A request is sent again, to another server, where the first refused the connection, was busy (429),
said that it cannot (502, 503), failed (500), has the model no longer (404), or broke off.
Generating has no side effects, so a reply that nobody has seen may be generated twice; of a stream
that the caller has begun to read nothing is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from core.orchestrator.client.deadline import Deadline
from core.orchestrator.client.endpoint import ModelEndpoint
from core.orchestrator.client.faults import ServerFailedError
from core.orchestrator.client.member import Member
from core.orchestrator.client.pool import Candidate, pick
from core.services.ai import (
    ModelNotFoundError,
    OrchestratorBusyError,
    OrchestratorError,
    OrchestratorUnavailableError,
)

T = TypeVar("T")

ELSEWHERE = (
    OrchestratorUnavailableError,
    OrchestratorBusyError,
    ServerFailedError,
    ModelNotFoundError,
)
"""Errors after which another server may do better."""

MAX_TRIES = 4
_BACK_S = 1.0  # for which a request waits for servers that did not answer before
_PAUSE_S = 0.05  # longest before the second try, then doubled: what failed together spreads


class Tries:
    """The tries of one request.

    Args:
        model: only servers that have it are tried.
        key: what the request begins with; see `core.orchestrator.client.pool`.
    """

    def __init__(self, members: Sequence[Member], model: str, key: str, deadline: Deadline) -> None:
        self._members = members
        self._model = model
        self._key = key
        self._deadline = deadline
        self._tried: list[Member] = []
        self._errors: list[OrchestratorError] = []

    async def next(self) -> Member:
        """The server to try now.

        Raises:
            OrchestratorError: there is none left; it says what those that were tried said.
        """
        if self._errors:
            if len(self._tried) >= MAX_TRIES or self._deadline.over:
                raise self._reason() from self._errors[-1]
            pause = random.uniform(0, _PAUSE_S * 2 ** (len(self._tried) - 1))  # noqa: S311
            await asyncio.sleep(min(pause, self._deadline.left))
        candidates = self._candidates()
        if not candidates:  # one that did not answer may be back
            missing = [m for m in self._members if not m.ready and m not in self._tried]
            await look(missing, Deadline(min(_BACK_S, self._deadline.left)))
            candidates = self._candidates()
        if not candidates:
            raise self._reason() from (self._errors[-1] if self._errors else None)
        chosen = pick([Candidate(member.url, member.load) for member in candidates], self._key)
        member = next(member for member in candidates if member.url == chosen.name)
        self._tried.append(member)
        return member

    def failed(self, member: Member, error: OrchestratorError) -> None:
        """One of `ELSEWHERE` came of the last try."""
        self._errors.append(error)
        if isinstance(error, OrchestratorUnavailableError):
            member.failed(error)
        elif isinstance(error, ServerFailedError):
            member.doubted()
        elif isinstance(error, ModelNotFoundError):
            member.lacks(self._model)

    async def run(self, send: Callable[[ModelEndpoint], Awaitable[T]]) -> T:
        """Send a request that is answered as a whole, to one server after the other."""
        while True:
            member = await self.next()
            try:
                with member.serving():
                    return await send(member.endpoint)
            except ELSEWHERE as error:
                self.failed(member, error)

    def _candidates(self) -> list[Member]:
        ready = [m for m in self._members if m.ready and m not in self._tried]
        if len(self._members) == 1:
            return ready  # it says itself what it has; some take names that they do not list
        return [member for member in ready if member.serves(self._model)]

    def _reason(self) -> OrchestratorError:
        """Why no server is left."""
        if len(self._errors) == 1:
            return self._errors[0]
        if self._errors:
            said = f"{len(self._errors)} model servers were tried. " + " ".join(
                str(error).rstrip(".") + "." for error in self._errors
            )
            if any(isinstance(error, OrchestratorBusyError) for error in self._errors):
                return OrchestratorBusyError(said)
            for kind in (ModelNotFoundError, ServerFailedError):
                if all(isinstance(error, kind) for error in self._errors):
                    return kind(said)
            return OrchestratorUnavailableError(said)
        return missing_model(self._members, self._model)


def missing_model(members: Sequence[Member], model: str) -> OrchestratorError:
    """The error where no server that answers has a model."""
    silent = " ".join(f"{m.fault}" for m in members if m.fault is not None)
    if len(members) == 1 and silent:
        return OrchestratorUnavailableError(silent)
    known = sorted({known.name for member in members if member.ready for known in member.models})
    has = f"No model server has {model!r}; there is: {', '.join(known) or 'none'}."
    if silent:
        return OrchestratorUnavailableError(f"{has} Some do not answer: {silent}")
    return ModelNotFoundError(has)


async def look(members: Sequence[Member], deadline: Deadline) -> None:
    """Ask servers what they have, at once, for as long as there is time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline.left):
            await asyncio.gather(*(member.look() for member in members))
