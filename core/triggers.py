"""Triggers at work: an event becomes a message with offers, an incident, or a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pydantic import JsonValue

from core.automation import AITrigger, Offer, event_scope
from core.errors import CountersignError, InvalidRequestError
from core.incidents import Incident, IncidentStore
from core.knowledge import KnowledgeBase, Passage
from core.offers import OfferStore
from core.ports import Announcement, Messenger, OfferedWorkflow
from core.records import Event, Place, Provenance, Scalar, Value
from core.state import ApplicationState
from core.workflows.plan import PlannedArgument
from core.workflows.service import RunRequest, WorkflowService, run_id_of
from core.workflows.template import references, render

_FACTS = 10
_SECTIONS = 3
_ELSEWHERE = frozenset({"summary", "description", "url", "group_key"})
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
        messenger: Messenger,
    ) -> None:
        self._state = state
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
        if trigger.incident:
            place = await self._open_incident(trigger, event)
        elif trigger.mode == "offer":
            place = await self._announce(trigger, event)
        else:
            place = Place(channel=trigger.channel)
        if trigger.mode == "start":
            for offer in trigger.workflows:
                await self._start(trigger, offer, event, place)

    async def _open_incident(self, trigger: AITrigger, event: Event) -> Place:
        incident = await self._incidents.open(event, trigger.channel)
        if incident.id != event.id and incident.thread:
            return await self._count(incident, event)
        passages, runbook = await self._runbook(event)
        posted = await self._messenger.announce(
            Announcement(
                key=f"incident:{incident.id}",
                place=Place(channel=trigger.channel),
                title=event.title,
                text=_text(event, "description"),
                facts=_facts(event) | runbook,
                link=_link(event),
                passages=passages,
                offers=await self._offer(trigger, event),
                tone="bad",
            )
        )
        await self._incidents.announced(incident.id, posted.channel, posted.thread)
        return Place(channel=posted.channel, thread=posted.thread)

    async def _count(self, incident: Incident, event: Event) -> Place:
        place = Place(channel=incident.channel, thread=incident.thread)
        text = f"Still firing: {event.title} (alert {incident.events} of this incident)."
        await self._messenger.say(place, text, key=f"event:{event.id}")
        return place

    async def _announce(self, trigger: AITrigger, event: Event) -> Place:
        posted = await self._messenger.announce(
            Announcement(
                key=f"trigger:{trigger.id}:{event.id}",
                place=Place(channel=trigger.channel),
                title=event.title,
                text=_text(event, "description"),
                facts=_facts(event),
                link=_link(event),
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
            await self._offers.save(offer_id, offer.workflow, arguments, _origin(event))
            offered.append(
                OfferedWorkflow(
                    offer=offer_id,
                    workflow=offer.workflow,
                    name=self._state.workflows[offer.workflow].name,
                    arguments={name: _shown(a.value) for name, a in arguments.items()},
                )
            )
        return tuple(offered)

    async def _start(self, trigger: AITrigger, offer: Offer, event: Event, place: Place) -> None:
        request = RunRequest(
            key=f"trigger:{trigger.id}:{offer.workflow}:{event.id}",
            workflow=offer.workflow,
            arguments=map_arguments(offer.arguments, event),
            requester=f"trigger:{trigger.id}",
            origin=_origin(event),
            place=place,
            automatic=True,
        )
        try:
            await self._workflows.request(request)
        except CountersignError as error:
            text = f"{offer.workflow} could not be started for “{event.title}”: {error}"
            await self._messenger.say(place, text, key=f"refused:{run_id_of(request.key)}")


def map_arguments(definition: Mapping[str, JsonValue], event: Event) -> dict[str, PlannedArgument]:
    """Arguments from an event. What refers to the event is untrusted; the rest is the trigger's.

    Expressions over attributes that the event lacks, or whose value is neither plain nor a list
    of texts, leave the argument out, for a person to fill in.
    """
    arguments = {}
    for name, value in definition.items():
        paths = list(references(value))
        try:
            rendered = _value(render(value, event_scope(event), frozenset()))
        except InvalidRequestError:
            continue
        if rendered is not None:
            provenance = (
                Provenance(kind="webhook", detail=f"{event.source}: {', '.join(paths)}"[:300])
                if paths
                else Provenance(kind="definition", detail="the trigger")
            )
            arguments[name] = PlannedArgument(value=rendered, provenance=provenance)
    return arguments


def _shown(value: Value) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _value(value: JsonValue) -> Value | None:
    if isinstance(value, list):
        texts = tuple(item for item in value if isinstance(item, str))
        return texts if len(texts) == len(value) else None
    return value if isinstance(value, Scalar) else None


def _facts(event: Event) -> dict[str, str]:
    """The attributes that people want to see first: short, plain, not shown elsewhere."""
    shown = {
        name.replace("_", " "): str(value)
        for name, value in event.attributes.items()
        if isinstance(value, str | int | float)
        and 0 < len(str(value)) <= 120
        and not name.startswith("label_")
        and name not in _ELSEWHERE
    }
    return dict(list(shown.items())[:_FACTS])


def _text(event: Event, name: str) -> str:
    value = event.attributes.get(name)
    return value[:2000] if isinstance(value, str) else ""


def _link(event: Event) -> str | None:
    value = event.attributes.get("url")
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None


def _origin(event: Event) -> str:
    return f"{event.source}: {event.title}"[:300]
