"""Trigger ids: one use, three seconds."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from bot.workspace.errors import MethodError
from bot.workspace.ids import Clock

_KEPT = 5_000


@dataclass
class _Trigger:
    user: str
    view_id: str | None
    expires_at: float
    used: bool = False


@dataclass(frozen=True)
class TriggeredBy:
    """Who did what a trigger id stands for; `view_id` when it was done in a modal."""

    user: str
    view_id: str | None


class Triggers:
    """Hands out and takes back trigger ids; a restart forgets them, as three seconds would.

    Attributes:
        lifetime: seconds; Slack's are 3.
    """

    def __init__(self, clock: Clock, lifetime: float = 3.0) -> None:
        self._clock = clock
        self.lifetime = lifetime
        self._triggers: OrderedDict[str, _Trigger] = OrderedDict()

    def issue(self, user: str, view_id: str | None = None) -> str:
        """Makes a trigger id for something that a user did."""
        id_ = f"{secrets.randbelow(10**13)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self._triggers[id_] = _Trigger(user, view_id, self._clock() + self.lifetime)
        while len(self._triggers) > _KEPT:
            self._triggers.popitem(last=False)
        return id_

    def expire(self) -> None:
        """Lets all trigger ids run out now."""
        for trigger in self._triggers.values():
            trigger.expires_at = 0.0

    def use(self, trigger_id: str) -> TriggeredBy:
        """Takes a trigger id.

        Raises:
            MethodError: `invalid_trigger_id`, `expired_trigger_id` or `exchanged_trigger_id`.
        """
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            raise MethodError("invalid_trigger_id")
        if trigger.used:
            raise MethodError("exchanged_trigger_id")
        if trigger.expires_at < self._clock():
            raise MethodError("expired_trigger_id")
        trigger.used = True
        return TriggeredBy(trigger.user, trigger.view_id)


class OneTimeCodes:
    """Codes of an installation (`oauth.v2.access`): one use, ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: OrderedDict[str, float] = OrderedDict()

    def issue(self) -> str:
        """Makes a code."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = self._clock() + 600.0
        while len(self._codes) > _KEPT:
            self._codes.popitem(last=False)
        return code

    def use(self, code: str) -> bool:
        """Takes a code; False when it is unknown, used or old."""
        return self._codes.pop(code, 0.0) > self._clock()
