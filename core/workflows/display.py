"""Keeps every run's message saying what is so now.

The tables are the truth; messages follow. A run whose shown version is behind is presented again,
after a crash as well, so a message can be late but never stays wrong.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from core.ports import PresentationError, RunPresenter
from core.records import Place
from core.store.runs import RunStore, UnreadableRunError
from core.store.showing import Showing

_POLL_S = 1.0  # changes that another replica has made and could not show
_RETRY_S = 5.0
_AT_ONCE = 20
_log = logging.getLogger(__name__)


class Display:
    """Presents runs in the background.

    Args:
        showing: sees to it that one replica presents a run at a time.
        presenter: the edge that posts and updates.
    """

    def __init__(self, store: RunStore, showing: Showing, presenter: RunPresenter) -> None:
        self._store = store
        self._showing = showing
        self._presenter = presenter
        self._changed = asyncio.Event()

    def touch(self) -> None:
        """Something has changed; look now rather than at the next round."""
        self._changed.set()

    async def run(self) -> None:
        """Present what is behind, for ever; cancel to stop."""
        in_hand: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                room = _AT_ONCE - len(in_hand)
                claimed = await self._showing.claim(room) if room else []
                for run_id in claimed:
                    task = group.create_task(self._present(run_id))
                    in_hand.add(task)
                    task.add_done_callback(in_hand.discard)
                    task.add_done_callback(lambda _: self._changed.set())
                if not claimed:
                    await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_POLL_S):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _present(self, run_id: str) -> None:
        try:
            run = await self._store.get(run_id)
        except UnreadableRunError as error:
            _log.error("run %s is not shown any more: %s", run_id, error)
            await self._showing.not_showable(run_id)
            return
        try:
            posted = await self._presenter.present(run)
        except asyncio.CancelledError:
            await self._showing.in_doubt(run_id)
            raise
        except PresentationError as error:
            _log.warning("run %s is not shown yet: %s", run_id, error)
            await self._showing.release(run_id, timedelta(seconds=_RETRY_S))
            return
        place = Place(channel=posted.channel, thread=posted.thread)
        await self._showing.shown(run_id, run.version, place, posted.message)
