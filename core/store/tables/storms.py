"""Events of triggers that are told together: in one thread that counts, or after quiet hours."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, String, Table

from core.store.tables.base import Json, UtcDateTime, metadata

storms = Table(
    "storms",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("trigger", String(63), nullable=False),
    Column("group_key", String(300), nullable=False),
    Column("state", String(20), nullable=False),
    Column("channel", String(80), nullable=False),
    Column("message", String(40)),
    Column("thread", String(40)),
    Column("announcement", Json),
    Column("events", Integer, nullable=False),
    Column("resolved", Integer, nullable=False),
    Column("shown", Integer, nullable=False),
    Column("listed", Integer, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("busy_until", UtcDateTime),
    Index(None, "trigger", "group_key", "state"),
    Index(None, "state", "ends_at"),
)

storm_events = Table(
    "storm_events",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("storm", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("about", String(64), nullable=False),
    Column("title", String(500), nullable=False),
    Column("service", String(200), nullable=False),
    Column("resolved", Boolean, nullable=False),
    Index(None, "storm", "position"),
    Index(None, "about"),
)

held_events = Table(
    "held_events",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("trigger", String(63), nullable=False),
    Column("channel", String(80), nullable=False),
    Column("about", String(64), nullable=False),
    Column("title", String(500), nullable=False),
    Column("resolved", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Index(None, "until"),
    Index(None, "about"),
)
