"""Countersignatures: one person's decision about one plan digest."""

from __future__ import annotations

from enum import StrEnum

from core.records import Frozen, Instant, StorableText


class Decision(StrEnum):
    """What a person said about a plan."""

    APPROVE = "approve"
    DENY = "deny"


class Signature(Frozen):
    """One person's decision; it holds for exactly this digest."""

    user: str
    digest: str
    decision: Decision
    comment: StorableText = ""
    at: Instant
