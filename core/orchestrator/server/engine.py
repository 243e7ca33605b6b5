"""The scheduler: one thread that owns torch and gives every job its turns.

Three lanes take turns, one step each: embeddings, short jobs (a constrained choice), and chat.
So a short answer waits for one step of a long one, never for its end. Within a lane, up to
`width` jobs take turns and the rest wait in the order they came.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

import torch

from core.orchestrator.server.jobs import Failed, Job
from core.orchestrator.wire import DEADLINE_CODE

logger = logging.getLogger(__name__)

LaneName = Literal["embeddings", "short", "chat"]


class QueueFullError(Exception):
    """As many requests wait as may; `waiting` is their number."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are waiting")
        self.waiting = waiting


class _Lane:
    """Jobs of one kind: some running by turns, the others waiting."""

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


class Engine:
    """Runs jobs in a thread of its own.

    Args:
        queue_limit: jobs that may wait, over all lanes.
        max_running: chat jobs that take turns.
        crashed: called in the engine's thread when it ends by an error that is no job's fault.
    """

    def __init__(self, queue_limit: int, max_running: int, crashed: Callable[[], None]) -> None:
        self._queue_limit = queue_limit
        self._crashed = crashed
        self._lanes: dict[LaneName, _Lane] = {
            "embeddings": _Lane(1),
            "short": _Lane(2),
            "chat": _Lane(max_running),
        }
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread after the step it is in; jobs get no more events."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)

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
        while True:
            for lane in self._lanes.values():
                job = self._next(lane)
                if self._stopping:
                    return
                if job is not None and self._step(job):
                    with self._changed:
                        lane.running.remove(job)
            with self._changed:
                while not self._stopping and not self._has_work():
                    self._changed.wait()

    def _has_work(self) -> bool:
        return any(lane.waiting or lane.running for lane in self._lanes.values())

    def _next(self, lane: _Lane) -> Job | None:
        with self._changed:
            expired = [job for each in self._lanes.values() for job in each.sweep()]
            job = lane.running[0] if lane.running else None
            lane.running.rotate(-1)
        for late in expired:
            late.emit(Failed(504, DEADLINE_CODE, "The reply was not finished by its deadline."))
        return job

    def _step(self, job: Job) -> bool:
        try:
            return job.step()
        except (RuntimeError, MemoryError):  # torch: out of memory, a kernel that fails
            logger.exception("A request failed in the engine; the others go on.")
            message = "The model failed on this request; the server's log says why."
            job.emit(Failed(500, "engine_error", message))
            return True
