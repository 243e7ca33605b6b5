"""Freeze: times in which nothing may run, as windows or from a calendar file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, JsonValue, model_validator

from core.calendars.reader import CalendarEvent, read_calendar
from core.errors import CountersignError
from core.records import Frozen, Instant
from core.workflows.guardrails.base import (
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Situation,
    World,
    Written,
)

_FILE = r"^[A-Za-z0-9_][\w .-]*(/[A-Za-z0-9_][\w .-]*)*\.ics$"
_A_YEAR = timedelta(days=366)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"'{name}' is not a time zone such as Europe/Paris or UTC") from error
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]


class FreezeWindow(Frozen):
    """A stretch of time in local time, weekly (`Fri 16:00`) or once (`2026-12-20 00:00`)."""

    name: str = Field(max_length=80)
    starts: str = Field(alias="from", pattern=r"^(\d{4}-\d{2}-\d{2}|[A-Z][a-z]{2}) \d{2}:\d{2}$")
    ends: str = Field(alias="to", pattern=r"^(\d{4}-\d{2}-\d{2}|[A-Z][a-z]{2}) \d{2}:\d{2}$")
    timezone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _both_alike(self) -> FreezeWindow:
        for side in (self.starts, self.ends):
            if side[0].isalpha() and side[:3] not in _DAYS:
                raise ValueError(f"'{side[:3]}' is no day; write {', '.join(_DAYS)}")
        if self._weekly != (self.ends[:3] in _DAYS):
            raise ValueError("'from' and 'to' must both be weekly (Fri 16:00) or both be dates")
        start, end = (self._parse(side) for side in (self.starts, self.ends))
        if not self._weekly and end <= start:
            raise ValueError("'to' must be after 'from'")
        return self

    def end_if_inside(self, now: Instant) -> Instant | None:
        """The end of the window if `now` is in it, in the window's time zone."""
        zone = ZoneInfo(self.timezone)
        for start, end in self._near(now.astimezone(zone)):
            # A wall-clock time comes twice, or never, when clocks change: freeze rather too long.
            begins = min(start.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
            ends = max(end.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
            if begins <= now < ends:
                return ends.astimezone(zone)
        return None

    def _near(self, local: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Start and end of each time that the window comes which could hold `local`."""
        start, end = self._parse(self.starts, local), self._parse(self.ends, local)
        if not self._weekly:
            yield start, end
            return
        length = self._length_in_days(start, end)
        for week in (start, start - timedelta(days=7)):
            yield week, week.replace(hour=end.hour, minute=end.minute) + length

    @property
    def _weekly(self) -> bool:
        return self.starts[:3] in _DAYS

    def _parse(self, side: str, local: datetime | None = None) -> datetime:
        """Read one side; a weekday means that day in the week of `local`."""
        zone = ZoneInfo(self.timezone)
        if side[:3] not in _DAYS:
            return datetime.strptime(side, "%Y-%m-%d %H:%M").replace(tzinfo=zone)
        today = local or datetime.now(zone)
        hour, minute = (int(part) for part in side[4:].split(":"))
        day = today + timedelta(days=_DAYS.index(side[:3]) - today.weekday())
        return day.replace(hour=hour, minute=minute, second=0, microsecond=0)

    @staticmethod
    def _length_in_days(start: datetime, end: datetime) -> timedelta:
        days = (end.weekday() - start.weekday()) % 7
        if days == 0 and (end.hour, end.minute) <= (start.hour, start.minute):
            days = 7
        return timedelta(days=days)


class Freeze(Guardrail):
    """Nothing runs inside one of the windows, nor during an event of the calendar.

    Attributes:
        calendar: an iCalendar file, relative to the configuration folder. It is read again when
            it has changed, so a freeze that is entered there holds at once.
        only: events whose title has this text in it, whatever its case; all without it.
        timezone: of the calendar's times and days that have none of their own.
    """

    overridable: ClassVar[bool] = True

    type: Literal["freeze"] = "freeze"
    windows: tuple[FreezeWindow, ...] = Field(default=(), max_length=100)
    calendar: str | None = Field(default=None, pattern=_FILE, max_length=200)
    only: str | None = Field(default=None, min_length=1, max_length=80)
    timezone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _something(self) -> Freeze:
        if not self.windows and self.calendar is None:
            raise ValueError("give 'windows', or a 'calendar' file, or both")
        if self.calendar is None and (self.only is not None or self.timezone != "UTC"):
            raise ValueError("'only' and 'timezone' are about a 'calendar'; a window has its own")
        return self

    def describe(self) -> str:
        frozen = [f"{w.name} ({w.starts} to {w.ends} {w.timezone})" for w in self.windows]
        if self.calendar is not None:
            which = f"“{self.only}”" if self.only else "all events"
            frozen.append(f"{which} of {self.calendar}")
        return "Outside the freeze " + ", ".join(frozen)

    async def look(self, world: World, situation: Situation) -> JsonValue:  # noqa: ARG002
        if self.calendar is None:
            return None
        try:
            events = await world.calendar(self.calendar, self.timezone)
        except CountersignError as error:
            return {"problem": str(error)}
        return {"events": [e.model_dump(mode="json") for e in events if self._counts(e)]}

    def evaluate(self, situation: Situation) -> GuardrailResult:
        for window in self.windows:
            if end := window.end_if_inside(situation.now):
                return self._frozen(window.name, end)
        if self.calendar is None:
            return self._result(GuardrailState.MET, "No freeze now.")
        if not isinstance(situation.seen, Mapping):
            return self._not_looked()
        if "problem" in situation.seen:
            return self._result(GuardrailState.WAITING, str(situation.seen["problem"]))
        read = _Events.model_validate(situation.seen)
        now = [e for e in read.events if e.starts <= situation.now < e.ends]
        if now:
            last = max(now, key=lambda event: event.ends)
            return self._frozen(last.name, last.ends.astimezone(ZoneInfo(self.timezone)))
        return self._result(GuardrailState.MET, "No freeze now.")

    def problems(self, written: Written) -> Iterator[str]:
        yield from super().problems(written)
        if self.calendar is None:
            return
        now = datetime.now(UTC)
        try:
            read_calendar(written.folder / self.calendar, self.timezone, now, now + _A_YEAR)
        except CountersignError as error:
            yield f"calendar: {error}"

    def _counts(self, event: CalendarEvent) -> bool:
        return self.only is None or self.only.casefold() in event.name.casefold()

    def _frozen(self, name: str, until: Instant) -> GuardrailResult:
        moment = until.strftime("%a %Y-%m-%d %H:%M %Z")
        return self._result(GuardrailState.BLOCKED, f"{name} until {moment}.")


class _Events(Frozen):
    """What `Freeze.look` has seen."""

    events: tuple[CalendarEvent, ...]
