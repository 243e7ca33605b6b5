"""On PostgreSQL the application's role can append to the audit log, and not change it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count

import pytest
from sqlalchemy import delete, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError

from core.errors import ConfigurationError
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.preparing import Prepared, prepare
from core.store.roles import warn_of_ways, ways_to_alter
from core.store.tables import audit, audit_head, metadata
from tests.support.postgres import Postgres

_NUMBERS = count(1)


@dataclass(frozen=True)
class Place:
    """An empty database, and names for roles that no other test has."""

    url: str
    role: str

    def database(self, user: str) -> Database:
        url = make_url(self.url).set(username=user)
        return Database(url.render_as_string(hide_password=False))

    async def administer(self, *statements: str) -> None:
        """As a superuser, who owns what is made here."""
        database = Database(self.url)
        async with database.write() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await database.close()

    async def prepare(self, owner: str | None = None) -> Prepared:
        database = Database(self.url) if owner is None else self.database(owner)
        try:
            return await prepare(database, self.role)
        finally:
            await database.close()


@pytest.fixture
async def place(postgres: Postgres) -> AsyncIterator[Place]:
    place = Place(postgres.new_database(), f"app_{next(_NUMBERS)}")
    yield place
    postgres.drop(place.url)


@pytest.fixture
async def app(place: Place) -> AsyncIterator[Database]:
    """The database as the application's role sees it, with two entries."""
    await place.prepare()
    database = place.database(place.role)
    await database.open()
    log = AuditLog(database)
    await log.record("U1", "run.requested", "run1", {})
    await log.record("U2", "run.signed", "run1", {})
    yield database
    await database.close()


async def test_the_role_appends_and_verifies(app: Database) -> None:
    assert await AuditLog(app).verify() == (2, None)
    assert not app.may_migrate
    async with app.read() as connection:
        assert await ways_to_alter(connection) == []


_FORBIDDEN = (
    "UPDATE audit SET actor = 'U9'",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "UPDATE audit_head SET sequence = 0",
    "DELETE FROM audit_head",
    "INSERT INTO audit_head VALUES (1, 0, '0')",
    "DROP TABLE audit",
    "ALTER TABLE audit RENAME TO other",
    "ALTER TABLE audit DISABLE TRIGGER ALL",
    "DROP TRIGGER audit_changed ON audit",
    "DROP TRIGGER audit_appended ON audit",
    "CREATE TRIGGER quiet BEFORE INSERT ON audit EXECUTE FUNCTION audit_refuse()",
    "CREATE RULE quiet AS ON INSERT TO audit DO INSTEAD NOTHING",
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE sql AS ''",
    "DROP FUNCTION audit_lock_head()",
    "SET session_replication_role = replica",
    "CREATE TABLE public.mine (x integer)",
    "CREATE SCHEMA mine",
    "UPDATE alembic_version SET version_num = '0001'",
    "DROP SCHEMA public CASCADE",
)


async def test_the_role_can_do_nothing_else_to_the_log(app: Database) -> None:
    for statement in _FORBIDDEN:
        await _refused(app, statement)
    async with app.write() as connection:  # PostgreSQL warns, and grants nothing
        await connection.execute(text(f"GRANT UPDATE, DELETE ON audit TO {app.url.username}"))
    await _refused(app, "DELETE FROM audit")
    assert await AuditLog(app).verify() == (2, None)


async def test_a_temporary_table_does_not_get_between_the_log_and_its_head(app: Database) -> None:
    """Temporary tables are found first by name; the functions of the log look in its schema."""
    log = AuditLog(app)
    async with app.write() as connection:
        await connection.execute(
            text("CREATE TEMP TABLE audit_head (id int, sequence int, hash text)")
        )
        await connection.execute(text("INSERT INTO audit_head VALUES (1, 0, '0')"))
        await log.append(connection, "U3", "run.signed", "run1", {})
        await connection.execute(text("DROP TABLE pg_temp.audit_head"))
    assert await log.verify() == (3, None)


