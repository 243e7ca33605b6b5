"""Events that are told in one thread that counts: the message changes, the thread lists them."""

from __future__ import annotations

import logging
from datetime import timedelta

from pydantic import ValidationError

from core.automation import AITrigger, Grouping, event_scope
from core.errors import InvalidRequestError
from core.ports import Announcement, PostedMessage, PresentationError, Teller
from core.records import Event, Instant, Place
from core.storms import Counted, Storm, StormEvent, StormStore
from core.triggers.telling import Telling
from core.workflows.template import render

_LEASE = timedelta(seconds=30)
_GIVEN_UP_AFTER = timedelta(hours=1)  # a message that people have deleted cannot be changed
_LATEST = 5
_LINES = 50
_log = logging.getLogger(__name__)


class Storms:
    """Tells storms. One event, however often and by whichever replica it is handled, counts once;
    a storm's message is changed by one replica at a time."""

    def __init__(self, store: StormStore, telling: Telling, messenger: Teller) -> None:
        self._store = store
        self._telling = telling
        self._messenger = messenger

    async def count(
        self, trigger: AITrigger, group: Grouping, event: Event, channel: str, now: Instant
    ) -> Counted:
        """Count the event in its group's storm."""
        key = _key(group, event)
        return await self._store.count(trigger.id, key, event, channel, group.window, now)

    async def tell(self, trigger: AITrigger, event: Event, storm: Storm) -> Place:
        """Post the storm's message where none stands; its thread.

        Raises:
            PresentationError: it could not be posted now.
        """
        if storm.thread is not None:
            return Place(channel=storm.channel, thread=storm.thread)
        alert = event.kind.startswith("alert.")
        key = f"storm:{storm.id}"
        # The trigger's channel as it is now: a wrong name may have been mended meanwhile.
        channel = trigger.channel if trigger.owner is None else storm.channel
        first = await self._telling.of(trigger, event, channel, key, alert=alert)
        posted = await self._messenger.announce(first)
        await self._store.announced(
            storm.id,
            posted.channel,
            posted.message,
            posted.thread,
            first.model_dump(mode="json"),
        )
        return Place(channel=posted.channel, thread=posted.thread)

    async def resolve(self, event: Event) -> None:
        """What `event` is about is over."""
        await self._store.resolve(event)

    async def forget(self, now: Instant) -> None:
        """Remove what has been over for a month."""
        await self._store.forget(now)

    async def look(self, now: Instant) -> None:
        """Draw the storms that have changed, and end those that are over."""
        for storm in await self._store.claim(now, _LEASE):
            over = storm.ends_at <= now
            listed = storm.listed
            try:
                if storm.message is not None and storm.thread is not None:
                    listed = await self._draw(storm, storm.message, storm.thread, over)
            except ValidationError as error:  # an older version of Countersign has stored it
                _log.warning("storm %s of %s cannot be drawn: %s", storm.id, storm.trigger, error)
            except PresentationError as error:
                _log.warning("storm %s of %s is not drawn: %s", storm.id, storm.trigger, error)
                if now < storm.ends_at + _GIVEN_UP_AFTER:
                    continue  # when the lease has ended, again
            ended = over and await self._store.drawn(storm, listed, closed=True)
            if not ended:  # or, by another replica's clock, an event came in time
                await self._store.drawn(storm, listed, closed=False)

    async def _draw(self, storm: Storm, message: str, thread: str, over: bool) -> int:
        """Change the message, list in the thread; how many are listed."""
        first = Announcement.model_validate(storm.announcement)
        latest = await self._store.latest(storm.id, _LATEST)
        services = await self._store.services(storm.id)
        await self._messenger.tell_again(
            PostedMessage(channel=storm.channel, message=message, thread=thread),
            drawn(storm, first, latest, services, over),
        )
        place = Place(channel=storm.channel, thread=thread)
        listed = storm.listed
        while storm.events > _LATEST and (page := await self._page(storm, listed, over)):
            text = "\n".join(f"{one.position}. {_line(one)}" for one in page)
            await self._messenger.say(place, text, key=f"storm-list:{storm.id}:{listed}")
            listed = page[-1].position
        return listed

    async def _page(self, storm: Storm, listed: int, over: bool) -> list[StormEvent]:
        """What is listed next: a page that is full, or at the end the rest."""
        page = await self._store.page(storm.id, listed, _LINES)
        return page if over or len(page) == _LINES else []


def drawn(
    storm: Storm, first: Announcement, latest: list[StormEvent], services: int, over: bool
) -> Announcement:
    """The message of a storm as it is now; of one event, the event's own."""
    all_over = storm.resolved >= storm.events
    if storm.events == 1:
        facts = first.facts | ({"resolved": "yes"} if all_over else {})
        return first.model_copy(update={"facts": facts, "tone": "good" if all_over else first.tone})
    noun = "alerts" if first.tone == "bad" else "events"
    named = {0: "", 1: ", 1 service"}.get(services, f", {services} services")
    facts = {"first": first.title, "resolved": f"{storm.resolved} of {storm.events}"}
    if over:
        facts["began"] = f"{storm.opened_at:%Y-%m-%d %H:%M} UTC; it is over"
    return first.model_copy(
        update={
            "title": f"{storm.events} {noun}{named}",
            "text": "\n".join(f"- {_line(one)}" for one in reversed(latest)),
            "facts": facts,
            "tone": "good" if all_over else first.tone,
        }
    )


def _line(one: StormEvent) -> str:
    title = " ".join(one.title.split())[:200]
    return f"{title} (resolved)" if one.resolved else title


def _key(group: Grouping, event: Event) -> str:
    """What the event has in common with others; what lacks it, has that in common."""
    if group.by is None:
        return ""
    try:
        return str(render(group.by, event_scope(event), frozenset()))[:300]
    except InvalidRequestError:
        return ""
