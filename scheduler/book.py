"""All schedules as they stand: the configuration's and those that people added."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime

from core.automation import AISchedule
from core.consistency.places import Problem, file_of
from core.errors import ConfigurationError, InvalidRequestError, NotFoundError
from core.schedules import ScheduleEntry, ScheduleStore
from core.state import ApplicationState
from scheduler.cron import Calendar


class Planned:
    """A schedule with its calendar."""

    def __init__(self, entry: ScheduleEntry, calendar: Calendar) -> None:
        self.entry = entry
        self.calendar = calendar

    @property
    def schedule(self) -> AISchedule:
        """What is to be done, and when."""
        return self.entry.schedule


class ScheduleBook:
    """Follows the database, so that each replica has the same schedules within seconds.

    Args:
        files: the configuration's, by id.

    Raises:
        ConfigurationError: a cron line of theirs cannot be read.
    """

    def __init__(self, files: Mapping[str, AISchedule], store: ScheduleStore) -> None:
        self._files = files
        self._store = store
        self._calendars = {id_: (one, _of_file(one)) for id_, one in files.items()}
        self._planned: dict[str, Planned] = {}
        self._revision: int | None = None
        self._reading = asyncio.Lock()

    @property
    def planned(self) -> Mapping[str, Planned]:
        """By id, as of the last `refresh`."""
        return self._planned

    @property
    def revision(self) -> int | None:
        """Another one after each change that `refresh` has found; None before the first."""
        return self._revision

    async def open(self, now: datetime) -> None:
        """Make the configuration's schedules known, from now on where they are new."""
        await self._store.note(self._files.values(), now)
        await self.refresh()

    async def refresh(self) -> None:
        """Read what has changed in the database."""
        async with self._reading:
            revision = await self._store.revision()
            if revision == self._revision:
                return
            entries = (await self._store.entries(self._files)).items()
            self._planned = {id_: Planned(e, self._calendar(e.schedule)) for id_, e in entries}
            self._calendars = {id_: (p.schedule, p.calendar) for id_, p in self._planned.items()}
            self._revision = revision

    def get(self, schedule_id: str) -> Planned:
        """The schedule with this id.

        Raises:
            NotFoundError: there is none.
        """
        if schedule_id not in self._planned:
            known = ", ".join(self._planned) or "none"
            raise NotFoundError(f"There is no schedule '{schedule_id}'. There are: {known}.")
        return self._planned[schedule_id]

    def _calendar(self, schedule: AISchedule) -> Calendar:
        known = self._calendars.get(schedule.id)
        return known[1] if known and known[0] == schedule else Calendar(schedule)


def cron_problems(state: ApplicationState) -> Iterator[Problem]:
    """Cron lines of the configuration that cannot be read, or that never fire."""
    for schedule in state.schedules.values():
        try:
            Calendar(schedule)
        except InvalidRequestError as error:
            spot = file_of(state.folder, "schedules", schedule.id).at("cron")
            yield spot.says(str(error).removeprefix("cron: "))


def _of_file(schedule: AISchedule) -> Calendar:
    try:
        return Calendar(schedule)
    except InvalidRequestError as error:
        raise ConfigurationError(f"schedules/{schedule.id}.yaml: {error}") from error
