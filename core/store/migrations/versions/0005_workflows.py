"""guardrails with a memory, steps of every kind"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("runs", sa.Column("guardrails", JSON, nullable=True))
    for name in ("generation", "epoch"):
        op.add_column("runs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.create_index(op.f("ix_runs_begun_at"), "runs", ["begun_at"], unique=False)
    with op.batch_alter_table("run_steps") as steps:
        steps.alter_column("step_id", existing_type=sa.String(length=63), type_=sa.Text())
        steps.add_column(sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
        steps.add_column(sa.Column("by", sa.String(length=120), nullable=True))
    op.create_table(
        "run_locks",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("run_id", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_locks_run_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_run_locks")),
    )
    op.create_index(op.f("ix_run_locks_run_id"), "run_locks", ["run_id"], unique=False)
    op.create_table(
        "run_targets",
        sa.Column("run_id", sa.String(length=120), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_targets_run_id")),
        sa.PrimaryKeyConstraint("run_id", "target", name=op.f("pk_run_targets")),
    )
    op.create_index(op.f("ix_run_targets_target"), "run_targets", ["target"], unique=False)
