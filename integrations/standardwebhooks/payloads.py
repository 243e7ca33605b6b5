"""What senders of Standard Webhooks post.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
#payload-structure recommends `type`, `timestamp` and `data`; many leave one out, or add others.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field, JsonValue

from integrations.webhooks import Payload


class Message(Payload):
    """One message. What is neither of the three is kept as well: some have no `data`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    type: str = ""
    timestamp: str | int | float | None = None
    data: JsonValue = None
