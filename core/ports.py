"""What core needs of the edges; each edge implements it in its own terms."""

from __future__ import annotations

from typing import Protocol

from core.records import Frozen, Place
from core.workflows.run import Run


class PostedMessage(Frozen):
    """A message that stands somewhere: its channel, its id there, its thread, its address."""

    channel: str
    message: str
    thread: str
    link: str | None = None


class Messenger(Protocol):
    """Says things where people talk. Every text is plain text or Markdown from an outsider's
    hand as far as the edge is concerned: it escapes."""

    async def say(self, place: Place, text: str, key: str) -> PostedMessage:
        """Post once: a second call with the same `key` finds the first one's message.

        Args:
            text: plain text, at most 12,000 characters; longer ones are cut with a mark.
        """
        ...


class RunPresenter(Protocol):
    """Shows a run: one message that always says what is so now."""

    async def present(self, run: Run) -> PostedMessage:
        """Post the run's message, or update it where it stands already; repeatable."""
        ...
