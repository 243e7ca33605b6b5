"""What was posted under a key, and what was offered there."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from core.store.tables.base import Json, UtcDateTime, metadata

posts = Table(
    "posts",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("channel", String(80), nullable=False),
    Column("message", String(40)),
    Column("thread", String(40)),
    Column("at", UtcDateTime, nullable=False),
    Column("begun_by", String(60)),
)


offers = Table(
    "offers",
    metadata,
    Column("id", String(300), primary_key=True),
    Column("workflow", String(63), nullable=False),
    Column("arguments", Json, nullable=False),
    Column("origin", String(300), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
