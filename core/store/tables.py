"""The tables. Times are UTC; ids are text that we choose, so that repeating an insert is safe."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import JSONB


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime; SQLite, which has no time zones, stores it in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Json = JSON().with_variant(JSONB(), "postgresql")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

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
    Index(None, "kind", "state", "due_at"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(120), primary_key=True),
    Column("workflow", String(63), nullable=False),
    Column("plan", Json, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("state", String(20), nullable=False),
    Column("requester", String(120), nullable=False),
    Column("origin", String(300), nullable=False),
    Column("channel", String(80), nullable=False),
    Column("thread", String(40)),
    Column("message", String(40)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("shown_version", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "state"),
    Index(None, "created_at"),
)

run_steps = Table(
    "run_steps",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("step_id", String(63), nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("summary", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("output_values", Json, nullable=False),
    Column("link", Text),
)

signatures = Table(
    "signatures",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("user", String(120), primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("decision", String(20), nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
)

posts = Table(
    "posts",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("channel", String(80), nullable=False),
    Column("message", String(40)),
    Column("thread", String(40)),
    Column("at", UtcDateTime, nullable=False),
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
