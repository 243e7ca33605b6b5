"""Waiting for what happens in another process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(check: Callable[[], Awaitable[T] | T], what: str, limit_s: float = 20.0) -> T:
    """Ask again and again until the answer is true; return it."""
    deadline = time.monotonic() + limit_s
    while True:
        answer = check()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"after {limit_s:g} s still not: {what}")
        await asyncio.sleep(0.02)
