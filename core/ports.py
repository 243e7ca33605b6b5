"""What core needs of the edges; each edge implements it in its own terms.

Texts that come through here may hold anything an outsider wrote: the edge escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from core.errors import CountersignError
from core.knowledge import Passage
from core.records import Frozen, Place
from core.workflows.run import Run


class PresentationError(CountersignError):
    """The message could not be posted or updated now; it is tried again."""


class PostedMessage(Frozen):
    """A message that stands somewhere: its channel, its id there, the thread it is in or starts."""

    channel: str
    message: str
    thread: str


class OfferedWorkflow(Frozen):
    """A button under an announcement that asks for a run; `offer` finds its arguments."""

    offer: str
    workflow: str
    name: str
    arguments: dict[str, str]


class Announcement(Frozen):
    """Something that happened, told to people.

    Attributes:
        key: the same announcement has the same key and is posted once.
        place: a channel by `#name` or id; with a thread, it is told there.
        facts: label to value, in order.
        passages: runbook sections that help.
    """

    key: str
    place: Place
    title: str
    text: str = ""
    facts: dict[str, str]
    link: str | None = None
    passages: tuple[Passage, ...] = ()
    offers: tuple[OfferedWorkflow, ...] = ()
    tone: Literal["neutral", "good", "bad"] = "neutral"


class Messenger(Protocol):
    """Says things where people talk. Both raise `PresentationError`."""

    async def say(self, place: Place, text: str, key: str) -> PostedMessage:
        """Post plain text once: a second call with the same `key` finds the first's message.

        Args:
            text: at most 12,000 characters; longer ones are cut with a mark.
        """
        ...

    async def announce(self, announcement: Announcement) -> PostedMessage:
        """Post an announcement once, by its key."""
        ...


class Caller(Messenger, Protocol):
    """Also calls people to what needs them."""

    async def call(
        self,
        place: Place,
        groups: Sequence[str],
        users: Sequence[str],
        text: str,
        key: str,
        named: Sequence[str] = (),
    ) -> PostedMessage:
        """Post plain text once, by `key`, in a way that these people are notified.

        Args:
            groups: user groups by handle, without `@`.
            users: ids of people.
            named: ids in the text that are shown as people.

        Raises:
            PresentationError: it could not be posted now.
        """
        ...


class Teller(Caller, Protocol):
    """Also changes what was told."""

    async def tell_again(self, posted: PostedMessage, announcement: Announcement) -> None:
        """Change an announcement where it stands.

        Raises:
            PresentationError: it could not be changed now.
        """
        ...


class RunPresenter(Protocol):
    """Shows a run: one message that always says what is so now."""

    async def present(self, run: Run) -> PostedMessage:
        """Post the run's message, or update it where it stands already; repeatable.

        Raises:
            PresentationError: it could not be shown now.
        """
        ...
