"""What a person is told when what they asked for fails."""

from __future__ import annotations

import logging
import secrets
from types import TracebackType

from bot.blocks.lists import sentence
from bot.handlers.items import (
    CommandItem,
    FormItem,
    GlassItem,
    Item,
    MessageItem,
    PhraseItem,
    PressItem,
)
from bot.services import BotServices
from core.errors import CountersignError
from core.inbox import Delivery
from core.ports import PresentationError
from core.records import Place

_log = logging.getLogger(__name__)


class Telling:
    """An asynchronous context in which an item is worked on.

    Our own errors are told as they are and are over with that. Others are told with a reference,
    logged and raised on; where Slack itself cannot be reached there is nobody to tell.
    """

    def __init__(self, services: BotServices, item: Item, delivery: Delivery) -> None:
        self._services = services
        self._item = item
        self._delivery = delivery

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """True where the person was told and nothing is left to do."""
        if isinstance(error, PresentationError) or not isinstance(error, Exception):
            return False
        if isinstance(error, CountersignError):
            _log.info("%s refused: %s", self._delivery.key, error)
            await self._tell(str(error))
            return True
        reference = secrets.token_hex(4)
        _log.error("%s failed, reference %s", self._delivery.key, reference)
        if self._delivery.attempts == 0:
            await self._tell(
                f"Something went wrong on my side (reference {reference}). It is in my log, and "
                "I try again by myself."
            )
        return False

    async def _tell(self, words: str) -> None:
        user = self._item.user
        if user is None:
            return
        try:
            place = await self._place(user)
            await self._services.messenger.whisper(place, user, sentence(words))
        except CountersignError as problem:
            _log.warning("%s could not be told: %s (%s)", user, words, problem)

    async def _place(self, user: str) -> Place:
        """Where the person is."""
        match self._item:
            case CommandItem(channel=channel):
                return Place(channel=channel)
            case MessageItem(kind="direct") as message:
                return message.place
            case MessageItem(channel=channel, thread=thread):
                return Place(channel=channel, thread=thread)
            case PressItem(place=Place() as place):
                return place
            case FormItem(state=state) if state.channel:
                return Place(channel=state.channel, thread=state.thread)
            case PhraseItem(run=run_id) | GlassItem(run=run_id):
                run = await self._services.workflows.get(run_id)
                return (
                    run.place
                    if run.place.thread != run.message
                    else Place(channel=run.place.channel)
                )
        return Place(channel=await self._services.messenger.direct_channel(user))
