"""Triggers at work: an event becomes a message with offers, an incident, or a run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from core.automation import AITrigger, Offer
from core.errors import CountersignError
from core.held import HeldStore
from core.incidents import Incident, IncidentStore
from core.knowledge import KnowledgeBase
from core.offers import OfferStore
from core.ownership import Owner
from core.ports import PresentationError, Teller
from core.records import Event, Instant, Place
from core.state import ApplicationState
from core.storms import StormStore
from core.triggers.arguments import map_arguments, origin_of
from core.triggers.digests import Digests
from core.triggers.storms import Storms
from core.triggers.targets import Targets
from core.triggers.telling import Telling
from core.workflows.service import RunRequest, WorkflowService, run_id_of

_OVER = frozenset(
    {
        "alert.resolved",
        "incident.resolved",
        "error.resolved",
        "ci.succeeded",
        "deploy.succeeded",
        "sync.succeeded",
        "health.healthy",
    }
)
_LOOK_S = 3.0
_FORGET_EVERY = timedelta(hours=1)
_log = logging.getLogger(__name__)


def _now() -> Instant:
    return datetime.now(UTC)


class TriggerService:
    """Decides what an event leads to. Handling one event twice has the effect of once."""

    def __init__(
        self,
        state: ApplicationState,
        workflows: WorkflowService,
        incidents: IncidentStore,
        offers: OfferStore,
        knowledge: KnowledgeBase,
        storms: StormStore,
        held: HeldStore,
        messenger: Teller,
        clock: Callable[[], Instant] = _now,
    ) -> None:
        self._state = state
        self._targets = Targets(state)
        self._workflows = workflows
        self._incidents = incidents
        self._telling = Telling(state, offers, knowledge)
        self._storms = Storms(storms, self._telling, messenger)
        self._digests = Digests(held, messenger)
        self._messenger = messenger
        self._clock = clock

    async def handle(self, event: Event) -> None:
        """Let every trigger that accepts the event act on it.

        Raises:
            PresentationError: a message could not be posted, while the other triggers have acted;
                handle the event again later.
        """
        failed: list[str] = []
        if event.kind in _OVER:
            for over in (self._storms.resolve, self._digests.resolve, self._resolve):
                try:
                    await over(event)
                except PresentationError as error:
                    failed.append(str(error))
        for trigger in self._state.triggers.values():
            if trigger.accepts(event):
                _log.info("trigger %s accepts %s", trigger.id, event.id)
                try:
                    await self._act(trigger, event)
                except PresentationError as error:
                    failed.append(f"trigger {trigger.id}: {error}")
        if failed:
            raise PresentationError(" ".join(failed))

    async def handle_all(self, events: Iterable[Event]) -> None:
        """As `handle`, the events of one delivery in their order.

        Raises:
            PresentationError: as `handle`, once all have been handled.
        """
        failed: list[str] = []
        for event in events:
            try:
                await self.handle(event)
            except PresentationError as error:
                failed.append(str(error))
        if failed:
            raise PresentationError(" ".join(failed))

    async def run(self) -> None:
        """Keep the messages of storms true and tell what was kept, for ever; cancel to stop."""
        forgotten = self._clock()
        while True:
            await self.look()
            if self._clock() - forgotten > _FORGET_EVERY:
                forgotten = self._clock()
                await self._storms.forget(forgotten)
                await self._digests.forget(forgotten)
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Do now what `run` does again and again."""
        now = self._clock()
        await self._storms.look(now)
        await self._digests.look(now)

    async def _act(self, trigger: AITrigger, event: Event) -> None:
        owner = self._targets.of(trigger, event)
        now = self._clock()
        if await self._digests.kept(trigger, event, owner.channel, now):
            if trigger.quiet is not None and trigger.quiet.starts:
                await self._start_all(trigger, event, Place(channel=owner.channel))
            return
        if trigger.group is not None:
            storm, position = await self._storms.count(
                trigger, trigger.group, event, owner.channel, now
            )
            if position >= trigger.group.after:
                place = await self._storms.tell(trigger, event, storm)
                if position == 1:
                    await self._start_all(trigger, event, place)
                return
        await self._start_all(trigger, event, await self._tell(trigger, event, owner))

    async def _tell(self, trigger: AITrigger, event: Event, owner: Owner) -> Place:
        """Tell of one event; where its runs are talked about."""
        if trigger.incident:
            return await self._open_incident(trigger, event, owner)
        if trigger.mode == "offer":
            return await self._announce(trigger, event, owner)
        return Place(channel=owner.channel)

    async def _start_all(self, trigger: AITrigger, event: Event, place: Place) -> None:
        if trigger.mode == "start":
            for offer in trigger.workflows:
                await self._start(trigger, offer, event, place)

    async def _open_incident(self, trigger: AITrigger, event: Event, owner: Owner) -> Place:
        incident = await self._incidents.open(event, owner.channel)
        if incident.id != event.id and incident.thread:
            return await self._count(incident, event)
        key = f"incident:{incident.id}"
        told = await self._telling.of(trigger, event, owner.channel, key, alert=True)
        posted = await self._messenger.announce(told)
        place = Place(channel=posted.channel, thread=posted.thread)
        if owner.on_call is not None:
            text = f"On call for this: {event.title}"
            await self._messenger.call(
                place, [owner.on_call], [], text, key=f"on-call:{incident.id}"
            )
        await self._incidents.announced(incident.id, posted.channel, posted.thread)
        return place

    async def _count(self, incident: Incident, event: Event) -> Place:
        place = Place(channel=incident.channel, thread=incident.thread)
        text = f"Still firing: {event.title} (alert {incident.events} of this incident)."
        await self._messenger.say(place, text, key=f"event:{event.id}")
        return place

    async def _announce(self, trigger: AITrigger, event: Event, owner: Owner) -> Place:
        key = f"trigger:{trigger.id}:{event.id}"
        told = await self._telling.of(trigger, event, owner.channel, key, alert=False)
        posted = await self._messenger.announce(told)
        return Place(channel=posted.channel, thread=posted.thread)

    async def _resolve(self, event: Event) -> None:
        incident = await self._incidents.open_about(event.subject)
        if incident is None:
            return
        if incident.thread is not None:
            place = Place(channel=incident.channel, thread=incident.thread)
            alerts = "1 alert" if incident.events == 1 else f"{incident.events} alerts"
            text = f"Resolved: {event.title}, after {alerts}."
            await self._messenger.say(place, text, key=f"event:{event.id}")
        await self._incidents.close(incident.id)  # last: what could not be said is tried again

    async def _start(self, trigger: AITrigger, offer: Offer, event: Event, place: Place) -> None:
        request = RunRequest(
            key=f"trigger:{trigger.id}:{offer.workflow}:{event.id}",
            workflow=offer.workflow,
            arguments=map_arguments(offer.arguments, event),
            requester=f"trigger:{trigger.id}",
            origin=origin_of(event),
            place=place,
            automatic=True,
        )
        try:
            await self._workflows.request(request)
        except CountersignError as error:
            text = f"{offer.workflow} could not be started for “{event.title}”: {error}"
            await self._messenger.say(place, text, key=f"refused:{run_id_of(request.key)}")
