"""What is said about a storm of requests: one line now and then, and how many were left out."""

from __future__ import annotations

from core.bucket import Seldom


class Stopped:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_is_said_and_the_next_says_how_many_were_not() -> None:
    clock = Stopped()
    lines = Seldom(every_s=1.0, clock=clock)
    assert [lines.due("a") for _ in range(4)] == [0, None, None, None]
    assert lines.due("b") == 0
    clock.now = 1.0
    assert lines.due("a") == 3
    clock.now = 2.0
    assert lines.due("a") == 0


def test_it_remembers_so_many_subjects_only() -> None:
    lines = Seldom(every_s=1.0, most=3, clock=Stopped())
    assert [lines.due(n) for n in range(5)] == [0] * 5
    assert len(lines._said) == 3
    assert lines.due(4) is None
