"""Shows runs: one card each, which always says what is so now."""

from __future__ import annotations

import logging

from bot.blocks.run_output import Outputs, outputs
from bot.slack.cards import Cards
from bot.slack.client import refusal
from bot.slack.files import TextFile
from bot.slack.messenger import RUN_KEY, SlackMessenger
from core.ports import PostedMessage, PresentationError
from core.records import Place
from core.workflows.run import Run

OUTPUT_KEY = "output:"
"""Beginning of the key under which a run's long output is posted as a file."""
_log = logging.getLogger(__name__)


class SlackPresenter:
    """Implements `core.ports.RunPresenter`."""

    def __init__(self, messenger: SlackMessenger, cards: Cards) -> None:
        self._messenger = messenger
        self._cards = cards

    async def present(self, run: Run) -> PostedMessage:
        """Post the run's card in its thread or channel, or update it where it stands.

        Output that the card has no room for follows as a file in its thread, once.

        Raises:
            PresentationError: it could not be shown now.
        """
        card = await self._cards.card(run)
        posted, fresh = await self._messenger.post_or_find(run.place, card, RUN_KEY + run.id)
        printed = outputs(run)
        if printed.file and await self._follows(run, posted, printed):
            card = await self._cards.card(run, file=True)
            fresh = False
        if not fresh:
            await self._messenger.update(posted, card)
        return posted

    async def _follows(self, run: Run, posted: PostedMessage, printed: Outputs) -> bool:
        """Whether the file with the long output stands in the thread."""
        file = TextFile(
            name=printed.name,
            text=printed.file,
            comment=f"The whole output of run {run.id}.",
        )
        place = Place(channel=posted.channel, thread=posted.thread)
        try:
            await self._messenger.post_file_once(place, file, OUTPUT_KEY + printed.name)
        except PresentationError as error:
            if refusal(error) is None:
                raise
            _log.warning("the output of run %s is not posted as a file: %s", run.id, error)
            return False
        return True
