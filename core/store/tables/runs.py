"""Runs with their steps."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from core.store.tables.base import Json, NullableJson, UtcDateTime, metadata

runs = Table(
    "runs",
    metadata,
    Column("id", String(120), primary_key=True),
    Column("workflow", String(63), nullable=False),
    Column("plan", Json, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("state", String(20), nullable=False),
    Column("requester", String(120), nullable=False),
    Column("origin", String(300), nullable=False),
    Column("channel", String(80), nullable=False),
    Column("thread", String(40)),
    Column("message", String(40)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("begun_at", UtcDateTime),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("version", Integer, nullable=False),
    Column("shown_version", Integer, nullable=False),
    Column("shown_by", String(60)),
    Column("show_after", UtcDateTime),
    Column("reason", Text, nullable=False),
    Column("guardrails", Json),
    Index(None, "state"),
    Index(None, "created_at"),
    Index(None, "begun_at"),
)

# Few runs are behind or being shown at a time, however many there are.
_BEHIND = runs.c.shown_version < runs.c.version
_IN_HAND = runs.c.shown_by.is_not(None)
Index("ix_runs_behind", runs.c.created_at, sqlite_where=_BEHIND, postgresql_where=_BEHIND)
Index("ix_runs_shown_by", runs.c.shown_by, sqlite_where=_IN_HAND, postgresql_where=_IN_HAND)


run_steps = Table(
    "run_steps",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("step_id", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("due_at", UtcDateTime),
    Column("by", String(120)),
    Column("summary", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("output_values", Json, nullable=False),
    Column("link", Text),
    Column("picture", NullableJson),
)


# What a run has taken: locks until it has ended, targets for ever (rates count them).
run_locks = Table(
    "run_locks",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, index=True),
)


run_targets = Table(
    "run_targets",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("target", Text, primary_key=True),
    Index(None, "target"),
)
