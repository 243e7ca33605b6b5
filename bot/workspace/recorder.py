"""What went over the wire, kept for tests and for the curious, and faults to inject."""

from __future__ import annotations

from collections import deque
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bot.workspace.records import Json

_CALLS_KEPT = 5_000
_DELIVERIES_KEPT = 20_000


class CallRecord(BaseModel):
    """One Web API call.

    Attributes:
        number: counts up from 1; the oldest are forgotten.
        at: seconds since 1970.
        arguments: as merged, without the token.
        error: Slack's code, or `http_…` for an injected status; None when the answer was ok.
    """

    number: int
    at: float
    method: str
    arguments: Json
    error: str | None = None


class DeliveryRecord(BaseModel):
    """One attempt to deliver something to the bot.

    Attributes:
        what: `command`, `block_actions`, … or an event's type.
        attempt: 0, then 1 to 3 for redeliveries.
        latency_ms: from sending to the acknowledgement (or the failure), in milliseconds.
        outcome: `acknowledged`, or why not.
    """

    number: int
    at: float
    transport: Literal["socket", "http", "none"]
    what: str
    event_id: str | None = None
    attempt: int = 0
    latency_ms: float
    outcome: str
    response: Json | None = None


class Fault(BaseModel):
    """What a Web API method is to answer instead of doing its work.

    Attributes:
        method: e.g. `chat.postMessage`, or `*` for any.
        error: answers `{"ok": false, "error": …}`.
        status: answers this HTTP status instead; 429 sends `Retry-After`.
        retry_after: seconds.
        times: how many calls are hit.
        after: the method does its work first and only the answer is lost.
    """

    model_config = ConfigDict(extra="forbid")

    method: str
    error: str | None = None
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: int = Field(default=1, ge=0, le=3_600)
    times: int = Field(default=1, ge=1, le=10_000)
    after: bool = False


class Recorder:
    """Keeps the newest calls and deliveries."""

    def __init__(self) -> None:
        self.calls: deque[CallRecord] = deque(maxlen=_CALLS_KEPT)
        self.deliveries: deque[DeliveryRecord] = deque(maxlen=_DELIVERIES_KEPT)
        self._numbers = {"call": 0, "delivery": 0}

    def call(self, **fields: object) -> None:
        """Adds a `CallRecord`."""
        self.calls.append(CallRecord.model_validate({"number": self._next("call"), **fields}))

    def delivery(self, **fields: object) -> None:
        """Adds a `DeliveryRecord`."""
        number = self._next("delivery")
        self.deliveries.append(DeliveryRecord.model_validate({"number": number, **fields}))

    def _next(self, what: str) -> int:
        self._numbers[what] += 1
        return self._numbers[what]


class Faults:
    """Faults that wait for their call, first come first served."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Queues a fault."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Drops all waiting faults."""
        self._waiting.clear()

    def take(self, method: str) -> Fault | None:
        """The fault that this call hits, if any."""
        for index, fault in enumerate(self._waiting):
            if fault.method in (method, "*"):
                if fault.times == 1:
                    del self._waiting[index]
                else:
                    self._waiting[index] = fault.model_copy(update={"times": fault.times - 1})
                return fault
        return None
