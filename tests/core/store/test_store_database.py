"""Our tables are the same on SQLite and PostgreSQL, and made by one history of migrations."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, insert, select, text

from core.errors import ConfigurationError
from core.store.database import Database
from core.store.schema import migrate
from core.store.tables import audit, audit_head, metadata
from tests.support.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database that nobody has opened."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop(url)


ENTRY = {
    "at": "2026-11-24T12:00:00+00:00",
    "actor": "U1",
    "action": "run.requested",
    "subject": "abc",
    "details": "{}",
    "previous": "0" * 64,
}


async def test_the_migrations_make_exactly_the_tables_that_the_code_knows(
    database: Database,
) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_postgresql_packs_bodies_by_lz4_where_it_knows_it(postgres: Postgres) -> None:
    database = Database(postgres.new_database())
    await database.open()
    known = "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
    packed = """
        SELECT attcompression::text FROM pg_attribute
        WHERE attrelid = 'deliveries'::regclass AND attname = 'body'
    """
    async with database.read() as connection:
        by_lz4 = "lz4" in (await connection.scalar(text(known)) or ())
        assert await connection.scalar(text(packed)) == ("l" if by_lz4 else "")
    await database.close()
    postgres.drop(database.url.render_as_string(hide_password=False))


async def test_opening_a_database_again_changes_nothing(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(insert(audit).values(sequence=1, hash="a", **ENTRY))
    again = Database(database.url.render_as_string(hide_password=False))
    await again.open()
    async with again.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(audit)) == 1
    await again.close()


async def test_processes_that_start_together_migrate_once(place: str) -> None:
    together = [Database(place) for _ in range(4)]
    await asyncio.gather(*(database.open() for database in together))
    for database in together:
        async with database.read() as connection:
            assert await connection.scalar(select(func.count()).select_from(audit)) == 0
        await database.close()


async def test_the_first_version_s_audit_log_is_taken_over_with_its_head(place: str) -> None:
    database = Database(place)
    async with database.write() as connection:
        await connection.run_sync(lambda sync: migrate(sync, "0001"))
        for number in (1, 2):
            values = ENTRY | {"sequence": number, "hash": f"{number}" * 64}
            await connection.execute(insert(audit).values(values))
    await database.open()
    async with database.read() as connection:
        heads = (await connection.execute(select(audit_head))).all()
    assert [tuple(head) for head in heads] == [(1, 2, "2" * 64)]
    await database.close()


async def test_a_schema_of_a_newer_version_is_a_clear_error(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="9999, which a newer version"):
        await database.open()


async def test_a_snapshot_is_of_one_moment(database: Database) -> None:
    count = select(func.count()).select_from(audit)
    async with database.read(snapshot=True) as reader:
        assert await reader.scalar(count) == 0
        async with database.write() as writer:
            await writer.execute(insert(audit).values(sequence=1, hash="a", **ENTRY))
        assert await reader.scalar(count) == 0
    async with database.read() as reader:
        assert await reader.scalar(count) == 1


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the failure is inside the transaction
        async with database.write() as connection:
            await connection.execute(insert(audit).values(sequence=1, hash="a", **ENTRY))
            raise ZeroDivisionError
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(audit)) == 0


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("no url at all", "is not a database URL"),
        ("sqlite:///x.db", "must start with sqlite.aiosqlite or postgresql.asyncpg"),
        ("mysql+aiomysql://h/d", "must start with sqlite.aiosqlite or postgresql.asyncpg"),
    ],
)
def test_a_wrong_url_names_the_setting_and_the_mend(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"COUNTERSIGN_DATABASE_URL.*{says}"):
        Database(url)


async def test_a_server_that_is_not_there_is_a_clear_error_without_the_password() -> None:
    database = Database("postgresql+asyncpg://me:hunter2@127.0.0.1:1/none")
    with pytest.raises(ConfigurationError, match="Check COUNTERSIGN_DATABASE_URL") as caught:
        await database.open()
    assert "hunter2" not in str(caught.value)
    assert "sqlalche.me" not in str(caught.value)


async def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is not a database, whatever its name says " * 50)
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await database.open()
    await database.close()
