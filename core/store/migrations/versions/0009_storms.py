"""storms"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "storms",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("trigger", sa.String(length=63), nullable=False),
        sa.Column("group_key", sa.String(length=300), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("channel", sa.String(length=80), nullable=False),
        sa.Column("message", sa.String(length=40), nullable=True),
        sa.Column("thread", sa.String(length=40), nullable=True),
        sa.Column(
            "announcement",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
        ),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("resolved", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("busy_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storms")),
    )
    op.create_index(
        op.f("ix_storms_trigger_group_key_state"), "storms", ["trigger", "group_key", "state"]
    )
    op.create_index(op.f("ix_storms_state_ends_at"), "storms", ["state", "ends_at"])
    op.create_table(
        "storm_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("storm", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("about", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("service", sa.String(length=200), nullable=False),
        sa.Column("resolved", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storm_events")),
    )
    op.create_index(op.f("ix_storm_events_storm_position"), "storm_events", ["storm", "position"])
    op.create_index(op.f("ix_storm_events_about"), "storm_events", ["about"])
    op.create_table(
        "held_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("trigger", sa.String(length=63), nullable=False),
        sa.Column("channel", sa.String(length=80), nullable=False),
        sa.Column("about", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("resolved", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held_events")),
    )
    op.create_index(op.f("ix_held_events_until"), "held_events", ["until"])
    op.create_index(op.f("ix_held_events_about"), "held_events", ["about"])
