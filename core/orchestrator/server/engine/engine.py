"""The scheduler: one thread that owns torch and gives every job its turns.

Three lanes let jobs in, each up to its width and the most urgent first: embeddings, short jobs (a
choice), and chat. Those that are in and belong together advance together, a step at a
time, so a short answer waits for one step of a long one, never for its end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from core.orchestrator.server.engine.jobs import Batch, Failed, Job
from core.orchestrator.server.engine.lanes import Lane
from core.orchestrator.server.engine.steps import StepTimes
from core.orchestrator.wire import DEADLINE_CODE

logger = logging.getLogger(__name__)

LaneName = Literal["embeddings", "short", "chat"]
_EMBEDDINGS_RUNNING = 16  # short texts of all of them share a pass
_SETTLE_S = 10.0
SHORT_RUNNING = 2
"""Choices that are advanced besides the chat jobs."""


class QueueFullError(Exception):
    """As many requests wait as may; `waiting` is their number."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are waiting")
        self.waiting = waiting


class Engine:
    """Runs jobs in a thread of its own.

    Args:
        queue_limit: jobs that may wait, over all lanes; half as many of the background.
        max_running: chat jobs that are advanced together; `SHORT_RUNNING` more are choices.
        crashed: called in the engine's thread when it ends by an error that is no job's fault.
        clock: seconds, for how long a job has waited.

    Attributes:
        times: how long the steps took.
    """

    def __init__(
        self,
        queue_limit: int,
        max_running: int,
        crashed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue_limit = queue_limit
        self._crashed = crashed
        self._lanes: dict[LaneName, Lane] = {
            "embeddings": Lane(_EMBEDDINGS_RUNNING, clock),
            "short": Lane(SHORT_RUNNING, clock),
            "chat": Lane(max_running, clock),
        }
        self._changed = threading.Condition()
        self._stepped = threading.Condition()
        self._steps = 0
        self.times = StepTimes()
        self._resting = False
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
            waiting = self._queued()
            chosen = self._lanes[lane]
            chosen.add(job)
            if job in chosen.queue() and self._is_full(waiting, job):
                chosen.remove([job])
                raise QueueFullError(len(waiting))
            self._changed.notify()

    def _is_full(self, waiting: Sequence[Job], job: Job) -> bool:
        background = sum(other.background for other in waiting)
        if job.background and background >= max(1, self._queue_limit // 2):
            return True
        return len(waiting) >= self._queue_limit

    def place(self, job: Job) -> int | None:
        """How many are let in until this job is, in its lane: 1 is next; None where it waits not.

        May be asked from any thread; a place changes only when a step ends or a job is queued.
        """
        with self._changed:
            for lane in self._lanes.values():
                queue = lane.queue()
                if job in queue:
                    return queue.index(job) + 1
        return None

    def settle(self, timeout_s: float = _SETTLE_S) -> None:
        """Wait until no job is held that is done or cancelled; for a few steps, never its end."""
        with self._stepped:
            last = self._steps + 2  # the step that runs took its jobs before
            self._stepped.wait_for(lambda: self._resting or self._steps >= last, timeout_s)

    def load(self) -> tuple[int, int]:
        """Numbers of waiting and of running jobs."""
        with self._changed:
            waiting = len(self._queued())
            return waiting, sum(lane.total for lane in self._lanes.values()) - waiting

    def loads(self) -> dict[LaneName, tuple[int, int]]:
        """Numbers of waiting and of running jobs, by lane."""
        with self._changed:
            return {
                name: (waiting := len(lane.queue()), lane.total - waiting)
                for name, lane in self._lanes.items()
            }

    def _queued(self) -> list[Job]:
        # Not all that wait: a job is let in only at the engine's next step.
        return [job for lane in self._lanes.values() for job in lane.queue()]

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
            began = time.perf_counter()
            self._advance()
            self.times.add(time.perf_counter() - began)
            with self._changed:
                self._passed()
                while not self._stopping and not self._has_work():
                    self._changed.wait()
            self._resting = False

    def _passed(self) -> None:
        with self._stepped:
            self._steps += 1
            self._resting = not self._has_work()
            self._stepped.notify_all()

    def _advance(self) -> None:
        """One step of all; afterwards nothing here holds a model, which may then be unloaded."""
        for batch, jobs in self._turns().items():
            if self._stopping:
                return
            done = batch.step(jobs)
            with self._changed:
                for lane in self._lanes.values():
                    lane.remove(done)

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
