"""How much the intake takes: of each sender by its limits, of all together by what is in hand.

What is not taken is answered so: 429 or 503 with `Retry-After`, and a line in the log. The
sender has it still; nothing is dropped silently, and nothing is kept in memory without bound.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from itertools import count

from sqlalchemy.exc import SQLAlchemyError

from core.bucket import Bucket
from core.inbox import Backlog
from core.state import IntakeLimits
from integrations.webhooks import WebhookError

RETRY_AFTER_S = 10
MOST_STORING = 1000
"""Verified deliveries that wait for the database at once."""
MOST_BYTES = 128 * 1024 * 1024
"""Bodies in memory, all together."""
LATE_S = 5.0
"""How long the database may take before no more is sent after it."""
_RECOUNT_S = 2.0
_RETRY_WAITING_S = 30
_Clock = Callable[[], float]

_log = logging.getLogger(__name__)


class BusyError(WebhookError):
    """Not taken now: the sender is to try again.

    Attributes:
        retry_after_s: whole seconds, for `Retry-After`.
    """

    def __init__(self, status: HTTPStatus, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class SourceLimits:
    """The limits of each sender, in this process; what waits is counted over all replicas."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._buckets: dict[str, Bucket] = {}
        self._waiting: Counter[str] = Counter()
        self._counted_at = -math.inf
        self._count: asyncio.Task[None] | None = None

    def check(self, source: str, limits: IntakeLimits) -> None:
        """Let one verified delivery of `source` through.

        Raises:
            BusyError: 429, too many of it came, or wait to be processed.
        """
        if self._count is None and time.monotonic() - self._counted_at > _RECOUNT_S:
            self._count = asyncio.create_task(self._recount())
        if self._waiting[source] >= limits.waiting:
            raise BusyError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{limits.waiting} deliveries wait to be processed (intake.waiting)",
                _RETRY_WAITING_S,
            )
        if source not in self._buckets:
            self._buckets[source] = Bucket(limits.per_second, limits.burst)
        if wait_s := self._buckets[source].take():
            raise BusyError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {limits.per_second:g} deliveries a second (intake.per_second)",
                math.ceil(wait_s),
            )

    def accepted(self, source: str) -> None:
        """One more of it waits."""
        self._waiting[source] += 1

    async def _recount(self) -> None:
        try:
            self._waiting = Counter(await self._backlog.waiting())
        except (SQLAlchemyError, OSError) as error:
            _log.warning("what waits cannot be counted: %s", type(error).__name__)
        finally:
            self._counted_at = time.monotonic()
            self._count = None


class Pressure:
    """What is in our hands: bodies that are read, and deliveries that the database has not taken.

    Args:
        clock: seconds that only grow.
    """

    def __init__(
        self,
        most_storing: int = MOST_STORING,
        most_bytes: int = MOST_BYTES,
        late_s: float = LATE_S,
        clock: _Clock = time.monotonic,
    ) -> None:
        self._most_storing = most_storing
        self._most_bytes = most_bytes
        self._late_s = late_s
        self._clock = clock
        self._bytes = 0
        self._storing: dict[int, tuple[float, int]] = {}  # since when and how much, oldest first
        self._numbers = count()

    def check(self) -> None:
        """Let one more request begin.

        Raises:
            BusyError: 503, there is too much in hand, or the database is late.
        """
        if not self._storing:
            return
        if len(self._storing) >= self._most_storing:
            raise _unavailable(f"{len(self._storing)} deliveries wait for the database")
        oldest, _ = next(iter(self._storing.values()))
        if self._clock() - oldest > self._late_s:
            raise _unavailable(f"the database has not answered for {self._late_s:g} s")

    def hold(self, size: int) -> None:
        """So many more bytes are in memory, until they are dropped.

        Raises:
            BusyError: 503, that would be too many; they are not counted.
        """
        if self._bytes + size > self._most_bytes:
            raise _unavailable(f"bodies of {self._bytes} bytes are in hand")
        self._bytes += size

    def drop(self, size: int) -> None:
        """So many are not any more."""
        self._bytes -= size

    def begin(self, size: int) -> int:
        """A delivery of that many bytes goes to the database; the number to `end` it with.

        Raises:
            BusyError: 503, as `hold` and `check` say it.
        """
        self.check()
        self.hold(size)
        number = next(self._numbers)
        self._storing[number] = (self._clock(), size)
        return number

    def end(self, number: int) -> None:
        """The database has answered."""
        _, size = self._storing.pop(number)
        self.drop(size)


def _unavailable(message: str) -> BusyError:
    return BusyError(HTTPStatus.SERVICE_UNAVAILABLE, message, RETRY_AFTER_S)
