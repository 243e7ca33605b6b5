"""What is done with firings that the clock has put into the inbox."""

from __future__ import annotations

import json
from datetime import datetime

from core.firings import FiringService
from core.inbox import Delivery
from scheduler.book import ScheduleBook


class FiringHandler:
    """Handles persisted firings, on whichever replica; the inbox worker calls it."""

    def __init__(self, book: ScheduleBook, firings: FiringService) -> None:
        self._book = book
        self._firings = firings

    async def __call__(self, delivery: Delivery) -> None:
        """Act on one firing.

        Raises:
            NotFoundError: the schedule was removed in between; the firing is kept.
        """
        body = json.loads(delivery.body)
        await self._book.refresh()
        entry = self._book.get(body["schedule"]).entry
        at = datetime.fromisoformat(body["at"])
        await self._firings.fire(entry.schedule, at, entry.added_by)
