"""What people do with schedules: look, add, pause, resume, start by hand, remove.

A schedule that somebody added starts its workflow as that person: it may do what they may at
that time, and they cannot countersign its runs where the rule asks for four eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from core.automation import AISchedule
from core.errors import InvalidRequestError, NotAllowedError, NotFoundError
from core.firings import FiringService, arguments_of
from core.schedules import ScheduleStore
from core.security.permissions import Permissions
from core.security.policy import Right
from core.state import ApplicationState
from core.workflows.arguments import fill_in
from scheduler.book import Planned, ScheduleBook
from scheduler.cron import Calendar

_MOST = 1000
_NAMED = 50


class Following(Protocol):
    """What schedules need of the clock."""

    async def follow(self) -> None:
        """Take over what has changed in the database."""
        ...


class ScheduleService:
    """The one way to change schedules. Whoever calls this has verified who the person is."""

    def __init__(
        self,
        book: ScheduleBook,
        store: ScheduleStore,
        clock: Following,
        state: ApplicationState,
        permissions: Permissions,
        firings: FiringService,
    ) -> None:
        self._book = book
        self._store = store
        self._clock = clock
        self._state = state
        self._permissions = permissions
        self._firings = firings

    async def visible(self, user: str) -> list[Planned]:
        """The schedules that `user` may see, by id."""
        await self._book.refresh()
        known = [self._book.planned[id_] for id_ in sorted(self._book.planned)]
        return [one for one in known if await self._sees(user, one.schedule)]

    async def get(self, schedule_id: str, user: str) -> Planned:
        """A schedule by its id.

        Raises:
            NotFoundError: there is none that `user` may see.
        """
        await self._book.refresh()
        planned = self._book.planned.get(schedule_id)
        if planned is None or not await self._sees(user, planned.schedule):
            known = [one.schedule.id for one in await self.visible(user)]
            names = ", ".join(known[:_NAMED]) or "none"
            raise NotFoundError(f"There is no schedule '{schedule_id}'. There are: {names}.")
        return planned

    def upcoming(self) -> dict[str, datetime | None]:
        """For each schedule's id the moment of its next firing; None where there is none."""
        planned = self._book.planned
        return {id_: next(iter(next_moments(one, 1)), None) for id_, one in planned.items()}

    async def draft(self, draft_id: str, schedule: AISchedule, user: str) -> list[datetime]:
        """Check what `user` is about to add, and keep it until they confirm it.

        Returns:
            Its next five moments, in its time zone.

        Raises:
            NotAllowedError: they may not add it.
            InvalidRequestError: it cannot be so; the message says what to change.
        """
        moments = await self._check(schedule, user)
        await self._store.draft(draft_id, schedule, user, datetime.now(UTC))
        return moments

    async def confirm(self, draft_id: str, user: str) -> Planned:
        """Add what was drafted; a second time changes nothing.

        Raises:
            NotFoundError: the draft is too old.
            NotAllowedError: somebody else drafted it, or they may not add it any more.
            InvalidRequestError: there is one of this id by now.
        """
        draft = await self._store.drafted(draft_id)
        schedule = draft.schedule
        if draft.drafted_by != user:
            raise NotAllowedError("Somebody else has drafted this schedule; add your own.")
        await self._book.refresh()
        there = self._book.planned.get(schedule.id)
        if there is None or there.schedule != schedule or there.entry.added_by != user:
            await self._check(schedule, user)
            over_at = None if schedule.at is None else next(Calendar(schedule).moments(_EVER))
            await self._store.add(schedule, user, over_at, datetime.now(UTC))
            await self._clock.follow()
        return self._book.get(schedule.id)

    async def pause(self, schedule_id: str, user: str) -> Planned:
        """Let it fire no more.

        Raises:
            NotFoundError: there is none.
            NotAllowedError: they did not add it, and may neither start nor administer it.
        """
        planned = await self._changeable(schedule_id, user, Right.START, "pause it")
        if not planned.entry.paused:
            await self._store.pause(schedule_id, user, datetime.now(UTC))
            await self._clock.follow()
        return self._book.get(schedule_id)

    async def resume(self, schedule_id: str, user: str) -> Planned:
        """Let it fire again, from now on. Raises as `pause` does."""
        planned = await self._changeable(schedule_id, user, Right.START, "resume it")
        if planned.entry.paused:
            await self._store.resume(schedule_id, user, datetime.now(UTC))
            await self._clock.follow()
        return self._book.get(schedule_id)

    async def remove(self, schedule_id: str, user: str) -> None:
        """Take it away.

        Raises:
            NotFoundError: there is none.
            NotAllowedError: they neither added it nor may administer it.
            InvalidRequestError: the configuration has it.
        """
        planned = await self._changeable(schedule_id, user, Right.ADMINISTER, "remove it")
        if planned.entry.added_by is None:
            raise InvalidRequestError(
                f"The configuration has this schedule: remove schedules/{schedule_id}.yaml, "
                "or pause it."
            )
        await self._store.remove(schedule_id, user, datetime.now(UTC))
        await self._clock.follow()

    async def run(self, schedule_id: str, user: str, key: str) -> Planned:
        """Do what it does now, as `user`; its own times stay.

        Args:
            key: the same request has the same key, and has its effect once.

        Raises:
            NotFoundError: there is none.
            NotAllowedError: they may not start it.
        """
        planned = await self.get(schedule_id, user)
        await self._require(user, Right.START, planned.schedule, "start this schedule by hand")
        await self._firings.fire(planned.schedule, datetime.now(UTC), user, by_hand=key)
        return planned

    async def _check(self, schedule: AISchedule, user: str) -> list[datetime]:
        await self._require(user, Right.START, schedule, "add this schedule")
        await self._book.refresh()
        if schedule.id in self._book.planned:
            raise InvalidRequestError(
                f"There is a schedule '{schedule.id}' already; choose another name."
            )
        if len(self._book.planned) >= _MOST:
            raise InvalidRequestError(f"There are {_MOST} schedules; remove one first.")
        if schedule.workflow is not None:
            fill_in(self._state.workflows[schedule.workflow], arguments_of(schedule))
        now = datetime.now(UTC)
        moments = list(islice(Calendar(schedule).moments(now), 5))
        if not moments:
            raise InvalidRequestError(f"{schedule.timing} ({schedule.timezone}) has passed.")
        return in_zone(schedule, moments)

    async def _changeable(self, schedule_id: str, user: str, right: Right, what: str) -> Planned:
        planned = await self.get(schedule_id, user)
        mine = planned.entry.added_by == user
        if not mine and not await self._has(user, Right.ADMINISTER, planned.schedule):
            await self._require(user, right, planned.schedule, what)
        return planned

    async def _sees(self, user: str, schedule: AISchedule) -> bool:
        return schedule.workflow is None or await self._has(user, Right.SEE, schedule)

    async def _has(self, user: str, right: Right, schedule: AISchedule) -> bool:
        """With a digest, which is no workflow's: whether they have the right with any there."""
        for workflow in [schedule.workflow] if schedule.workflow else self._state.workflows:
            if await self._permissions.may(user, right, workflow, schedule.channel):
                return True
        return False

    async def _require(self, user: str, right: Right, schedule: AISchedule, what: str) -> None:
        if schedule.workflow is not None:
            _known("workflow", schedule.workflow, list(self._state.workflows))
        if schedule.assistant is not None:
            _known("assistant", schedule.assistant, list(self._state.assistants))
        try:
            await self._let_pass(user, right, schedule, what)
        except NotAllowedError as refusal:
            await self._store.refused(user, schedule.id, what, str(refusal))
            raise

    async def _let_pass(self, user: str, right: Right, schedule: AISchedule, what: str) -> None:
        channel = schedule.channel
        if schedule.workflow is not None:
            await self._permissions.require(user, right, schedule.workflow, channel, what)
        elif not await self._has(user, right, schedule):
            raise NotAllowedError(
                f"You may not {what}: policy.yaml gives you the right to {right} no workflow in "
                f"{channel}."
            )


_EVER = datetime(1970, 1, 2, tzinfo=UTC)


def next_moments(planned: Planned, count: int = 5) -> list[datetime]:
    """The next moments of a schedule, in its time zone; none while it is paused."""
    if planned.entry.paused:
        return []
    begin = max(datetime.now(UTC), planned.entry.since)
    return in_zone(planned.schedule, islice(planned.calendar.moments(begin), count))


def in_zone(schedule: AISchedule, moments: Sequence[datetime] | islice[datetime]) -> list[datetime]:
    """Moments as the clocks of the schedule's time zone show them."""
    zone = ZoneInfo(schedule.timezone)
    return [moment.astimezone(zone) for moment in moments]


def _known(kind: str, name: str, known: list[str]) -> None:
    if name not in known:
        there = ", ".join(known) or "none"
        raise NotFoundError(f"There is no {kind} '{name}'. There are: {there}.")
