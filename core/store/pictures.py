"""The pictures of runs: stored once each, read to be shown, removed by their age."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from core.store.database import Database
from core.store.tables import pictures
from core.workflows.pictures import KeptPicture, Picture


class PictureStore:
    """The table `pictures`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        self._insert = insert(pictures).on_conflict_do_nothing()

    async def keep(self, run_id: str, picture: Picture) -> KeptPicture:
        """Store a picture of a run, once: the same one again changes nothing."""
        digest = picture.digest
        row = {
            "run_id": run_id,
            "digest": digest,
            "data": picture.data,
            "at": datetime.now(UTC),
        }
        async with self._database.write(single=True) as connection:
            await connection.execute(self._insert, row)
        return KeptPicture(digest=digest, alt=picture.alt, size=len(picture.data))

    async def read(self, run_id: str, digest: str) -> bytes | None:
        """The bytes of a picture; None where it was removed."""
        query = select(pictures.c.data).where(
            pictures.c.run_id == run_id, pictures.c.digest == digest
        )
        async with self._database.read() as connection:
            data: bytes | None = (await connection.execute(query)).scalar_one_or_none()
        return data

    async def purge(self, before: datetime) -> int:
        """Remove the pictures that were stored before then; how many."""
        async with self._database.write(single=True) as connection:
            removed = await connection.execute(delete(pictures).where(pictures.c.at < before))
        return removed.rowcount
