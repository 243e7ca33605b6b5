"""Incidents."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from core.store.tables.base import UtcDateTime, metadata

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(300), primary_key=True),
    Column("subject", String(300), nullable=False),
    Column("title", String(500), nullable=False),
    Column("state", String(20), nullable=False),
    Column("channel", String(80), nullable=False),
    Column("thread", String(40)),
    Column("events", Integer, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Index(None, "subject", "state"),
)
