"""What people decide: countersignatures, reviews of broken glass, who stands in for whom."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text

from core.store.tables.base import UtcDateTime, metadata

# One of each decision a person: who has approved may still deny, or break the glass.
signatures = Table(
    "signatures",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("user", String(120), primary_key=True),
    Column("decision", String(20), primary_key=True),
    Column("on_behalf", String(120)),
    Column("digest", String(71), nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

_BROKEN = signatures.c.decision == "break_glass"
Index(
    "ix_signatures_broken_glass",
    signatures.c.at,
    sqlite_where=_BROKEN,
    postgresql_where=_BROKEN,
)


# A review is open from the signature that broke the glass until it has a row here.
reviews = Table(
    "reviews",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("reviewer", String(120), nullable=False),
    Column("finding", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)


# The one delegation of each person that holds or will hold; the audit log has the earlier ones.
delegations = Table(
    "delegations",
    metadata,
    Column("user", String(120), primary_key=True),
    Column("delegate", String(120), nullable=False, index=True),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
)
