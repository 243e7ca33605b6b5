"""`countersign audit …`: the audit log."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer

from bot.cli.common import existing_database, read_settings, run_async
from core.errors import ConfigurationError, InvalidRequestError
from core.security.audit import AuditLog
from core.security.audit_export import Format, Selection
from core.security.audit_export import export as export_entries
from core.security.audit_lines import EntryLines, verify_lines
from core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The audit log.")

_MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


@app.command()
def verify(
    file: Annotated[
        Path | None,
        typer.Option(help="JSON Lines to verify, and to compare with the database."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only the file; there need be no database.")
    ] = False,
    head: Annotated[
        str | None, typer.Option(help="A hash noted earlier; some entry must still have it.")
    ] = None,
) -> None:
    """Walk the hash chain; exit code 1 where an entry was altered, moved or removed."""
    if offline and file is None:
        raise InvalidRequestError("--offline needs --file.")
    if offline and file is not None:
        run_async(_verify_offline(file, head))
        return
    run_async(_verify(read_settings(), file, head))


@app.command()
def export(
    form: Annotated[
        Format, typer.Option("--format", help="jsonl can be verified; csv is for spreadsheets.")
    ] = Format.JSONL,
    output: Annotated[Path | None, typer.Option(help="A new file; left out: here.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_MOMENTS, help="From this moment on, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=_MOMENTS, help="Before this moment, UTC.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Exactly, such as U012AB3CD.")] = None,
    action: Annotated[str | None, typer.Option(help="A pattern, such as 'run.*'.")] = None,
    subject: Annotated[str | None, typer.Option(help="A pattern, such as a run's id.")] = None,
) -> None:
    """Write entries as JSON Lines or CSV."""
    selection = Selection(_utc(since), _utc(until), actor, action, subject)
    run_async(_export(read_settings(), selection, form, output))


async def _verify(settings: Settings, file: Path | None, known: str | None) -> None:
    async with existing_database(settings) as database:
        log = AuditLog(database)
        whole, problem = await log.verify(known)
        if problem is not None:
            raise ConfigurationError(f"The audit log is broken after {_entries(whole)}: {problem}.")
        head = await log.head()
        typer.echo(f"The audit log is whole: {_entries(whole)}.")
        if file is not None:
            copied, problem = await verify_lines(EntryLines(file), log)
            _say_of_file(file, copied, problem)
    if head.sequence:
        typer.echo(
            f"Entry {head.sequence} has the hash {head.hash}: keep it elsewhere, for --head."
        )


async def _verify_offline(file: Path, known: str | None) -> None:
    whole, problem = await verify_lines(EntryLines(file), None, known)
    _say_of_file(file, whole, problem)


def _say_of_file(file: Path, whole: int, problem: str | None) -> None:
    if problem is not None:
        raise ConfigurationError(f"{file} is broken after {_entries(whole)}: {problem}.")
    typer.echo(f"{file} is whole: {_entries(whole)}.")


async def _export(
    settings: Settings, selection: Selection, form: Format, path: Path | None
) -> None:
    async with existing_database(settings) as database:
        entries = AuditLog(database).entries()
        if path is None:
            await export_entries(entries, selection, form, sys.stdout)
            return
        with _new_file(path) as out:
            count = await export_entries(entries, selection, form, out)
    typer.echo(f"{path}: {_entries(count)}.")


def _new_file(path: Path) -> TextIO:
    try:
        return path.open("x", encoding="utf-8", newline="")
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be made: {error.strerror}.") from error


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
