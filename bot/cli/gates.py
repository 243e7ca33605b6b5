"""`countersign gates …`: results of gates, which pipelines and people record."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.cli.common import existing_database, read_duration, read_settings, run_async
from core.gates import GateKind, GateStore, RecordedResult
from core.security.audit import AuditLog
from core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="What gates have said about datasets and models.")


@app.command()
def record(
    kind: Annotated[GateKind, typer.Argument(help="What the gate looks at.")],
    subject: Annotated[str, typer.Argument(help="Such as a dataset's id, or a model's digest.")],
    passed: Annotated[bool, typer.Option("--passed/--failed", help="What the gate says.")],
    evidence: Annotated[
        str, typer.Option(help="Why, for the card: figures, a link to the report.")
    ] = "",
    by: Annotated[str, typer.Option(help="Who looked: a person or a pipeline.")] = "command line",
    expires_after: Annotated[
        str | None, typer.Option(help="How long it holds, such as 30d; left out: for good.")
    ] = None,
) -> None:
    """Record that a gate has passed or failed; it replaces the result before it."""
    run_async(_record(read_settings(), kind, subject, passed, evidence, by, expires_after))


@app.command("list")
def list_results(
    kind: Annotated[GateKind | None, typer.Option(help="Only this kind.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this subject.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 50,
) -> None:
    """List results, the newest first."""
    run_async(_list(read_settings(), kind, subject, limit))


async def _record(
    settings: Settings,
    kind: GateKind,
    subject: str,
    passed: bool,
    evidence: str,
    by: str,
    expires_after: str | None,
) -> None:
    holds = None if expires_after is None else read_duration("--expires-after", expires_after)
    async with existing_database(settings) as database:
        store = GateStore(database, AuditLog(database))
        result = await store.record(kind, subject, passed, evidence, by, holds)
    typer.echo(_line(result))


async def _list(settings: Settings, kind: GateKind | None, subject: str | None, limit: int) -> None:
    async with existing_database(settings) as database:
        results = await GateStore(database, AuditLog(database)).results(kind, subject, limit)
    for result in results:
        typer.echo(_line(result))
    if not results:
        typer.echo("No result is recorded.")


def _line(result: RecordedResult) -> str:
    verdict = "passed" if result.passed else "failed"
    until = "" if result.expires_at is None else f", until {result.expires_at:%Y-%m-%d %H:%M %Z}"
    evidence = f": {result.evidence}" if result.evidence else ""
    return (
        f"{result.at:%Y-%m-%d %H:%M %Z} {result.kind} {result.subject} {verdict}{until}, "
        f"says {result.by}{evidence}"
    )
