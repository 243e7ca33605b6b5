"""`/ops schedules …`: look at schedules, add, pause, resume, start by hand, remove."""

from __future__ import annotations

from datetime import UTC, datetime

from bot import names
from bot.blocks import lists
from bot.blocks.layout import Content
from bot.blocks.schedules import schedule_details, schedule_list, schedule_preview
from bot.handlers.items import PressItem
from bot.handlers.schedule_reading import made, read_schedule
from bot.services import BotServices
from core.errors import InvalidRequestError
from core.ports import PresentationError
from core.records import Place
from scheduler.service import next_moments


class ScheduleCommands:
    """People's words about schedules. Who may what is `ScheduleService`'s to know.

    Every method raises `NotAllowedError`, `InvalidRequestError` or `NotFoundError` where that
    service does.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services
        self._schedules = services.schedules

    async def typed(self, key: str, user: str, place: Place, words: str) -> Content:
        """`[list] [ID]`, `add …`, or `pause|resume|run|remove ID`.

        Args:
            key: of the delivery; the same one has its effect once.
        """
        verb, _, rest = words.strip().partition(" ")
        rest = rest.strip()
        match verb.lower():
            case "" | "list":
                return await (self._one(rest, user) if rest else self._all(user))
            case "add":
                return await self._preview(key, user, place, rest)
            case "pause" | "resume" | "run" | "remove" as change:
                if not rest:
                    raise InvalidRequestError(f"Say which schedule: schedules {change} ID.")
                return lists.sentence(await self._change(change, rest, user, key))
            case _:
                return await self._one(words.strip(), user)

    async def pressed(self, key: str, item: PressItem) -> None:
        """A button under a schedule or under a preview; the answer is for who pressed it."""
        if item.action == names.SCHEDULE_ADD:
            planned = await self._schedules.confirm(item.value, item.user)
            said = schedule_details(planned.entry, next_moments(planned), datetime.now(UTC))
        else:
            change = item.action.removeprefix("schedule.")
            said = lists.sentence(await self._change(change, item.value, item.user, key))
        messenger = self._services.messenger
        place = item.place or Place(channel=await messenger.direct_channel(item.user))
        await messenger.whisper(place, item.user, said)

    async def _all(self, user: str) -> Content:
        known = [
            (planned.entry, next(iter(next_moments(planned, 1)), None))
            for planned in await self._schedules.visible(user)
        ]
        return schedule_list(known, datetime.now(UTC), self._services.settings.command)

    async def _one(self, schedule_id: str, user: str) -> Content:
        planned = await self._schedules.get(schedule_id, user)
        return schedule_details(planned.entry, next_moments(planned), datetime.now(UTC))

    async def _preview(self, key: str, user: str, place: Place, words: str) -> Content:
        fields = read_schedule(words, self._services.settings.command)
        if "channel" not in fields:
            fields["channel"] = await self._channel(place)
        if "timezone" not in fields:
            person = await self._services.directory.person(user)
            fields["timezone"] = person.timezone
        schedule = made(fields)
        await self._require_channel(schedule.channel)
        draft = f"schedule:{key}"
        moments = await self._schedules.draft(draft, schedule, user)
        return schedule_preview(schedule, moments, datetime.now(UTC), draft)

    async def _require_channel(self, channel: str) -> None:
        directory = self._services.directory
        try:
            there = await directory.can_post_in(await directory.channel_id(channel))
        except PresentationError as error:
            raise InvalidRequestError(str(error)) from error
        if not there:
            raise InvalidRequestError(f"I am not in {channel}. Invite me with /invite first.")

    async def _change(self, change: str, schedule_id: str, user: str, key: str) -> str:
        if change == "pause":
            await self._schedules.pause(schedule_id, user)
            return f"Schedule {schedule_id} is paused."
        if change == "resume":
            planned = await self._schedules.resume(schedule_id, user)
            moment = next(iter(next_moments(planned, 1)), None)
            comes = f"it comes next {moment:%a %d %b %Y %H:%M %Z}" if moment else "it is over"
            return f"Schedule {schedule_id} goes on: {comes}."
        if change == "remove":
            await self._schedules.remove(schedule_id, user)
            return f"Schedule {schedule_id} is removed."
        planned = await self._schedules.run(schedule_id, user, key)
        return f"Schedule {schedule_id} was started by hand, in {planned.schedule.channel}."

    async def _channel(self, place: Place) -> str:
        if place.channel.startswith("D"):
            raise InvalidRequestError("Say in which channel: add … channel=#deploys run …")
        return await self._services.directory.channel_name(place.channel)
