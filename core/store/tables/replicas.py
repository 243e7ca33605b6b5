"""The processes that share the database."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from core.store.tables.base import UtcDateTime, metadata

replicas = Table(
    "replicas",
    metadata,
    Column("id", String(60), primary_key=True),
    Column("name", String(40), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("dead_at", UtcDateTime),
    Column("taken_at", UtcDateTime),
)
