"""`/ops schedules …`: look at schedules, add, pause, resume, start by hand, remove."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import ValidationError

from bot import names
from bot.blocks import lists
from bot.blocks.layout import Content
from bot.blocks.schedules import schedule_details, schedule_list, schedule_preview
from bot.handlers.items import PressItem
from bot.services import BotServices
from bot.slack.incoming import straight
from core.automation import AISchedule
from core.errors import InvalidRequestError
from core.ports import PresentationError
from core.records import Place
from scheduler.service import next_moments

_FIELDS = {
    "name": "name",
    "cron": "cron",
    "at": "at",
    "tz": "timezone",
    "timezone": "timezone",
    "channel": "channel",
    "jitter": "jitter",
    "misfire": "misfire",
    "grace": "misfire_grace",
    "misfire_grace": "misfire_grace",
    "limit": "catch_up_limit",
    "catch_up_limit": "catch_up_limit",
    "paused": "paused",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


class Request(Protocol):
    """What is needed of `bot.handlers.commands.Typed`."""

    @property
    def key(self) -> str:
        """Of the delivery."""
        ...

    @property
    def user(self) -> str:
        """Who asks."""
        ...

    @property
    def place(self) -> Place:
        """Where."""
        ...

    @property
    def rest(self) -> str:
        """What follows `schedules`."""
        ...


class ScheduleCommands:
    """People's words about schedules. Who may what is `ScheduleService`'s to know.

    Every method raises `NotAllowedError`, `InvalidRequestError` or `NotFoundError` where that
    service does.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services
        self._schedules = services.schedules

    async def typed(self, request: Request) -> Content:
        """`[list] [ID]`, `add …`, or `pause|resume|run|remove ID`."""
        verb, _, rest = request.rest.strip().partition(" ")
        rest = rest.strip()
        match verb.lower():
            case "" | "list":
                return await (self._one(rest, request.user) if rest else self._all(request.user))
            case "add":
                return await self._preview(request, rest)
            case "pause" | "resume" | "run" | "remove" as change:
                if not rest:
                    raise InvalidRequestError(f"Say which schedule: schedules {change} ID.")
                return lists.sentence(await self._change(change, rest, request.user, request.key))
            case _:
                return await self._one(request.rest.strip(), request.user)

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

    async def _preview(self, request: Request, rest: str) -> Content:
        command = self._services.settings.command
        fields = read_schedule(rest, command)
        if "channel" not in fields:
            fields["channel"] = await self._channel(request.place)
        if "timezone" not in fields:
            person = await self._services.directory.person(request.user)
            fields["timezone"] = person.timezone
        schedule = made(fields)
        await self._require_channel(schedule.channel)
        draft = f"schedule:{request.key}"
        moments = await self._schedules.draft(draft, schedule, request.user)
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


def read_schedule(text: str, command: str) -> dict[str, Any]:
    """Read `ID CRON NAME=VALUE … run WORKFLOW NAME=VALUE …`, or `… ask ASSISTANT QUESTION`.

    CRON is five fields; instead, `at DATE TIME` is one moment.

    Raises:
        InvalidRequestError: it is not of that form; the message shows how it should be.
    """
    try:
        words = shlex.split(straight(text))
    except ValueError as error:
        raise InvalidRequestError("A quotation mark is not closed.") from error
    divider = next((n for n, word in enumerate(words) if word.lower() in {"run", "ask"}), None)
    if divider is None or divider == 0 or divider + 1 == len(words):
        raise InvalidRequestError(
            f"Say what is to be done, and when: {command} schedules add ID MINUTE HOUR DAY MONTH "
            "WEEKDAY run WORKFLOW NAME=VALUE …, for example "
            f"{command} schedules add nightly-prune 0 6 * * mon run prune-worktree "
            "repository=shop."
        )
    fields: dict[str, Any] = {"id": words[0], "name": _title(words[0])}
    bare = [word for word in words[1:divider] if "=" not in word]
    fields |= _times(bare)
    for name, value in _pairs(word for word in words[1:divider] if "=" in word):
        if name not in _FIELDS:
            known = ", ".join(sorted(_FIELDS))
            raise InvalidRequestError(f"A schedule has no '{name}'; it has {known}.")
        fields[_FIELDS[name]] = value
    target, rest = words[divider + 1], words[divider + 2 :]
    if words[divider].lower() == "ask":
        question = " ".join(rest)
        return fields | {"assistant": target.rstrip(":"), "prompt": question}
    return fields | {"workflow": target, "with": dict(_pairs(rest))}


def made(fields: dict[str, Any]) -> AISchedule:
    """A schedule of these fields.

    Raises:
        InvalidRequestError: they do not make one; the message names each that is wrong.
    """
    try:
        return AISchedule.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequestError(" ".join(_mends(error))) from error


def _mends(error: ValidationError) -> Iterable[str]:
    for problem in error.errors(include_url=False):
        field = ".".join(str(part) for part in problem["loc"])
        mend = _MENDS.get(field) or problem["msg"].removeprefix("Value error, ").rstrip(".")
        yield f"{field}: {mend}." if field else f"{mend}."


_MENDS = {
    "id": "choose lower-case words joined by hyphens, for example nightly-prune",
    "cron": "write five fields: minute hour day month weekday, for example 0 6 * * mon",
    "at": "write the local time, for example at 2026-12-01 22:00",
    "channel": "write it as #deploys",
    "prompt": "say what is to be asked",
    "misfire": "choose skip, once or all",
}


def _times(bare: list[str]) -> dict[str, str]:
    if not bare:
        return {}
    if bare[0].lower() == "at" and len(bare) in {2, 3}:
        return {"at": " ".join(bare[1:])}
    line = " ".join(bare)
    if len(line.split()) != 5:
        raise InvalidRequestError(
            f"'{line[:80]}' is no time. Write five fields (minute hour day month weekday, for "
            "example 0 6 * * mon), or at 2026-12-01 22:00."
        )
    return {"cron": " ".join(line.split())}


def _pairs(words: Iterable[str]) -> Iterable[tuple[str, str]]:
    given = set()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise InvalidRequestError(
                f"'{word[:80]}' is not NAME=VALUE. Write values with spaces as name=\"two words\"."
            )
        if name in given:
            raise InvalidRequestError(f"{name} is given twice.")
        given.add(name)
        yield name, value


def _title(schedule_id: str) -> str:
    return schedule_id.replace("-", " ").capitalize()[:120]
