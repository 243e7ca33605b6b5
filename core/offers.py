"""Offers: a workflow with arguments filled in, kept here while a button for it is on a page.

A button carries only the offer's id, so nobody can alter its arguments or their provenance.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from core.errors import NotFoundError
from core.records import Frozen
from core.store.database import Database
from core.store.tables import offers
from core.workflows.plan import PlannedArgument


class StoredOffer(Frozen):
    """What a button stands for."""

    workflow: str
    arguments: dict[str, PlannedArgument]
    origin: str


class OfferStore:
    """Keeps offers by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(
        self, offer_id: str, workflow: str, arguments: dict[str, PlannedArgument], origin: str
    ) -> None:
        """Keep an offer; the first one with an id stays."""
        row = {
            "id": offer_id,
            "workflow": workflow,
            "arguments": {k: a.model_dump(mode="json") for k, a in arguments.items()},
            "origin": origin[:300],
            "at": datetime.now(UTC),
        }
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(offers).values(row))
        except IntegrityError:
            return

    async def get(self, offer_id: str) -> StoredOffer:
        """The offer with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(offers).where(offers.c.id == offer_id))
            ).one_or_none()
        if row is None:
            raise NotFoundError("This offer is not known any more; start the workflow by name.")
        return StoredOffer(workflow=row.workflow, arguments=row.arguments, origin=row.origin)
