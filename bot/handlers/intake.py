"""Keeps what came in before it is acknowledged; each thing once, however often Slack sends it."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from bot.handlers.items import Item
from core.inbox import Inbox

SOURCE = "slack"
_log = logging.getLogger(__name__)


class Intake:
    """The listeners' way into the inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def keep(self, body: dict[str, Any], item: Item) -> None:
        """Persist; a payload that Slack sends again is known by its event or trigger id."""
        key = f"{item.kind}:{_identity(body)}"
        kept = await self._inbox.accept(SOURCE, key, item.model_dump_json().encode(), {})
        if not kept:
            _log.info("%s was delivered again and is not kept twice", key)


def unreadable(error: KeyError | ValidationError, what: str) -> None:
    """Log a payload that is not shaped as Slack's are; it is acknowledged and dropped."""
    if isinstance(error, KeyError):
        _log.warning("a %s payload lacks %s", what, error)
    else:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        _log.warning("a %s payload has unexpected values in: %s", what, fields)


def _identity(body: dict[str, Any]) -> str:
    if body.get("type") == "view_submission":
        # A form is kept once: where our answer was late, Slack lets the person send it again.
        return str(body["view"]["id"])
    return str(body.get("event_id") or body["trigger_id"])
