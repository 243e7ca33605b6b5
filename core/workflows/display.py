"""Keeps every run's message saying what is so now.

The tables are the truth; messages follow. A run whose shown version is behind is presented again,
after a crash as well, so a message can be late but never stays wrong.
"""

from __future__ import annotations

import asyncio
import logging

from core.ports import PresentationError, RunPresenter
from core.records import Place
from core.store.runs import RunStore, UnreadableRunError

_RETRY_S = 5.0
_log = logging.getLogger(__name__)


class Display:
    """Presents runs in the background.

    Args:
        presenter: the edge that posts and updates.
    """

    def __init__(self, store: RunStore, presenter: RunPresenter) -> None:
        self._store = store
        self._presenter = presenter
        self._changed = asyncio.Event()
        self._changed.set()

    def touch(self) -> None:
        """Something has changed; look now rather than at the next round."""
        self._changed.set()

    async def run(self) -> None:
        """Present what is behind, for ever; cancel to stop."""
        while True:
            self._changed.clear()
            behind = await self._store.not_shown()
            results = await asyncio.gather(*(self._present(run_id) for run_id in behind))
            if all(results) and behind:
                continue
            try:
                async with asyncio.timeout(_RETRY_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _present(self, run_id: str) -> bool:
        try:
            run = await self._store.get(run_id)
        except UnreadableRunError as error:
            _log.error("run %s is not shown any more: %s", run_id, error)
            await self._store.not_showable(run_id)
            return True
        try:
            posted = await self._presenter.present(run)
        except PresentationError as error:
            _log.warning("run %s is not shown yet: %s", run_id, error)
            return False
        place = Place(channel=posted.channel, thread=posted.thread)
        await self._store.shown(run_id, run.version, place, posted.message)
        return True
