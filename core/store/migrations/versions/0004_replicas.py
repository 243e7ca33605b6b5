"""replicas, and what each of them has in hand"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replicas",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
    )
    op.add_column("deliveries", sa.Column("holder", sa.String(length=60), nullable=True))
    op.add_column("posts", sa.Column("begun_by", sa.String(length=60), nullable=True))
    op.add_column("runs", sa.Column("shown_by", sa.String(length=60), nullable=True))
    op.add_column("runs", sa.Column("show_after", sa.DateTime(timezone=True), nullable=True))
    _partial_index("ix_deliveries_holder", "deliveries", "holder", "holder IS NOT NULL")
    _partial_index("ix_runs_behind", "runs", "created_at", "shown_version < version")
    _partial_index("ix_runs_shown_by", "runs", "shown_by", "shown_by IS NOT NULL")
    # What is in hand now has no holder, who could be missed: it is due again.
    op.execute(
        "UPDATE deliveries SET state = 'received', due_at = received_at WHERE state = 'working'"
    )


def _partial_index(name: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
