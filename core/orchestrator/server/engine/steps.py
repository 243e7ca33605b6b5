"""How long the engine's steps take: plain numbers, counted in its thread."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram's buckets, in seconds; one more holds what is longer."""


class StepTimes:
    """A histogram that one thread writes, without a lock, and others may read."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one step."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """Steps by upper bound, each with all that were shorter, and the sum of seconds."""
        total = 0
        buckets: list[tuple[str, float]] = []
        counts, seconds = list(self._counts), self._sum
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, seconds
