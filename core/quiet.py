"""Quiet hours: times in which a trigger keeps what comes and tells of it when they end."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from core.records import Frozen, Instant
from core.workflows.guardrails.freeze import FreezeWindow, TimeZone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SIDE = r"^((\d{4}-\d{2}-\d{2}|[A-Z][a-z]{2}) )?\d{2}:\d{2}$"
_MOST_CHAINED = 400


class QuietWindow(Frozen):
    """A stretch of time: each day (`22:00` to `07:00`), weekly (`Fri 18:00` to `Mon 08:00`), or
    once (`2026-12-24 12:00`)."""

    starts: str = Field(alias="from", pattern=_SIDE)
    ends: str = Field(alias="to", pattern=_SIDE)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.within("UTC")
        return self

    def within(self, timezone: str) -> tuple[FreezeWindow, ...]:
        """The same as windows of a week.

        Raises:
            ValueError: the two sides do not fit.
        """
        daily = [len(side) == len("00:00") for side in (self.starts, self.ends)]
        if daily == [False, False]:
            return (_window(self.starts, self.ends, timezone),)
        if daily != [True, True]:
            raise ValueError("'from' and 'to' must both be times of the day (22:00), or neither")
        if self.starts == self.ends:
            raise ValueError("'from' and 'to' are the same time")
        over_midnight = self.ends < self.starts
        return tuple(
            _window(
                f"{day} {self.starts}", f"{_DAYS[(n + over_midnight) % 7]} {self.ends}", timezone
            )
            for n, day in enumerate(_DAYS)
        )


class Quiet(Frozen):
    """When a trigger is quiet.

    Attributes:
        timezone: of the windows.
        unless: a condition over `event`, as a trigger's `when`: what makes it true is told at
            once.
        starts: whether `mode: start` asks for its runs all the same.
    """

    windows: tuple[QuietWindow, ...] = Field(min_length=1, max_length=50)
    timezone: TimeZone = "UTC"
    unless: str | None = Field(default=None, min_length=1, max_length=1000)
    starts: bool = False
    _within: tuple[FreezeWindow, ...] = PrivateAttr()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._within = tuple(w for window in self.windows for w in window.within(self.timezone))
        return self

    def until(self, now: Instant) -> datetime | None:
        """When the quiet hours of this moment end; None where there are none. Windows that touch
        are one."""
        end = None
        for _ in range(_MOST_CHAINED):
            later = [w.end_if_inside(end or now) for w in self._within]
            if not (found := [moment for moment in later if moment is not None]):
                break
            end = max(found)
        return end


def _window(starts: str, ends: str, timezone: str) -> FreezeWindow:
    try:
        return FreezeWindow.model_validate(
            {"name": "quiet", "from": starts, "to": ends, "timezone": timezone}
        )
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
