"""`countersign database …`: the database and the role that the application uses in it."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.cli.common import existing_database, read_settings, run_async
from core.security.audit import AuditLog
from core.settings import Settings
from core.store.database import Database
from core.store.preparing import prepare as prepare_role
from core.store.roles import ways_to_alter

app = typer.Typer(no_args_is_help=True, help="The database.")


@app.command()
def prepare(
    owner_url: Annotated[
        str,
        typer.Option(
            envvar="COUNTERSIGN_OWNER_URL",
            show_envvar=True,
            help="postgresql+asyncpg://OWNER:PASSWORD@HOST/NAME: the role that owns the tables.",
        ),
    ],
    role: Annotated[str, typer.Option(help="The application's role; made where it is missing.")],
) -> None:
    """PostgreSQL: migrate as the owner; the application's role can then only append to the audit.

    Run it again at each upgrade, before the new version starts.
    """
    run_async(_prepare(owner_url, role))


@app.command()
def status() -> None:
    """Say which database is used, as whom, and what protects its audit log."""
    run_async(_status(read_settings()))


async def _prepare(owner_url: str, role: str) -> None:
    owner = Database(owner_url, "--owner-url")
    try:
        prepared = await prepare_role(owner, role)
    finally:
        await owner.close()
    typer.echo(f"{role} can use {owner.url.database}, and only append to its audit log.")
    password = prepared.password or "PASSWORD"
    url = owner.url.set(username=role, password=password).render_as_string(hide_password=False)
    if prepared.password:
        typer.echo("The role is new. This is shown once:\n")
    typer.echo(f"COUNTERSIGN_DATABASE_URL={url}")


async def _status(settings: Settings) -> None:
    async with existing_database(settings) as database:
        head = await AuditLog(database).head()
        typer.echo(f"Database: {database.url.render_as_string(hide_password=True)}")
        typer.echo(f"Audit log: {head.sequence} entries, the last one's hash is {head.hash}.")
        if database.is_sqlite:
            typer.echo("Whoever may write the file can alter the audit log; see `audit verify`.")
            return
        async with database.read() as connection:
            ways = await ways_to_alter(connection)
    protected = "This role can only append to the audit log."
    typer.echo(
        f"This role could alter the audit log: it {', it '.join(ways)}." if ways else protected
    )
