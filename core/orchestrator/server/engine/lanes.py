"""Who is let in next: interactive jobs before background ones, and nobody waits for ever.

A job's priority is vLLM's: lower goes first, 0 is a person who waits, above 0 is background work
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html). Three rules keep both
served:

- Among equals the first that came is the first let in.
- After `AGED_S` a background job goes as if a person waited. A time rather than one place in so
  many, since what a background job has is a deadline, however many people ask meanwhile.
- Background jobs never hold the last `_INTERACTIVE_SEATS` seats: a person who comes while they run
  finds one, where waiting for their ends could take minutes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from core.orchestrator.server.engine.jobs import Job

AGED_S = 30.0
_INTERACTIVE_SEATS = 2


class Lane:
    """Jobs of one kind: some hold seats, the others wait. Not thread-safe.

    Args:
        width: seats.
        clock: seconds.
    """

    def __init__(self, width: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._width = width
        self._background_width = max(1, width - _INTERACTIVE_SEATS)
        self._clock = clock
        self._waiting: dict[Job, float] = {}  # since when, in order of arrival
        self._running: deque[Job] = deque()

    @property
    def running(self) -> Sequence[Job]:
        """Jobs that hold a seat, in the order they got it."""
        return self._running

    @property
    def total(self) -> int:
        """Jobs that are not done."""
        return len(self._waiting) + len(self._running)

    def add(self, job: Job) -> None:
        """Let a job wait for its seat."""
        self._waiting[job] = self._clock()

    def queue(self) -> list[Job]:
        """Jobs that would still wait after the next `sweep`, the next one first."""
        return self._parted()[1]

    def sweep(self) -> list[Job]:
        """Drop cancelled jobs, return the expired ones, let the next ones in."""
        expired = []
        for job in [
            job for job in (*self._waiting, *self._running) if job.cancelled or job.expired
        ]:
            self.remove([job])
            if not job.cancelled:
                expired.append(job)
        for job in self._parted()[0]:
            del self._waiting[job]
            self._running.append(job)
        return expired

    def remove(self, gone: Sequence[Job]) -> None:
        """Drop jobs, whether they are here or not."""
        for job in gone:
            self._waiting.pop(job, None)
            if job in self._running:
                self._running.remove(job)

    def _parted(self) -> tuple[list[Job], list[Job]]:
        """The waiting jobs: those that a seat is free for, and the others."""
        aged = self._clock() - AGED_S
        for job, since in self._waiting.items():
            if since <= aged:
                job.urgency = min(job.urgency, 0)
        seats = self._width - len(self._running)
        background = self._background_width - sum(job.background for job in self._running)
        entering: list[Job] = []
        staying: list[Job] = []
        for job in sorted(self._waiting, key=lambda job: job.urgency):
            if seats > 0 and (background > 0 or not job.background):
                entering.append(job)
                seats -= 1
                background -= job.background
            else:
                staying.append(job)
        return entering, staying
