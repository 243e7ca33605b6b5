"""the audit log's head, and triggers that let the log only grow

What each statement does is the same on both databases: an entry must follow the head and moves it;
entries and the head change in no other way.

On PostgreSQL the functions run with their owner's rights, so that a role which can only read and
insert can append (`countersign database prepare`); their search path is fixed, so that it cannot
put tables of its own in the way.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the head from what is there, then the triggers."""
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_audit_head_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.execute(
        sa.text(
            "INSERT INTO audit_head (id, sequence, hash) SELECT 1, sequence, hash FROM audit "
            "UNION ALL SELECT 1, 0, :genesis ORDER BY sequence DESC LIMIT 1"
        ).bindparams(genesis="0" * 64)
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in _SQLITE:
            op.execute(statement)
        return
    bind = op.get_bind()
    schema = bind.dialect.identifier_preparer.quote(
        bind.execute(sa.text("SELECT current_schema()")).scalar_one()
    )
    for statement in _POSTGRESQL:
        op.execute(statement.replace("SCHEMA_PATH", f"{schema}, pg_temp"))


# The second condition is for INSERT OR REPLACE, which removes rows without their delete trigger.
_SQLITE = (
    """CREATE TRIGGER audit_entry BEFORE INSERT ON audit
        WHEN NOT EXISTS (
            SELECT 1 FROM audit_head WHERE sequence = NEW.sequence - 1 AND hash = NEW.previous
        ) OR EXISTS (SELECT 1 FROM audit WHERE sequence = NEW.sequence OR hash = NEW.hash)
        BEGIN
            SELECT RAISE(ABORT, 'audit is append-only: the entry does not follow its head');
        END""",
    """CREATE TRIGGER audit_appended AFTER INSERT ON audit
        BEGIN UPDATE audit_head SET sequence = NEW.sequence, hash = NEW.hash; END""",
    """CREATE TRIGGER audit_update BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_delete BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_head_update BEFORE UPDATE ON audit_head
        WHEN NEW.id <> 1 OR NEW.sequence <> OLD.sequence + 1 OR NOT EXISTS (
            SELECT 1 FROM audit WHERE sequence = NEW.sequence AND hash = NEW.hash
        )
        BEGIN
            SELECT RAISE(ABORT, 'audit is append-only: its head moves with its entries');
        END""",
    """CREATE TRIGGER audit_head_insert BEFORE INSERT ON audit_head
        BEGIN SELECT RAISE(ABORT, 'audit is append-only: it has one head'); END""",
    """CREATE TRIGGER audit_head_delete BEFORE DELETE ON audit_head
        BEGIN SELECT RAISE(ABORT, 'audit is append-only: it has a head'); END""",
)

_POSTGRESQL = (
    # Locks the head until the transaction ends, and reads it after whoever held it before.
    """CREATE FUNCTION audit_lock_head(OUT sequence integer, OUT hash varchar)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = SCHEMA_PATH AS $$
        BEGIN
            SELECT h.sequence, h.hash INTO sequence, hash FROM audit_head h FOR UPDATE;
        END $$""",
    "REVOKE ALL ON FUNCTION audit_lock_head() FROM PUBLIC",
    """CREATE FUNCTION audit_append() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = SCHEMA_PATH AS $$
        BEGIN
            UPDATE audit_head SET sequence = NEW.sequence, hash = NEW.hash
                WHERE sequence = NEW.sequence - 1 AND hash = NEW.previous;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'audit is append-only: entry % does not follow its head',
                    NEW.sequence USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NULL;
        END $$""",
    """CREATE FUNCTION audit_refuse() RETURNS trigger
        LANGUAGE plpgsql SET search_path = SCHEMA_PATH AS $$
        BEGIN
            RAISE EXCEPTION 'audit is append-only'
                USING ERRCODE = 'integrity_constraint_violation';
        END $$""",
    """CREATE FUNCTION audit_move_head() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = SCHEMA_PATH AS $$
        BEGIN
            IF NEW.sequence <> OLD.sequence + 1 OR NOT EXISTS (
                SELECT 1 FROM audit a WHERE a.sequence = NEW.sequence AND a.hash = NEW.hash
            ) THEN
                RAISE EXCEPTION 'audit is append-only: its head moves with its entries'
                    USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NEW;
        END $$""",
    """CREATE TRIGGER audit_appended AFTER INSERT ON audit
        FOR EACH ROW EXECUTE FUNCTION audit_append()""",
    """CREATE TRIGGER audit_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_head_moved BEFORE UPDATE ON audit_head
        FOR EACH ROW EXECUTE FUNCTION audit_move_head()""",
    """CREATE TRIGGER audit_head_changed BEFORE INSERT OR DELETE OR TRUNCATE ON audit_head
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
    "REVOKE ALL ON audit, audit_head FROM PUBLIC",
)