async def test_only_a_role_that_could_alter_the_log_is_warned_of(
    app: Database, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await warn_of_ways(app)
    assert not caplog.records
    owner = Database(place.url)
    await warn_of_ways(owner)
    await owner.close()
    assert "could alter the audit log: it is a superuser" in caplog.text
    assert "countersign database prepare" in caplog.text


async def test_the_role_can_use_every_other_table(app: Database) -> None:
    async with app.write() as connection:
        for table in metadata.sorted_tables:
            if table in {audit, audit_head}:
                continue
            column = next(iter(table.columns))
            await connection.execute(select(table))
            await connection.execute(update(table).values({column.name: column}))
            await connection.execute(insert(table).from_select(list(table.columns), select(table)))
        for table in reversed(metadata.sorted_tables):
            if table not in {audit, audit_head}:
                await connection.execute(delete(table))


async def test_preparing_again_changes_nothing_and_keeps_the_password(place: Place) -> None:
    first = await place.prepare()
    assert first.password
    assert len(first.password) >= 24
    assert await place.prepare() == Prepared(place.role, None)


async def test_the_server_is_given_no_password_in_clear(place: Place) -> None:
    made = await place.prepare()
    database = Database(place.url)
    query = text("SELECT rolpassword FROM pg_authid WHERE rolname = :role")
    async with database.read() as connection:
        stored = (await connection.execute(query, {"role": place.role})).scalar_one()
    await database.close()
    assert stored.startswith("SCRAM-SHA-256$")
    assert made.password not in stored


async def test_a_role_that_was_given_too_much_before_is_mended(place: Place) -> None:
    await place.prepare()
    await place.administer(
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {place.role}",
        f"GRANT CREATE ON SCHEMA public TO {place.role}",
    )
    await place.prepare()
    database = place.database(place.role)
    async with database.read() as connection:
        assert await ways_to_alter(connection) == []
    await database.close()


@pytest.mark.parametrize(
    ("statements", "way"),
    [
        (["ALTER ROLE {app} SUPERUSER"], "is a superuser"),
        (["ALTER TABLE audit OWNER TO {app}"], "owns the tables"),
        (["ALTER SCHEMA public OWNER TO {app}"], "owns the tables"),
        (["GRANT UPDATE ON audit TO {app}"], "may change rows"),
        (["GRANT UPDATE (actor) ON audit TO {app}"], "may change rows"),
        (["GRANT TRUNCATE ON audit TO PUBLIC"], "may change rows"),
        (["GRANT UPDATE ON audit_head TO {app}"], "may change rows"),
        (["GRANT CREATE ON SCHEMA public TO PUBLIC"], "may make objects in their schema"),
        (
            ["GRANT pg_write_all_data TO {app}"],
            "may become pg_write_all_data, which may change rows",
        ),
        (
            ["CREATE ROLE {app}_chief", "ALTER TABLE audit OWNER TO {app}_chief",
             "GRANT {app}_chief TO {app}"],
            "may become {app}_chief, which owns the tables",
        ),
    ],
)  # fmt: skip
async def test_every_way_to_alter_the_log_is_named(
    place: Place, statements: list[str], way: str
) -> None:
    await place.prepare()
    await place.administer(*(statement.format(app=place.role) for statement in statements))
    database = place.database(place.role)
    async with database.read() as connection:
        assert way.format(app=place.role) in await ways_to_alter(connection)
    await database.close()


@pytest.mark.parametrize(
    ("attributes", "says"),
    [("SUPERUSER", "it is a superuser"), ("IN ROLE pg_write_all_data", "may become")],
)
async def test_a_role_that_could_alter_the_log_all_the_same_is_refused(
    place: Place, attributes: str, says: str
) -> None:
    await place.administer(f"CREATE ROLE {place.role} LOGIN {attributes}")
    with pytest.raises(ConfigurationError, match=says):
        await place.prepare()


async def test_the_owner_need_not_be_a_superuser(place: Place, postgres: Postgres) -> None:
    owner = f"{place.role}_owner"
    name = make_url(place.url).database
    await place.administer(
        f"CREATE ROLE {owner} LOGIN CREATEROLE", f"ALTER DATABASE {name} OWNER TO {owner}"
    )
    await place.prepare(owner)
    database = place.database(place.role)
    await database.open()
    await AuditLog(database).record("U1", "run.requested", "run1", {})
    await _refused(database, "DELETE FROM audit")
    await database.close()


async def test_an_owner_that_may_not_make_roles_is_told_who_can(place: Place) -> None:
    owner = f"{place.role}_owner"
    name = make_url(place.url).database
    await place.administer(f"CREATE ROLE {owner} LOGIN", f"ALTER DATABASE {name} OWNER TO {owner}")
    with pytest.raises(ConfigurationError, match=f"createuser --pwprompt {place.role}"):
        await place.prepare(owner)
    await place.administer(f"CREATE ROLE {place.role} LOGIN")
    assert await place.prepare(owner) == Prepared(place.role, None)


async def test_who_does_not_own_the_tables_cannot_prepare(place: Place) -> None:
    await place.prepare()
    stranger = Place(place.url, f"{place.role}_other")
    with pytest.raises(ConfigurationError, match="does not own the tables"):
        await stranger.prepare(place.role)


@pytest.mark.parametrize("role", ["", "a b", 'x"; DROP TABLE audit; --', "pg_" + "x" * 80])
async def test_a_strange_name_is_refused(place: Place, role: str) -> None:
    with pytest.raises(ConfigurationError, match="no plain name of a role"):
        await Place(place.url, role).prepare()


async def test_the_owner_itself_is_refused_as_the_application_s_role(place: Place) -> None:
    owner = make_url(place.url).username or ""
    with pytest.raises(ConfigurationError, match="needs another role"):
        await Place(place.url, owner).prepare()


async def test_sqlite_has_no_roles() -> None:
    with pytest.raises(ConfigurationError, match="for PostgreSQL"):
        await prepare(Database("sqlite+aiosqlite:///none.db"), "app")


async def test_a_role_that_may_not_migrate_is_told_what_to_run(place: Place) -> None:
    await place.administer(f"CREATE ROLE {place.role} LOGIN")
    database = place.database(place.role)
    with pytest.raises(ConfigurationError, match=r"not there.*run `countersign database prepare`"):
        await database.open()
    await place.prepare()
    await place.administer("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(ConfigurationError, match=r"0001.*run `countersign database prepare`"):
        await database.open()
    await database.close()


async def _refused(database: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"must be owner|permission denied|append-only"):
        async with database.write() as connection:
            await connection.execute(text(statement))
