"""What people are told of an event: its facts, the runbook, workflows that are offered."""

from __future__ import annotations

from core.automation import AITrigger
from core.knowledge import KnowledgeBase, Passage
from core.offers import OfferStore
from core.ports import Announcement, OfferedWorkflow
from core.records import Event, Place
from core.state import ApplicationState
from core.triggers.arguments import facts, link_of, map_arguments, origin_of, shown, text_of

_SECTIONS = 3


class Telling:
    """Makes announcements; keeps what they offer."""

    def __init__(
        self, state: ApplicationState, offers: OfferStore, knowledge: KnowledgeBase
    ) -> None:
        self._state = state
        self._offers = offers
        self._knowledge = knowledge

    async def of(
        self, trigger: AITrigger, event: Event, channel: str, key: str, *, alert: bool
    ) -> Announcement:
        """An event as a message.

        Args:
            alert: it is something bad, and the runbook helps.
        """
        passages, runbook = await self._runbook(event) if alert else ((), {})
        return Announcement(
            key=key,
            place=Place(channel=channel),
            title=event.title,
            text=text_of(event, "description"),
            facts=facts(event) | runbook,
            link=link_of(event),
            passages=passages,
            offers=await self._offer(trigger, event),
            tone="bad" if alert else "neutral",
        )

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
