"""Runs with their steps and countersignatures."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from core.store.tables.base import Json, UtcDateTime, metadata

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
    Column("version", Integer, nullable=False),
    Column("shown_version", Integer, nullable=False),
    Column("shown_by", String(60)),
    Column("show_after", UtcDateTime),
    Column("reason", Text, nullable=False),
    Index(None, "state"),
    Index(None, "created_at"),
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
    Column("step_id", String(63), nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("summary", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("output_values", Json, nullable=False),
    Column("link", Text),
)


signatures = Table(
    "signatures",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("user", String(120), primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("decision", String(20), nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
