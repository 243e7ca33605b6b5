"""What came in and must not be lost: persisted before it is acknowledged, then processed.

A transactional inbox: `accept` is the only way in and says whether the key is new; workers claim
rows, and a row whose worker died is claimed again. Processing must therefore be idempotent,
which deterministic run ids and message keys see to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from core.records import Frozen, Instant


class Delivery(Frozen):
    """One thing that came in.

    Attributes:
        source: `slack`, `webhook:<integration id>`, …; its kind, before the colon, chooses the
            handler.
        key: unique within the source (the sender's delivery id).
        headers: lower-case names; secrets are dropped before they come here.
        attempts: how often it was processed before, without success.
    """

    source: str
    key: str
    headers: dict[str, str]
    body: bytes
    received_at: Instant
    attempts: int = 0


Handler = Callable[[Delivery], Awaitable[None]]


class Inbox(Protocol):
    """Where edges put what came in."""

    async def accept(
        self, source: str, key: str, body: bytes, headers: Mapping[str, str], subject: str = ""
    ) -> bool:
        """Persist; False where (`source`, `key`) is there already. Committed on return.

        Args:
            subject: those of one source and subject are processed one at a time, in the order of
                their arrival; empty where the order does not matter.
        """
        ...


class Backlog(Inbox, Protocol):
    """An inbox that also says how much waits in it."""

    async def waiting(self) -> Mapping[str, int]:
        """How many deliveries of each source are not processed yet."""
        ...
