"""Schedules that people added, and what people did to those of the configuration."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, String, Table

from core.store.tables.base import Json, UtcDateTime, metadata

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("definition", Json),  # none: the configuration has it
    Column("timing", String(250), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("over_at", UtcDateTime),
    Column("paused", Boolean),
    Column("removed", Boolean, nullable=False),
    Column("added_by", String(120)),
    Column("changed_by", String(120)),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
)

schedule_drafts = Table(
    "schedule_drafts",
    metadata,
    Column("id", String(300), primary_key=True),
    Column("definition", Json, nullable=False),
    Column("drafted_by", String(120), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
