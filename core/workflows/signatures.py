"""Countersignatures: one person's decision about one plan digest."""

from __future__ import annotations

from enum import StrEnum

from core.records import Frozen, Instant, StorableText


class Decision(StrEnum):
    """What a person said about a plan."""

    APPROVE = "approve"
    DENY = "deny"
    BREAK_GLASS = "break_glass"


class Signature(Frozen):
    """One person's decision; it holds for exactly this digest.

    Attributes:
        on_behalf: who is away and let `user` sign for them.
        comment: for breaking the glass, the reason.
    """

    user: str
    on_behalf: str | None = None
    digest: str
    decision: Decision
    comment: StorableText = ""
    at: Instant
