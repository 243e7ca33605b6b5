"""What came in, until it has been worked on."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, Text

from core.store.tables.base import Json, UtcDateTime, metadata

deliveries = Table(
    "deliveries",
    metadata,
    Column("source", String(120), primary_key=True),
    Column("key", String(300), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("headers", Json, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    Column("holder", String(60)),
    Index(None, "kind", "state", "due_at"),
)

Index(
    "ix_deliveries_holder",
    deliveries.c.holder,
    sqlite_where=deliveries.c.holder.is_not(None),
    postgresql_where=deliveries.c.holder.is_not(None),
)
