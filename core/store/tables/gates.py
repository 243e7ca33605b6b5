"""What gates have said about datasets and models; nothing is ever changed in it."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, String, Table, Text

from core.store.tables.base import UtcDateTime, metadata

gates = Table(
    "gates",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("by", String(120), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Index(None, "kind", "subject", "at"),
)
