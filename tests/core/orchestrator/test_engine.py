"""The scheduler gives every job its turns, and no job takes another down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from core.orchestrator.server.engine.engine import Engine, LaneName, QueueFullError
from core.orchestrator.server.engine.jobs import Batch, Event, Failed, Finished, Job


class Together(Batch):
    """Advances every job by one of its steps."""

    def step(self, jobs: Sequence[Job]) -> list[Job]:
        return [job for job in jobs if isinstance(job, Steps) and job.step()]


TOGETHER = Together()


class Steps(Job):
    """A job of a few steps, each of which is noted in `log` under the job's name."""

    def __init__(
        self,
        name: str,
        steps: int,
        log: list[str],
        work: Callable[[], object] = lambda: None,
        seconds: float = 60.0,
        batch: Batch = TOGETHER,
        priority: int = 0,
    ) -> None:
        super().__init__(self.record, time.monotonic() + seconds, batch, priority)
        self.last: Event | None = None
        self.ended = threading.Event()
        self._name, self._left, self._log, self._work = name, steps, log, work

    def record(self, event: Event) -> None:
        self.last = event
        self.ended.set()

    def step(self) -> bool:
        self._log.append(self._name)
        self._work()
        self._left -= 1
        if self._left == 0:
            self.emit(Finished("stop", 0))
        return self._left == 0


@pytest.fixture
def crashed() -> threading.Event:
    return threading.Event()


@pytest.fixture
def engine(crashed: threading.Event) -> Iterator[Engine]:
    engine = Engine(queue_limit=2, max_running=2, crashed=crashed.set)
    yield engine
    assert engine.stop(30)


def submit_and_run(engine: Engine, jobs: Sequence[tuple[Steps, LaneName]]) -> None:
    for job, lane in jobs:
        engine.submit(job, lane)
    engine.start()
    for job, _ in jobs:
        assert job.ended.wait(5)


def test_jobs_of_a_batch_advance_together_and_batches_take_turns(engine: Engine) -> None:
    log: list[str] = []
    # Two at once: C waits.
    jobs: list[tuple[Steps, LaneName]] = [(Steps(name, 3, log), "chat") for name in "ABC"]
    other = Steps("e", 2, log, batch=Together())
    submit_and_run(engine, [*jobs, (other, "embeddings"), (Steps("s", 2, log), "short")])
    assert log == ["e", "s", "A", "B", "e", "s", "A", "B", "A", "B", "C", "C", "C"]
    assert engine.load() == (0, 0)


def test_the_queue_is_bounded_whoever_runs_already(engine: Engine) -> None:
    log: list[str] = []
    jobs = [Steps(str(index), 1, log) for index in range(4)]
    for job in jobs:
        engine.submit(job, "chat")
    assert engine.load() == (2, 2)
    with pytest.raises(QueueFullError):
        engine.submit(Steps("one too many", 1, log), "chat")
    engine.submit(Steps("free lane", 1, log), "short")
    engine.start()
    assert all(job.ended.wait(5) for job in jobs)
    assert sorted(log) == ["0", "1", "2", "3", "free lane"]


def test_background_jobs_fill_half_of_the_queue_at_most(engine: Engine) -> None:
    log: list[str] = []

    def background(name: str) -> Steps:
        return Steps(name, 1, log, priority=10)

    jobs = [background("b1"), background("b2")]  # one seat of two is theirs: the second waits
    for job in jobs:
        engine.submit(job, "chat")
    with pytest.raises(QueueFullError, match="1 requests are waiting"):
        engine.submit(background("b3"), "chat")
    jobs += [Steps("p1", 1, log), Steps("p2", 1, log)]
    for job in jobs[2:]:
        engine.submit(job, "chat")
    with pytest.raises(QueueFullError, match="2 requests are waiting"):
        engine.submit(Steps("p3", 1, log), "chat")
    engine.start()
    assert all(job.ended.wait(5) for job in jobs)


def test_a_waiting_job_knows_its_place(engine: Engine) -> None:
    log: list[str] = []
    release = threading.Event()
    running = [Steps(name, 1, log, lambda: release.wait(5)) for name in "AB"]
    background, person = Steps("b", 1, log, priority=10), Steps("p", 1, log)
    for job in (*running, background):
        engine.submit(job, "chat")
    assert [engine.place(job) for job in (*running, background)] == [None, None, 1]
    engine.submit(person, "chat")
    assert [engine.place(job) for job in (person, background)] == [1, 2]
    background.cancel()
    engine.start()
    release.set()
    assert person.ended.wait(5)
    assert "b" not in log
    assert engine.place(person) is None


def test_late_jobs_end_even_while_they_wait(engine: Engine) -> None:
    log: list[str] = []
    release = threading.Event()
    running = [Steps(name, 1, log, lambda: release.wait(5)) for name in "AB"]
    waiting = Steps("late", 1, log, seconds=0.0)
    for job in (*running, waiting):
        engine.submit(job, "chat")
    engine.start()
    release.set()
    assert waiting.ended.wait(5)
    assert isinstance(waiting.last, Failed)
    assert waiting.last.code == "deadline_exceeded"
    assert "late" not in log


def test_a_cancelled_job_takes_no_further_step(engine: Engine) -> None:
    log: list[str] = []
    gone = Steps("gone", 100, log, lambda: gone.cancel())
    last = Steps("last", 5, log)
    engine.submit(gone, "chat")
    engine.submit(last, "chat")
    engine.start()
    assert last.ended.wait(5)
    assert log.count("gone") == 1
    assert gone.last is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_of_the_engine_itself_is_reported(
    engine: Engine, crashed: threading.Event
) -> None:
    def defect() -> None:
        raise KeyError("a bug")

    engine.submit(Steps("any", 1, [], defect), "chat")
    engine.start()
    assert crashed.wait(5)
