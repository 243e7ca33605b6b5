"""Pictures that steps have given, until they are removed by their age."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table

from core.store.tables.base import UtcDateTime, metadata

pictures = Table(
    "pictures",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "at"),
)
