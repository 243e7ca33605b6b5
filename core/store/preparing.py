"""A role of PostgreSQL for the application, which can append to the audit log and not change it."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass

import psycopg
from dbos import DBOS
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import ConfigurationError
from core.store.database import Database
from core.store.roles import ways_to_alter
from core.store.tables import audit, audit_head, metadata

_NAME = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")


@dataclass(frozen=True)
class Prepared:
    """A role that is ready. `password` is None where the role was there before."""

    role: str
    password: str | None


async def prepare(owner: Database, role: str) -> Prepared:
    """Migrate our tables and those of DBOS, and let `role` use them.

    Args:
        owner: the database, not opened yet, as the role that owns the tables or shall own them.
        role: made with a random password where there is none of that name. May be repeated.

    Raises:
        ConfigurationError: the database is not PostgreSQL, the owner may not do this, or the role
            could alter the audit log all the same.
    """
    if owner.is_sqlite:
        raise ConfigurationError("SQLite has no roles: `database prepare` is for PostgreSQL.")
    if not _NAME.match(role):
        raise ConfigurationError(
            f"--role {role!r} is no plain name of a role; use a-z, 0-9 and _, such as "
            "countersign_app."
        )
    if role == owner.url.username:
        raise ConfigurationError(
            f"--role is {role}, which --owner-url uses, too; the application needs another role."
        )
    await owner.open()
    if not owner.may_migrate:
        raise ConfigurationError(
            f"{owner.url.username} does not own the tables; --owner-url must name their owner."
        )
    await asyncio.to_thread(DBOS.migrate, owner.sync_url)
    password = await _make_role(owner, role)
    await asyncio.to_thread(DBOS.migrate, owner.sync_url, application_role=role)
    try:
        async with owner.write() as connection:
            await _grant(connection, role)
            ways = await ways_to_alter(connection, role)
    except DBAPIError as error:
        raise ConfigurationError(f"{role} cannot be given its rights: {error.orig}.") from error
    if ways:
        raise ConfigurationError(
            f"{role} could still alter the audit log: it {', it '.join(ways)}. "
            "Take that from the role, or name another."
        )
    return Prepared(role, password)


async def _make_role(owner: Database, role: str) -> str | None:
    """Make the role where there is none; its password, which the server never sees."""
    plain = owner.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await psycopg.AsyncConnection.connect(plain, autocommit=True)
    async with connection:
        known = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        if await known.fetchone():
            return None
        password = secrets.token_urlsafe(24)
        verifier = connection.pgconn.encrypt_password(
            password.encode(), role.encode(), b"scram-sha-256"
        )
        try:
            await connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOINHERIT PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(verifier.decode())
                )
            )
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigurationError(
                f"{owner.url.username} may not make roles: let an administrator run "
                f"`createuser --pwprompt {role}`, then run this again."
            ) from error
    return password


async def _grant(connection: AsyncConnection, role: str) -> None:
    """In one transaction, so that an application that runs meanwhile loses nothing."""
    quote = connection.dialect.identifier_preparer.quote
    current = (await connection.execute(text("SELECT current_schema()"))).scalar_one()
    schema, to = quote(current), quote(role)
    ours = ", ".join(
        f"{schema}.{quote(table.name)}"
        for table in metadata.sorted_tables
        if table not in {audit, audit_head}
    )
    may_create = text("SELECT has_schema_privilege(:role, :schema, 'CREATE')")
    if (await connection.execute(may_create, {"role": role, "schema": current})).scalar_one():
        await connection.execute(text(f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {to}"))
    for statement in (
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {to}",
        f"GRANT USAGE ON SCHEMA {schema} TO {to}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {to}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {ours} TO {to}",
        f"GRANT SELECT, INSERT ON {schema}.audit TO {to}",
        f"GRANT SELECT ON {schema}.audit_head, {schema}.alembic_version TO {to}",
        f"GRANT EXECUTE ON FUNCTION {schema}.audit_lock_head() TO {to}",
    ):
        await connection.execute(text(statement))
