"""A deadline that several tries share."""

from __future__ import annotations

import time

from core.services.ai import ChatRequest


class Deadline:
    """A moment `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; a little more than none where it is over."""
        return max(self._end - time.monotonic(), 0.001)

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self._end

    def bound(self, request: ChatRequest) -> ChatRequest:
        """The request with the seconds that are left."""
        return request.model_copy(update={"deadline_s": self.left})
