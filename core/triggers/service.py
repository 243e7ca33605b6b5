"""Triggers at work: an event becomes a message with offers, an incident, or a run."""

from __future__ import annotations

import logging

from core.automation import AITrigger, Offer
from core.errors import CountersignError
from core.incidents import Incident, IncidentStore
from core.knowledge import KnowledgeBase, Passage
from core.offers import OfferStore
from core.ownership import Owner
from core.ports import Announcement, Caller, OfferedWorkflow
from core.records import Event, Place
from core.state import ApplicationState
from core.triggers.arguments import (
    facts,
    link_of,
    map_arguments,
    origin_of,
    shown,
    text_of,
)
from core.triggers.targets import Targets
from core.workflows.service import RunRequest, WorkflowService, run_id_of

_SECTIONS = 3
_log = logging.getLogger(__name__)


class TriggerService:
    """Decides what an event leads to. Handling one event twice has the effect of once."""

    def __init__(
        self,
        state: ApplicationState,
        workflows: WorkflowService,
        incidents: IncidentStore,
        offers: OfferStore,
        knowledge: KnowledgeBase,
        messenger: Caller,
    ) -> None:
        self._state = state
        self._targets = Targets(state)
        self._workflows = workflows
        self._incidents = incidents
        self._offers = offers
        self._knowledge = knowledge
        self._messenger = messenger

    async def handle(self, event: Event) -> None:
        """Let every trigger that accepts the event act on it.

        Raises:
            PresentationError: a message could not be posted; handle the event again later.
        """
        if event.kind == "alert.resolved":
            await self._resolve(event)
        for trigger in self._state.triggers.values():
            if trigger.accepts(event):
                _log.info("trigger %s accepts %s", trigger.id, event.id)
                await self._act(trigger, event)

    async def _act(self, trigger: AITrigger, event: Event) -> None:
        owner = self._targets.of(trigger, event)
        if trigger.incident:
            place = await self._open_incident(trigger, event, owner)
        elif trigger.mode == "offer":
            place = await self._announce(trigger, event, owner)
        else:
            place = Place(channel=owner.channel)
        if trigger.mode == "start":
            for offer in trigger.workflows:
                await self._start(trigger, offer, event, place)

    async def _open_incident(self, trigger: AITrigger, event: Event, owner: Owner) -> Place:
        incident = await self._incidents.open(event, owner.channel)
        if incident.id != event.id and incident.thread:
            return await self._count(incident, event)
        passages, runbook = await self._runbook(event)
        posted = await self._messenger.announce(
            Announcement(
                key=f"incident:{incident.id}",
                place=Place(channel=owner.channel),
                title=event.title,
                text=text_of(event, "description"),
                facts=facts(event) | runbook,
                link=link_of(event),
                passages=passages,
                offers=await self._offer(trigger, event),
                tone="bad",
            )
        )
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
        posted = await self._messenger.announce(
            Announcement(
                key=f"trigger:{trigger.id}:{event.id}",
                place=Place(channel=owner.channel),
                title=event.title,
                text=text_of(event, "description"),
                facts=facts(event),
                link=link_of(event),
                offers=await self._offer(trigger, event),
            )
        )
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

    async def _runbook(self, event: Event) -> tuple[tuple[Passage, ...], dict[str, str]]:
        """The first sections of the runbook for this alert, and a word on how sure that is."""
        labels = {name: str(value) for name, value in event.attributes.items()}
        document = await self._knowledge.for_alert(labels, labels)
        if document is None:
            return (), {"runbook": "none found for this alert"}
        sure = labels.get("alertname") in document.front_matter.alerts
        found = document.title if sure else f"perhaps “{document.title}” (found by its words)"
        return tuple(self._knowledge.opening(document.path, _SECTIONS)), {"runbook": found}

    async def _offer(self, trigger: AITrigger, event: Event) -> tuple[OfferedWorkflow, ...]:
        if trigger.mode != "offer":
            return ()
        offered = []
        for position, offer in enumerate(trigger.workflows):
            arguments = map_arguments(offer.arguments, event)
            offer_id = f"{trigger.id}:{position}:{event.id}"
            await self._offers.save(offer_id, offer.workflow, arguments, origin_of(event))
            offered.append(
                OfferedWorkflow(
                    offer=offer_id,
                    workflow=offer.workflow,
                    name=self._state.workflows[offer.workflow].name,
                    arguments={name: shown(a.value) for name, a in arguments.items()},
                )
            )
        return tuple(offered)

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
