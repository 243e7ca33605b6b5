"""An answer on its way into a thread: streamed where Slack streams, posted whole where not."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from bot.assistants.events import AnswerEvent, Delta, Finished, Proposed, Quoted, Routed
from bot.blocks.answer import Answer, answer, closing_blocks, opening_blocks
from bot.services import BotServices
from bot.slack.streaming import AnswerStream, StreamRefusedError
from core.ports import OfferedWorkflow
from core.records import Place

_log = logging.getLogger(__name__)


class AnswerWriter:
    """Writes one answer.

    Args:
        key: the answer is posted whole once by this key, where it is not streamed.
        place: with a thread.
        user, team: whom it answers.
    """

    def __init__(self, services: BotServices, key: str, place: Place, user: str, team: str) -> None:
        self._services = services
        self._key = key
        self._place = place
        self._answer = Answer(assistant="Countersign", how="")
        self._stream: AnswerStream | None = AnswerStream(
            services.client, place, user, team, services.links
        )

    async def take(self, event: AnswerEvent) -> None:
        """Show the next part.

        Raises:
            PresentationError: Slack cannot be reached.
        """
        match event:
            case Routed():
                self._add(assistant=event.assistant.name, how=event.how)
            case Quoted():
                self._add(passages=event.passages)
                if self._stream:
                    blocks = opening_blocks(event.passages, self._services.links)
                    await self._sent(self._stream.show(blocks))
            case Delta():
                self._add(written=self._answer.written + event.text)
                if self._stream:
                    await self._sent(self._stream.write(event.text))
            case Proposed():
                await self._propose(event)
            case Finished():
                self._add(model=event.model)

    async def finish(self) -> None:
        """The end: who answered, the label, the offered workflows. Raises as `take`."""
        if self._stream:
            await self._sent(self._stream.finish(closing_blocks(self._answer)))
        if self._stream is None:
            content = answer(self._answer, self._services.links)
            await self._services.messenger.post_once(self._place, content, self._key)
        else:
            await self._services.messenger.note(self._key, self._place)

    async def abandon(self) -> None:
        """It does not go on; what was shown stays. Raises as `take`."""
        if self._stream:
            await self._stream.abandon()

    async def _propose(self, event: Proposed) -> None:
        offer_id = f"{self._key}:{event.workflow.id}"
        origin = f"proposed by {self._answer.assistant}"
        await self._services.offers.save(offer_id, event.workflow.id, event.arguments, origin)
        offered = OfferedWorkflow(
            offer=offer_id,
            workflow=event.workflow.id,
            name=event.workflow.name,
            arguments={name: str(a.value) for name, a in event.arguments.items()},
        )
        self._add(offers=(*self._answer.offers, offered)[-5:])
        if event.missing:
            hint = f"{event.workflow.name} still needs: {', '.join(event.missing)}."
            self._add(hints=(*self._answer.hints, hint)[-5:])

    async def _sent(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except StreamRefusedError as error:
            _log.info("the answer is posted whole: %s", error)
            self._stream = None

    def _add(self, **fields: object) -> None:
        self._answer = self._answer.model_copy(update=fields)
