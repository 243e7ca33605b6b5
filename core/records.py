"""The small frozen types that every part of core shares."""

from __future__ import annotations

import math
import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
"""Lower-case words joined by hyphens; the name of the file that defines the record."""

ActionName = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z][a-z0-9-]*)?\.[a-z0-9_]+$")]
"""`FAMILY.VERB`; where each integration of a kind has actions of its own, `KIND.ID.VERB`."""

Instant = AwareDatetime
"""A moment with a time zone; stored in UTC."""

Scalar = str | int | float | bool
"""A plain value."""

Value = Scalar | tuple[str, ...]
"""What a workflow parameter can hold: a plain value, or a list of texts."""


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable_text(text: str) -> str:
    """`text` with what PostgreSQL or UTF-8 cannot hold (NUL, lone surrogates) as U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def storable(value: JsonValue) -> JsonValue:
    """`value` with storable texts throughout, and infinity and NaN as text."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {storable_text(key): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


StorableText = Annotated[str, BeforeValidator(storable)]
StorableValues = Annotated[dict[str, JsonValue], BeforeValidator(storable)]


class Frozen(BaseModel):
    """Base of the records: immutable, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Risk(StrEnum):
    """How much an action can harm; a plan's risk is its highest step's."""

    READ = "read"
    CHANGE = "change"
    DESTRUCTIVE = "destructive"

    @property
    def rank(self) -> int:
        """0 for read, 1 for change, 2 for destructive."""
        return list(Risk).index(self)


class Idempotency(StrEnum):
    """What happens when an action's effect is asked for twice.

    NATURAL: the second time changes nothing. KEYED: the action recognises its own earlier effect
    by the key it was given. NONE: the second time would be a second effect, so after a crash in
    the middle a person is asked instead.
    """

    NATURAL = "natural"
    KEYED = "keyed"
    NONE = "none"


class Provenance(Frozen):
    """Where a value came from. Only what a person typed or the definition says is trusted."""

    kind: Literal["person", "definition", "schedule", "webhook", "model", "step"]
    detail: str = Field(max_length=300)
    confirmed_by: str | None = Field(default=None, max_length=120)

    @property
    def trusted(self) -> bool:
        """False where nobody on the team has written, chosen or confirmed the value."""
        return self.kind in {"person", "definition", "schedule"} or self.confirmed_by is not None


class Place(Frozen):
    """Where people talk about something: a channel and, once there is one, a thread in it."""

    channel: str = Field(max_length=80)
    thread: str | None = Field(default=None, max_length=40)


class Event(Frozen):
    """One normalised thing that happened.

    Attributes:
        id: unique for each happening, e.g. `github:<delivery>`; starts idempotent work.
        kind: dotted, e.g. `ci.failed`, `alert.firing`.
        subject: what it is about, e.g. `acme/shop`; events of one subject belong together.
        attributes: flat values that triggers match on and map from; untrusted.
    """

    id: StorableText = Field(max_length=200)
    kind: str = Field(pattern=r"^[a-z_]+(\.[a-z_]+)*$", max_length=80)
    source: Identifier
    subject: StorableText = Field(max_length=300)
    title: StorableText = Field(max_length=500)
    attributes: StorableValues
    occurred_at: datetime
