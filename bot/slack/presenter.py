"""Shows runs: one card each, which always says what is so now."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from bot.blocks.run_output import Outputs, outputs
from bot.slack.cards import Cards
from bot.slack.client import refusal
from bot.slack.files import ThreadFile
from bot.slack.messenger import RUN_KEY, SlackMessenger
from core.ports import PostedMessage, PresentationError
from core.records import Place
from core.store.pictures import PictureStore
from core.workflows.run import Run, RunState

OUTPUT_KEY = "output:"
"""Beginning of the key under which a run's long output is posted as a file."""
PICTURE_KEY = "picture:"
"""Beginning of the key under which a step's picture is posted."""
_LONGEST_PAUSE_S = 3.0
_log = logging.getLogger(__name__)


class SlackPresenter:
    """Implements `core.ports.RunPresenter`."""

    def __init__(self, messenger: SlackMessenger, cards: Cards, pictures: PictureStore) -> None:
        self._messenger = messenger
        self._cards = cards
        self._pictures = pictures

    async def present(self, run: Run) -> PostedMessage:
        """Post the run's card in its thread or channel, or update it where it stands.

        Output that the card has no room for, and pictures follow as files in its thread, once, and
        whoever must do something is called there, once. The longer a run goes on, the less often
        its card changes, because Slack takes about 50 updates a minute.

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
        place = Place(channel=posted.channel, thread=posted.thread)
        await self._show_pictures(run, place)
        for asked in self._cards.askings(run):
            await self._messenger.call(place, asked.groups, asked.users, asked.text, asked.key)
        await asyncio.sleep(pause_s(run, datetime.now(UTC)))
        return posted

    async def _follows(self, run: Run, posted: PostedMessage, printed: Outputs) -> bool:
        """Whether the file with the long output stands in the thread."""
        file = ThreadFile(
            name=printed.name,
            data=printed.file.encode(),
            media_type="text/plain",
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

    async def _show_pictures(self, run: Run, place: Place) -> None:
        """Post the pictures that do not stand in the thread yet. Only those are read."""
        for position, step in enumerate(run.steps):
            if step.picture is None:
                continue
            key = f"{PICTURE_KEY}{run.id}:{position}:{step.picture.digest}"
            if await self._messenger.posted(key) is not None:
                continue
            data = await self._pictures.read(run.id, step.picture.digest)
            if data is None:  # it was removed by its age
                continue
            file = ThreadFile(
                name=f"run-{run.id}-{position + 1}-{step.picture.digest[:8]}.png",
                data=data,
                media_type="image/png",
                comment=f"The picture of step {position + 1} of run {run.id}.",
                alt=step.picture.alt,
            )
            try:
                await self._messenger.post_file_once(place, file, key)
            except PresentationError as error:
                if refusal(error) is None:
                    raise
                _log.warning("a picture of run %s is not posted: %s", run.id, error)


def pause_s(run: Run, now: datetime) -> float:
    """How long the card of a run that goes on stays as it is, in seconds."""
    begun = [step.started_at for step in run.steps if step.started_at is not None]
    if run.state is not RunState.RUNNING or not begun:
        return 0.0
    return min(max((now - min(begun)).total_seconds(), 0.0) / 8, _LONGEST_PAUSE_S)
