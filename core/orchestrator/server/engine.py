"""The scheduler: one thread that owns torch and gives every job its turns.

Three lanes let jobs in, each up to its width and in the order they came: embeddings, short jobs (a
constrained choice), and chat. Those that are in and belong together advance together, a step at a
time, so a short answer waits for one step of a long one, never for its end.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from core.orchestrator.server.jobs import Batch, Failed, Job
from core.orchestrator.wire import DEADLINE_CODE

logger = logging.getLogger(__name__)

LaneName = Literal["embeddings", "short", "chat"]
SHORT_RUNNING = 2
"""Choices that are advanced besides the chat jobs."""


class QueueFullError(Exception):
    """As many requests wait as may; `waiting` is their number."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are waiting")
        self.waiting = waiting


class _Lane:
    """Jobs of one kind: some running, the others waiting."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.waiting: deque[Job] = deque()
        self.running: deque[Job] = deque()

    @property
    def total(self) -> int:
        """Jobs that are not done."""
        return len(self.waiting) + len(self.running)

    def sweep(self) -> list[Job]:
        """Drop cancelled jobs, return the expired ones, let the next ones in."""
        expired = []
        for queue in (self.waiting, self.running):
            for job in [job for job in queue if job.cancelled or job.expired]:
                queue.remove(job)
                if not job.cancelled:
                    expired.append(job)
        while self.waiting and len(self.running) < self.width:
            self.running.append(self.waiting.popleft())
        return expired

    def remove(self, done: Sequence[Job]) -> None:
        """Drop jobs that are done."""
        for job in done:
            if job in self.running:
                self.running.remove(job)


class Engine:
    """Runs jobs in a thread of its own.

    Args:
        queue_limit: jobs that may wait, over all lanes.
        max_running: chat jobs that are advanced together; `SHORT_RUNNING` more are choices.
        crashed: called in the engine's thread when it ends by an error that is no job's fault.
    """

    def __init__(self, queue_limit: int, max_running: int, crashed: Callable[[], None]) -> None:
        self._queue_limit = queue_limit
        self._crashed = crashed
        self._lanes: dict[LaneName, _Lane] = {
            "embeddings": _Lane(1),
            "short": _Lane(SHORT_RUNNING),
            "chat": _Lane(max_running),
        }
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End the thread after the step it is in; jobs get no more events.

        Returns:
            Whether it has ended within the time.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def submit(self, job: Job, lane: LaneName) -> None:
        """Queue a job.

        Raises:
            QueueFullError: the queue limit is reached; nothing was queued.
        """
        with self._changed:
            waiting = self._count_waiting()
            chosen = self._lanes[lane]
            if chosen.total >= chosen.width and waiting >= self._queue_limit:
                raise QueueFullError(waiting)
            chosen.waiting.append(job)
            self._changed.notify()

    def load(self) -> tuple[int, int]:
        """Numbers of waiting and of running jobs."""
        with self._changed:
            waiting = self._count_waiting()
            return waiting, sum(lane.total for lane in self._lanes.values()) - waiting

    def _count_waiting(self) -> int:
        # Not the lengths of the queues: a job is let in only at the engine's next step.
        return sum(max(0, lane.total - lane.width) for lane in self._lanes.values())

    def _run(self) -> None:
        orderly = False
        try:
            with torch.inference_mode():
                self._loop()
            orderly = True
        finally:
            if not orderly:
                self._crashed()

    def _loop(self) -> None:
        while not self._stopping:
            for batch, jobs in self._turns().items():
                if self._stopping:
                    return
                done = batch.step(jobs)
                with self._changed:
                    for lane in self._lanes.values():
                        lane.remove(done)
            with self._changed:
                while not self._stopping and not self._has_work():
                    self._changed.wait()

    def _has_work(self) -> bool:
        return any(lane.total for lane in self._lanes.values())

    def _turns(self) -> dict[Batch, list[Job]]:
        """The jobs that run now, by what advances them; late ones are told and dropped."""
        with self._changed:
            expired = [job for lane in self._lanes.values() for job in lane.sweep()]
            running = [job for lane in self._lanes.values() for job in lane.running]
        for late in expired:
            late.emit(Failed(504, DEADLINE_CODE, "The reply was not finished by its deadline."))
        turns: dict[Batch, list[Job]] = {}
        for job in running:
            turns.setdefault(job.batch, []).append(job)
        return turns
