"""What the tests of triggers and firings share: a messenger whose posts one can look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import JsonValue

from core.ports import Announcement, PostedMessage, PresentationError
from core.records import Event, Place


class Room:
    """Keeps what was said, once for each key; can be away, and lack channels."""

    def __init__(self) -> None:
        self.announced: dict[str, Announcement] = {}
        self.said: dict[str, tuple[Place, str]] = {}
        self.called: dict[str, tuple[str, ...]] = {}
        self.away = False
        self.lacks: set[str] = set()

    async def say(self, place: Place, text: str, key: str) -> PostedMessage:
        self._be_there()
        if place.channel in self.lacks:
            raise PresentationError(f"there is no channel {place.channel}")
        self.said.setdefault(key, (place, text))
        return PostedMessage(channel="C1", message=key, thread=place.thread or key)

    async def announce(self, announcement: Announcement) -> PostedMessage:
        self._be_there()
        if announcement.place.channel in self.lacks:
            raise PresentationError(f"there is no channel {announcement.place.channel}")
        self.announced.setdefault(announcement.key, announcement)
        message, thread = f"m-{announcement.key}"[:40], f"t-{announcement.key}"[:40]
        return PostedMessage(channel="C1", message=message, thread=thread)

    async def tell_again(self, posted: PostedMessage, announcement: Announcement) -> None:
        self._be_there()
        assert posted.message == f"m-{announcement.key}"[:40]
        self.announced[announcement.key] = announcement

    async def call(
        self,
        place: Place,
        groups: Sequence[str],
        users: Sequence[str],
        text: str,
        key: str,
        named: Sequence[str] = (),
    ) -> PostedMessage:
        assert not users
        assert not named
        self._be_there()
        self.called.setdefault(key, tuple(groups))
        return await self.say(place, text, key)

    def texts(self) -> list[str]:
        """Everything that was said, in order."""
        return [text for _, text in self.said.values()]

    def _be_there(self) -> None:
        if self.away:
            raise PresentationError("Slack is away")


def event(event_id: str, kind: str = "ci.failed", **fields: JsonValue) -> Event:
    """An event as an integration makes it; what is no field of it is an attribute."""
    subject, title = fields.pop("subject", "acme/shop"), fields.pop("title", "CI failed on main")
    return Event(
        id=f"github:{event_id}",
        kind=kind,
        source="alertmanager" if kind.startswith("alert.") else "github",
        subject=str(subject),
        title=str(title),
        attributes=fields,
        occurred_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
    )
