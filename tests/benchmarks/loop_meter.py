"""How long an event loop was kept from its work, measured inside it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import traceback
from collections import Counter
from types import FrameType, TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict

TICK_S = 0.005
_LOOK_S = 0.004
_WORTH_A_LOOK_S = 0.020
_KEPT = 8
_FRAMES = 14


class Stall(BaseModel):
    """One stall, and where the loop's thread was most often seen in it, innermost call last."""

    model_config = ConfigDict(frozen=True)

    milliseconds: float
    where: tuple[str, ...]


class LoopFigures(BaseModel):
    """What a meter saw since it was reset. A stall is how much too late a tick was.

    Attributes:
        collector_ms: the longest pause of the garbage collector, in the loop's thread.
        stalls: the longest ones with their places, where the meter was asked to explain them.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    ticks: int
    longest_stall_ms: float
    stall_p99_ms: float
    collector_ms: float
    stalls: tuple[Stall, ...] = ()


class LoopMeter:
    """A task that wants to run every 5 ms and notes how much later it does.

    Args:
        explain: a thread looks at the loop's thread while a tick is late. It costs a little.
    """

    def __init__(self, explain: bool = False) -> None:
        self._watch = _Watch() if explain else None
        self._late: list[float] = []
        self._collector_s = 0.0
        self._collecting_since = 0.0
        self._reset_at = time.perf_counter()
        self._thread = threading.get_ident()

    async def __aenter__(self) -> Self:
        gc.callbacks.append(self._collecting)
        self._task = asyncio.create_task(self._tick())
        if self._watch is not None:
            self._watch.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        gc.callbacks.remove(self._collecting)
        if self._watch is not None:
            self._watch.stop()

    def reset(self) -> None:
        """Forget what was seen."""
        self._late = []
        self._collector_s = 0.0
        self._reset_at = time.perf_counter()
        if self._watch is not None:
            self._watch.take()

    def figures(self) -> LoopFigures:
        """What was seen since the last reset."""
        late = sorted(self._late) or [0.0]
        return LoopFigures(
            seconds=time.perf_counter() - self._reset_at,
            ticks=len(self._late),
            longest_stall_ms=late[-1] * 1000,
            stall_p99_ms=late[int(0.99 * (len(late) - 1))] * 1000,
            collector_ms=self._collector_s * 1000,
            stalls=self._watch.take() if self._watch else (),
        )

    async def _tick(self) -> None:
        due = time.perf_counter() + TICK_S
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            self._late.append(max(0.0, now - due))
            due = now + TICK_S
            if self._watch is not None:
                self._watch.ticked(self._late[-1], due)

    def _collecting(self, phase: str, _info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting_since = time.perf_counter()
        else:
            pause = time.perf_counter() - self._collecting_since
            self._collector_s = max(self._collector_s, pause)


class _Watch:
    """Looks at the loop's thread while a tick is late; made in that thread."""

    def __init__(self) -> None:
        self._loop_thread = threading.get_ident()
        self._due = float("inf")
        self._seen: list[tuple[str, ...]] = []
        self._stalls: list[Stall] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="loop-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def ticked(self, late: float, due: float) -> None:
        """A tick came; called in the loop."""
        self._due = due
        seen, self._seen = self._seen, []
        if seen:
            ((where, _),) = Counter(seen).most_common(1)
            self._stalls.append(Stall(milliseconds=late * 1000, where=where))

    def take(self) -> tuple[Stall, ...]:
        """The longest stalls, and forget them."""
        stalls, self._stalls = self._stalls, []
        return tuple(sorted(stalls, key=lambda stall: -stall.milliseconds)[:_KEPT])

    def _look(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            if time.perf_counter() - self._due > _WORTH_A_LOOK_S:
                frame = sys._current_frames().get(self._loop_thread)
                if frame is not None:
                    self._seen.append(_place(frame))


def _place(frame: FrameType) -> tuple[str, ...]:
    stack = traceback.extract_stack(frame)[-_FRAMES:]
    return tuple(
        f"{'/'.join(call.filename.split('/')[-3:])}:{call.lineno} {call.name}" for call in stack
    )
