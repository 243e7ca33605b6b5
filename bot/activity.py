"""What happened lately, read from the tables: the facts of digests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from bot.assistants.digest import OpenIncident
from core.incidents import IncidentStore
from core.store.runs import RunStore
from core.workflows.run import Run, RunState


class TableActivity:
    """Implements `bot.assistants.digest.Activity`."""

    def __init__(self, runs: RunStore, incidents: IncidentStore) -> None:
        self._runs = runs
        self._incidents = incidents

    async def awaiting(self) -> list[Run]:
        """Runs that wait for countersignatures, oldest first."""
        ids = await self._runs.unfinished({RunState.AWAITING})
        return [await self._runs.get(run_id) for run_id in ids]

    async def runs_by_state(self, since: datetime) -> Mapping[RunState, int]:
        """How many runs were asked for since then, by the state that they are in now."""
        return Counter(await self._runs.states_since(since))

    async def open_incidents(self) -> list[OpenIncident]:
        """Incidents that are not resolved, oldest first."""
        return [
            OpenIncident(title=incident.title, opened_at=incident.opened_at)
            for incident in await self._incidents.all_open()
        ]
