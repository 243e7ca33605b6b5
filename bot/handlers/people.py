"""Standing in for who is away, reviews of broken glass, and what one may do and why."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.blocks.layout import Content
from bot.blocks.lists import sentence
from bot.blocks.people import explained, review_list, standing_in
from bot.services import BotServices
from core.errors import InvalidRequestError, NotFoundError
from core.records import Place
from core.security.policy import Right
from core.workflows.definition import parse_duration

_USER = re.compile(r"^@?([UW][A-Z0-9]{2,30})$")
_RUN = re.compile(r"^[0-9a-f]{4,12}$")
_AWAY = "away @name for 3d, away @name until 2026-12-01, or away back"
_DAY = timedelta(days=1)


class People:
    """Answers for one person. Who may what is the policy's to say.

    Every method raises `NotAllowedError`, `InvalidRequestError` or `NotFoundError` where the
    services below do.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services

    async def away(self, user: str, text: str) -> Content:
        """`away [@name for 3d | @name [from DATE] until DATE | back]`."""
        words = text.split()
        delegations = self._services.delegations
        if words and words[0].lower() == "back":
            ended = await delegations.back(user)
            return sentence("Nobody stands in for you any more." if ended else "Nobody did.")
        if words:
            named = _USER.match(words[0])
            if named is None:
                raise InvalidRequestError(f"Name a person of this workspace: {_AWAY}.")
            delegate = await self._services.directory.require_member(named[1])
            zone = _zone((await self._services.directory.person(user)).timezone)
            begins, ends = read_absence(words[1:], zone, datetime.now(UTC))
            held = await self._services.roles.of(user)
            await delegations.away(user, held, delegate.id, ends, begins)
        own = await delegations.of(user)
        for_you = [made for made in await delegations.all() if made.delegate == user]
        return standing_in(own, for_you, self._services.settings.command)

    async def reviews(self, user: str, text: str) -> Content:
        """`reviews [RUN FINDING]`: those that stand open, or close one."""
        first, _, finding = text.strip().partition(" ")
        services = self._services
        if not first:
            found = await services.reviews.open()
            seen = [
                review
                for review in found
                if await services.permissions.may(
                    user, Right.SEE, review.workflow, review.place.channel
                )
            ]
            return review_list(seen, datetime.now(UTC), services.settings.command)
        if not _RUN.match(first):
            raise InvalidRequestError("Say which run: reviews RUN WHAT YOU FOUND")
        run = await services.workflows.get(first)
        await services.reviews.close(run.id, user, finding)
        return sentence(f"The review of run {run.id} is closed with what you found.")

    async def policy(self, user: str, place: Place, text: str) -> Content:
        """`policy WORKFLOW [@name]`: what the person may do with it here, and why."""
        words = text.split()
        known = self._services.workflows.workflows
        if not words:
            raise InvalidRequestError(
                f"Say which workflow: policy WORKFLOW [@name]. There are: {', '.join(known)}."
            )
        workflow = self._services.workflows.catalogue.get(words[0], ())
        if workflow is None:
            raise NotFoundError(
                f"There is no workflow '{words[0][:60]}'. There are: {', '.join(known)}."
            )
        whom = _USER.match(words[1]) if len(words) > 1 else None
        if len(words) > 2 or (len(words) > 1 and whom is None):
            raise InvalidRequestError("Name one person: policy WORKFLOW [@name].")
        about = whom[1] if whom else user
        if about != user:
            await self._services.permissions.require(
                user, Right.SEE, words[0], place.channel, "ask about other people"
            )
        lines = await self._services.permissions.explain(about, workflow, place.channel)
        return explained(lines, about)


def read_absence(
    words: list[str], zone: ZoneInfo, now: datetime
) -> tuple[datetime | None, datetime]:
    """`for 3d`, or `[from DATE] until DATE`; a day's end is the end of `until` that day.

    Returns:
        When it begins (None is now) and when it ends.

    Raises:
        InvalidRequestError: it is neither.
    """
    match [word.lower() for word in words]:
        case ["for", length]:
            return None, now + _length(length)
        case ["until", *end] if 1 <= len(end) <= 2:
            return None, _moment(end, zone, end_of_day=True)
        case ["from", start, "until", end]:
            return _moment([start], zone), _moment([end], zone, end_of_day=True)
    raise InvalidRequestError(f"Say how long: {_AWAY}.")


def _length(text: str) -> timedelta:
    try:
        parsed = parse_duration(text)
    except ValueError as error:
        raise InvalidRequestError(f"'{text[:40]}': {error}.") from error
    if not isinstance(parsed, timedelta):
        raise InvalidRequestError(f"'{text[:40]}': write a duration such as 12h or 3d.")
    return parsed


def _moment(words: list[str], zone: ZoneInfo, end_of_day: bool = False) -> datetime:
    """A day, or a day with a time, where the person is."""
    text = "T".join(words)
    try:
        parsed = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise InvalidRequestError(
            f"'{text[:40]}' is no day: write it like 2026-12-01, or 2026-12-01 18:00."
        ) from error
    local = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)
    whole_day = len(text) == len("2026-12-01")
    return (local + _DAY if end_of_day and whole_day else local).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
