"""What a role of PostgreSQL could do to the audit log, other than append to it."""

from __future__ import annotations

import logging

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.store.database import Database

_log = logging.getLogger(__name__)

# Whoever may become another role has its rights, too. The owner of a schema may drop what is in
# it; before PostgreSQL 16 whoever may make roles may give itself every role but a superuser. Who
# may make objects in our schema could offer the functions of migration 0002, which run with their
# owner's rights, an operator of theirs.
_WAYS = text(
    """
    WITH protected AS (
        SELECT c.oid, c.relowner, n.oid AS schema, n.nspowner, d.datdba
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_database d ON d.datname = current_database()
        WHERE c.oid IN (to_regclass('audit'), to_regclass('audit_head'))
    )
    SELECT DISTINCT r.rolname AS name, CASE
        WHEN r.rolsuper THEN 'is a superuser'
        WHEN r.oid IN (p.relowner, p.nspowner, p.datdba) THEN 'owns the tables'
        WHEN r.rolcreaterole AND current_setting('server_version_num')::int < 160000
            THEN 'may make roles'
        WHEN r.rolname IN ('pg_execute_server_program', 'pg_write_server_files')
            THEN 'may write the server''s files'
        WHEN has_schema_privilege(r.oid, p.schema, 'CREATE') THEN 'may make objects in their schema'
        WHEN has_table_privilege(r.oid, p.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')
            OR has_any_column_privilege(r.oid, p.oid, 'UPDATE') THEN 'may change rows'
        END AS way
    FROM pg_roles r CROSS JOIN protected p
    WHERE pg_has_role(CAST(:role AS name), r.oid, 'MEMBER')
    """
)


async def ways_to_alter(connection: AsyncConnection, role: str | None = None) -> list[str]:
    """How a role could alter the audit log; empty where it cannot. On PostgreSQL only.

    Args:
        role: None is the role of the connection.

    Returns:
        Sentences without a subject, such as `owns the tables`.
    """
    if role is None:
        role = (await connection.execute(text("SELECT current_user"))).scalar_one()
    rows = await connection.execute(_WAYS, {"role": role})
    found = {(row.name, row.way) for row in rows if row.way is not None}
    own = sorted(way for name, way in found if name == role)
    if "is a superuser" in own:
        return ["is a superuser"]  # and so a member of every role
    lent = sorted(f"may become {name}, which {way}" for name, way in found if name != role)
    return own + lent


async def warn_of_ways(database: Database) -> None:
    """Log a warning where our own role could alter the audit log. On SQLite there are no roles."""
    if database.is_sqlite:
        return
    async with database.read() as connection:
        ways = await ways_to_alter(connection)
    if ways:
        _log.warning(
            "the database role could alter the audit log: it %s. "
            "`countersign database prepare` makes one that cannot.",
            ", it ".join(ways),
        )
