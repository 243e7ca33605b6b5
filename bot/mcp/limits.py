"""How many requests one token may make: an editor's model must not keep all others waiting."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from core.bucket import Bucket, Seldom
from core.security.tokens import AccessToken

PER_SECOND = 5.0
"""In the long run, for each replica."""
BURST = 60
_MOST = 1000
_LOG_S = 60.0

_log = logging.getLogger(__name__)


class TokenLimits:
    """A bucket for each token that asked lately.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._lines = Seldom(_LOG_S)

    def take(self, token: AccessToken) -> int:
        """Let one request of this token through, and return 0; else whole seconds to wait."""
        bucket = self._buckets.setdefault(token.id, Bucket(PER_SECOND, BURST, self._clock))
        self._buckets.move_to_end(token.id)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        wait_s = math.ceil(bucket.take())
        if wait_s and (more := self._lines.due(token.id)) is not None:
            _log.warning(
                "MCP: 429: too many requests with the token %s of %s (and %d before)",
                token.id,
                token.user,
                more,
            )
        return wait_s
