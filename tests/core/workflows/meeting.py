"""Several who carry out one run at once, all of whom enter it before one begins a step.

Who enters later finds a step in the middle and asks a person whether it was done, as it must
(test_workflows_restart.py): without a meeting, what comes of the run would be left to chance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from core.store.runs import Move, RunStore, Start, Started
from core.workflows.run import Run, RunState


class Meeting:
    """Where so many tasks are waited for."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._here: set[object] = set()
        self._complete = asyncio.Event()
        if not expected:
            self._complete.set()

    def arrive(self) -> None:
        """The task that runs now is here, maybe not for the first time."""
        self._here.add(asyncio.current_task())
        if len(self._here) >= self._expected:
            self._complete.set()

    async def wait(self) -> None:
        await self._complete.wait()


class MeetingStore(RunStore):
    """Begins no step before all of the meeting have entered the run, or left it."""

    meeting = Meeting(0)

    async def claim(self, run_id: str, generation: int) -> tuple[Run, int] | None:
        try:
            return await super().claim(run_id, generation)
        finally:
            self.meeting.arrive()

    async def begin(self, start: Start) -> Started:
        try:
            return await super().begin(start)
        finally:
            self.meeting.arrive()

    async def save(self, move: Move) -> RunState | None:
        if move.begun:
            await self.meeting.wait()
        return await super().save(move)


async def together(
    stores: Iterable[MeetingStore], carriers: Iterable[Coroutine[Any, Any, None]]
) -> None:
    """Let all carry out at once, on these stores."""
    waiting = list(carriers)
    meeting = Meeting(len(waiting))
    for store in stores:
        store.meeting = meeting

    async def carried(carrier: Coroutine[Any, Any, None]) -> None:
        try:
            await carrier
        finally:
            meeting.arrive()

    await asyncio.gather(*(carried(carrier) for carrier in waiting))
