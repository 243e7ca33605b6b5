"""What the dead have left is taken up by a living replica: deliveries, displays, runs.

All of it may be done by two replicas at once, or again: each thing changes hands by one
conditional update, and is held by one afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from core.replicas import Replica
from core.store.inbox import SqlInbox
from core.store.showing import Showing

_LOOK_S = 1.0


class Takeover:
    """Looks for the dead, again and again.

    Args:
        recover: takes over the runs that were under way in replicas, by their ids; repeatable.
    """

    def __init__(
        self,
        replica: Replica,
        inbox: SqlInbox,
        showing: Showing,
        recover: Callable[[list[str]], Awaitable[None]],
    ) -> None:
        self._replica = replica
        self._inbox = inbox
        self._showing = showing
        self._recover = recover

    async def look(self) -> None:
        """Take over what there is now."""
        dead = await self._replica.bury()
        # Not only what those held: one that was dead and did not know may have taken more.
        await self._inbox.release_dead()
        await self._showing.release_dead()
        if dead:
            await self._recover(dead)
            await self._replica.taken_over(dead)

    async def run(self) -> None:
        """Look for ever, where there are others; cancel to stop."""
        while self._replica.shares:
            await asyncio.sleep(_LOOK_S)
            await self.look()
