"""Interactive jobs go first, background ones are not forgotten."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from core.orchestrator.server.engine.encoding import EncodingJob, EncodingTurns
from core.orchestrator.server.engine.jobs import Batch, Job
from core.orchestrator.server.engine.lanes import AGED_S, Lane

BACKGROUND = 10


class Clock:
    """Tells the time that it is given."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class NoBatch(Batch):
    """Never asked."""

    def step(self, jobs: Sequence[Job]) -> list[Job]:
        raise NotImplementedError


class Named(Job):
    """A job that only waits."""

    def __init__(self, name: str, priority: int = 0) -> None:
        super().__init__(lambda event: None, time.monotonic() + 3600, NoBatch(), priority)
        self.name = name


@pytest.fixture
def clock() -> Clock:
    return Clock()


def names(jobs: Sequence[Job]) -> list[str]:
    return [job.name for job in jobs if isinstance(job, Named)]


def filled(lane: Lane) -> list[Named]:
    """As many people as the lane has seats."""
    people = []
    while not lane.queue():
        people.append(Named("first"))
        lane.add(people[-1])
    lane.remove([people.pop()])
    lane.sweep()
    return people


def test_the_most_urgent_goes_first_and_equals_as_they_came(clock: Clock) -> None:
    lane = Lane(3, clock)
    filled(lane)
    for name, priority in [("b1", BACKGROUND), ("p1", 0), ("now", -5), ("b2", 5), ("p2", 0)]:
        lane.add(Named(name, priority))
    assert names(lane.queue()) == ["now", "p1", "p2", "b2", "b1"]


def test_who_waited_long_goes_as_a_person_does(clock: Clock) -> None:
    lane = Lane(3, clock)
    people = filled(lane)
    lane.add(Named("b", BACKGROUND))
    clock.now += AGED_S - 1
    lane.add(Named("p1"))
    assert names(lane.queue()) == ["p1", "b"]
    clock.now += 1
    lane.add(Named("p2"))
    assert names(lane.queue()) == ["b", "p1", "p2"]
    lane.remove(people[:1])
    lane.sweep()
    assert names(lane.running)[-1] == "b"


def test_nobody_waits_for_ever_however_many_people_come(clock: Clock) -> None:
    lane = Lane(2, clock)
    people = filled(lane)
    lane.add(Named("b", BACKGROUND))
    for _ in range(int(AGED_S) + 3):  # each second one leaves and two come
        lane.remove([people.pop(0)])
        more = [Named("p"), Named("p")]
        people += more
        for person in more:
            lane.add(person)
        lane.sweep()
        clock.now += 1
    assert "b" in names(lane.running)


@pytest.mark.parametrize(("seats", "most"), [(8, 6), (3, 1), (2, 1), (1, 1)])
def test_background_jobs_leave_seats_to_people(clock: Clock, seats: int, most: int) -> None:
    lane = Lane(seats, clock)
    for _ in range(seats + 2):
        lane.add(Named("b", BACKGROUND))
    clock.now += AGED_S  # also those that have waited long
    lane.sweep()
    assert names(lane.running) == ["b"] * most
    person = Named("p")
    lane.add(person)
    assert (person in lane.queue()) == (seats == 1)


class Counted:
    """An embedding model that notes which texts it embeds together."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []

    def forward(self, batch: Sequence[list[int]]) -> npt.NDArray[np.float32]:
        self.steps.append([ids[0] for ids in batch])
        return np.zeros((len(batch), 2), np.float32)


def embedding(
    turns: EncodingTurns[list[int]], texts: Sequence[int], priority: int
) -> EncodingJob[list[int]]:
    return EncodingJob(
        lambda event: None,
        time.monotonic() + 3600,
        batch=turns,
        texts=[[name] * 500 for name in texts],
        priority=priority,
    )


def test_a_question_is_embedded_in_the_step_after_it_came() -> None:
    model = Counted()
    turns = EncodingTurns(model)
    indexing = embedding(turns, range(100, 140), BACKGROUND)
    again = embedding(turns, range(200, 240), BACKGROUND)
    jobs = [indexing, again]
    turns.step(jobs)
    turns.step(jobs)
    question = embedding(turns, [7], 0)
    assert turns.step([*jobs, question]) == [question]
    assert model.steps[2] == [7]
    turns.step(jobs)
    turns.step(jobs)
    assert [step[0] // 100 for step in model.steps] == [1, 2, 0, 1, 2]


def test_equals_share_the_turns_whoever_comes() -> None:
    draw = random.Random(3)
    model = Counted()
    turns = EncodingTurns(model)
    long = embedding(turns, range(100, 140), 0)
    left = 40
    jobs = [long]
    while long in jobs:  # a stream of short ones does not keep it from its turns
        jobs += [embedding(turns, [draw.randrange(10)], 0)] * (len(jobs) < 3)
        jobs = [job for job in jobs if job not in turns.step(jobs)]
        assert len(model.steps) < 3 * left
