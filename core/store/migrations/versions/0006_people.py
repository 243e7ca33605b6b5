"""signatures on behalf of others, delegations, reviews"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("signatures") as signatures:
        signatures.add_column(sa.Column("on_behalf", sa.String(length=120), nullable=True))
        signatures.drop_constraint(op.f("pk_signatures"), type_="primary")
        signatures.create_primary_key(op.f("pk_signatures"), ["run_id", "user", "decision"])
    broken = sa.text("decision = 'break_glass'")
    op.create_index(
        "ix_signatures_broken_glass",
        "signatures",
        ["at"],
        sqlite_where=broken,
        postgresql_where=broken,
    )
    op.create_table(
        "reviews",
        sa.Column("run_id", sa.String(length=120), nullable=False),
        sa.Column("reviewer", sa.String(length=120), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_reviews_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_reviews")),
    )
    op.create_table(
        "delegations",
        sa.Column("user", sa.String(length=120), nullable=False),
        sa.Column("delegate", sa.String(length=120), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user", name=op.f("pk_delegations")),
    )
    op.create_index(op.f("ix_delegations_delegate"), "delegations", ["delegate"], unique=False)
