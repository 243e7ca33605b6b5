"""Identifiers in Slack's forms, and the clock behind `ts`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"

Clock = Callable[[], float]
"""Seconds since 1970."""


def new_id(prefix: str) -> str:
    """Makes a random id such as `F7K2…` (50 bits)."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(10))


def im_channel_id(user: str) -> str:
    """Names the direct message between a user and the bot; one user has one."""
    return "D" + user[1:]


class TsSource:
    """Hands out `ts` values: unique, and rising even when the clock steps back.

    Args:
        clock: seconds since 1970.
        last: the newest `ts` that was given before a restart, None at the first start.
    """

    def __init__(self, clock: Clock = time.time, last: str | None = None) -> None:
        self._clock = clock
        self._last = int(last.replace(".", "")) if last else 0

    def next(self) -> str:
        """Returns seconds with six digits, e.g. `1764027455.000001`."""
        self._last = max(self._last + 1, int(self._clock() * 1_000_000))
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"
