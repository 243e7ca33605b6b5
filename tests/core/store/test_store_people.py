"""The tables of what people decide."""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from core.store.database import Database


async def test_a_person_can_decide_once_in_each_way(database: Database) -> None:
    def key(connection: Connection) -> list[str]:
        return inspect(connection).get_pk_constraint("signatures")["constrained_columns"]

    async with database.read() as connection:
        assert await connection.run_sync(key) == ["run_id", "user", "decision"]
