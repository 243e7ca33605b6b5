"""How often something may happen: a token bucket, and a memory of what was said a moment ago."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable

_Clock = Callable[[], float]


class Bucket:
    """A token bucket: `per_second` in the long run, `burst` at once.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, per_second: float, burst: int, clock: _Clock = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def take(self) -> float:
        """Take one, and return 0; where there is none, seconds until there is."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0


class Seldom:
    """Lets one thing be said every `every_s` seconds about each subject: a storm of requests must
    not fill the disk with lines.

    Args:
        most: subjects that are remembered; of more, the one that came first is forgotten.
        clock: seconds that only grow.
    """

    def __init__(
        self, every_s: float = 1.0, most: int = 1000, clock: _Clock = time.monotonic
    ) -> None:
        self._every_s = every_s
        self._most = most
        self._clock = clock
        self._said: dict[Hashable, tuple[float, int]] = {}

    def due(self, subject: Hashable) -> int | None:
        """How many were left out before this one, where it is to be said; else None."""
        at, left_out = self._said.get(subject, (-math.inf, 0))
        now = self._clock()
        if now - at < self._every_s:
            self._said[subject] = (at, left_out + 1)
            return None
        if subject not in self._said and len(self._said) >= self._most:
            del self._said[next(iter(self._said))]
        self._said[subject] = (now, 0)
        return left_out
