"""The schema of our tables: migrates it, or says what to run where we may not."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from core.errors import ConfigurationError

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x436F756E  # advisory lock, so that replicas that start together migrate one by one
PREPARE = "countersign database prepare"

_MAY_MIGRATE = text(
    """
    SELECT COALESCE(
        (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
            WHERE oid = to_regclass('alembic_version')),
        has_schema_privilege(current_schema(), 'CREATE'),
        FALSE
    )
    """
)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to the newest schema, in the connection's transaction.

    Args:
        revision: stop at an older one, for tests of what follows it.

    Raises:
        ConfigurationError: the tables are older and this role may not alter them, or they are
            newer than this program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = _config(connection)
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    now = MigrationContext.configure(connection).get_current_revision()
    if now == newest:
        return
    if now not in {None, *(script.revision for script in scripts.walk_revisions())}:
        raise ConfigurationError(
            f"The database's schema is {now}, which a newer version of Countersign has made; "
            "install that version, or restore the backup from before."
        )
    if not may_migrate(connection):
        raise ConfigurationError(
            f"The database's schema is {now or 'not there'}, this version needs {newest}, and "
            f"this role may not change it: run `{PREPARE}` as the owner of the tables."
        )
    command.upgrade(config, revision)


def may_migrate(connection: Connection) -> bool:
    """Whether this role owns the tables, or may make them where there are none."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.execute(_MAY_MIGRATE).scalar_one())


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
