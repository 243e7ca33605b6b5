"""The tables. Times are UTC; ids are text that we choose, so that repeating an insert is safe."""

from __future__ import annotations

from core.store.tables.audit import audit, audit_head
from core.store.tables.base import metadata
from core.store.tables.gates import gates
from core.store.tables.inbox import deliveries
from core.store.tables.incidents import incidents
from core.store.tables.messages import offers, posts
from core.store.tables.people import delegations, reviews, signatures
from core.store.tables.pictures import pictures
from core.store.tables.replicas import replicas
from core.store.tables.runs import run_locks, run_steps, run_targets, runs
from core.store.tables.schedules import schedule_drafts, schedules
from core.store.tables.storms import held_events, storm_events, storms
from core.store.tables.tokens import access_tokens

__all__ = [
    "access_tokens",
    "audit",
    "audit_head",
    "delegations",
    "deliveries",
    "gates",
    "held_events",
    "incidents",
    "metadata",
    "offers",
    "pictures",
    "posts",
    "replicas",
    "reviews",
    "run_locks",
    "run_steps",
    "run_targets",
    "runs",
    "schedule_drafts",
    "schedules",
    "signatures",
    "storm_events",
    "storms",
]
