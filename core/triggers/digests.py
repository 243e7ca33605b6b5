"""What came in quiet hours, told in one message when they have ended."""

from __future__ import annotations

import logging
from itertools import groupby

from core.automation import AITrigger
from core.held import Held, HeldStore
from core.ports import Announcement, Messenger, PresentationError
from core.records import Event, Instant, Place
from core.storms import digest

_LISTED = 20
_LINES = 50
_log = logging.getLogger(__name__)


class Digests:
    """Keeps events, and tells of each batch once."""

    def __init__(self, store: HeldStore, messenger: Messenger) -> None:
        self._store = store
        self._messenger = messenger

    async def kept(self, trigger: AITrigger, event: Event, channel: str, now: Instant) -> bool:
        """Whether the event is kept for later; keeps it where the trigger is quiet now."""
        if trigger.quiet is None:
            return False
        until = trigger.quiet_until(event, now)
        if until is None:
            # One that was kept and is handled again, after the end, is in the digest.
            return await self._store.holds(trigger.id, event)
        _log.info("trigger %s keeps %s until %s", trigger.id, event.id, until.isoformat())
        await self._store.hold(trigger.id, event, channel, now, until)
        return True

    async def resolve(self, event: Event) -> None:
        """What `event` is about is over."""
        await self._store.resolve(event)

    async def forget(self, now: Instant) -> None:
        """Remove what was told long ago."""
        await self._store.forget(now)

    async def look(self, now: Instant) -> None:
        """Tell of the quiet hours that have ended."""
        due = sorted(await self._store.due(now), key=_batch)
        for _, items in groupby(due, key=_batch):
            held = list(items)
            try:
                await self._tell(held)
            except PresentationError as error:
                _log.warning("what %s kept is not told yet: %s", held[0].trigger, error)
                continue
            await self._store.told(held)

    async def _tell(self, held: list[Held]) -> None:
        key = f"digest:{digest(*(one.id for one in held))}"
        first = held[0]
        resolved = sum(one.resolved for one in held)
        events = "1 event" if len(held) == 1 else f"{len(held)} events"
        shown = [f"- {_line(one)}" for one in held[:_LISTED]]
        posted = await self._messenger.announce(
            Announcement(
                key=key,
                place=Place(channel=first.channel),
                title=f"{events} in quiet hours",
                text="\n".join(shown),
                facts={
                    "trigger": first.trigger,
                    "resolved meanwhile": f"{resolved} of {len(held)}",
                    **({"not shown": "the rest is in the thread"} if held[_LISTED:] else {}),
                },
                tone="good" if resolved == len(held) else "neutral",
            )
        )
        place = Place(channel=posted.channel, thread=posted.thread)
        for start in range(_LISTED, len(held), _LINES):
            part = held[start : start + _LINES]
            text = "\n".join(f"{start + n}. {_line(one)}" for n, one in enumerate(part, start=1))
            await self._messenger.say(place, text, key=f"{key}:{start}")


def _batch(one: Held) -> tuple[str, str, str]:
    return one.trigger, one.channel, one.until.isoformat()


def _line(one: Held) -> str:
    title = " ".join(one.title.split())[:200]
    came = f"{title}, {one.at:%Y-%m-%d %H:%M} UTC"
    return f"{came} (resolved)" if one.resolved else came
