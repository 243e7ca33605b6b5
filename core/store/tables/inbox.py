"""What came in, until it has been worked on."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    String,
    Table,
    Text,
    text,
)

from core.store.tables.base import Json, UtcDateTime, metadata

ARRIVAL_ORDER = Sequence("deliveries_order", metadata=metadata)
"""Numbers deliveries on PostgreSQL; SQLite, which has one writer, counts on from the highest."""

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
    # What is to be done in the order of its arrival; empty where the order does not matter.
    Column("subject", String(300), nullable=False),
    # The order of arrival, by no clock: those of replicas differ.
    Column("sequence", BigInteger, nullable=False),
    Index(None, "state", "kind", "sequence"),
    Index(None, "sequence"),
)

Index(
    "ix_deliveries_holder",
    deliveries.c.holder,
    sqlite_where=deliveries.c.holder.is_not(None),
    postgresql_where=deliveries.c.holder.is_not(None),
)

Index(
    "ix_deliveries_subject",
    deliveries.c.source,
    deliveries.c.subject,
    deliveries.c.state,
    deliveries.c.sequence,
    sqlite_where=text("subject <> ''"),
    postgresql_where=text("subject <> ''"),
)
