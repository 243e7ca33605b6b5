"""Tokens with which a person's programs act for them; only their digests."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from core.store.tables.base import UtcDateTime, metadata

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("user", String(120), nullable=False),
    Column("label", String(120), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)
