"""deliveries in order"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NUMBER = """
    UPDATE deliveries SET sequence = numbered.place
    FROM (
        SELECT source, key, row_number() OVER (ORDER BY received_at, key) AS place FROM deliveries
    ) AS numbered
    WHERE deliveries.source = numbered.source AND deliveries.key = numbered.key
"""
_GO_ON = """
    SELECT setval('deliveries_order', COALESCE(MAX(sequence), 0) + 1, FALSE) FROM deliveries
"""


def upgrade() -> None:
    op.add_column(
        "deliveries",
        sa.Column("subject", sa.String(length=300), nullable=False, server_default=""),
    )
    op.add_column("deliveries", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.execute(_NUMBER)
    with op.batch_alter_table("deliveries") as table:  # SQLite makes the table anew
        table.alter_column("sequence", existing_type=sa.BigInteger(), nullable=False)
        table.alter_column("subject", existing_type=sa.String(length=300), server_default=None)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.schema.CreateSequence(sa.Sequence("deliveries_order")))
        op.execute(_GO_ON)
    op.drop_index("ix_deliveries_kind_state_due_at", table_name="deliveries")
    op.create_index(
        "ix_deliveries_state_kind_sequence", "deliveries", ["state", "kind", "sequence"]
    )
    op.create_index("ix_deliveries_sequence", "deliveries", ["sequence"])
    where = sa.text("subject <> ''")
    op.create_index(
        "ix_deliveries_subject",
        "deliveries",
        ["source", "subject", "state", "sequence"],
        sqlite_where=where,
        postgresql_where=where,
    )
