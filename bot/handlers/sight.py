"""Runs, for those who may see them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bot.blocks.run_filter import PAGE, RunFilter
from bot.services import BotServices
from core.security.policy import Right
from core.state import AIWorkflow
from core.workflows.run import Run

_BATCH = 50
_BATCHES = 20


class Sight:
    """Finds runs for one person; who may see them is the policy's to say."""

    def __init__(self, services: BotServices) -> None:
        self._services = services

    async def run(self, user: str, run_id: str) -> Run:
        """The run whose id is, or begins with, `run_id`.

        Raises:
            NotFoundError: there is none, or more than one.
            NotAllowedError: the person may not see it.
        """
        run = await self._services.workflows.get(run_id)
        await self._services.permissions.require(
            user, Right.SEE, run.plan.workflow, run.place.channel, "see this run"
        )
        return run

    async def seen(self, user: str, runs: Iterable[Run]) -> list[Run]:
        """Those of `runs` that the person may see."""
        rulings: dict[tuple[str, str], bool] = {}
        found = []
        for run in runs:
            where = (run.plan.workflow, run.place.channel)
            if where not in rulings:
                rulings[where] = await self._services.permissions.may(user, Right.SEE, *where)
            if rulings[where]:
                found.append(run)
        return found

    async def workflows(self, user: str, channel: str | None) -> dict[str, AIWorkflow]:
        """The workflows that the person may see there, by id."""
        known = self._services.workflows.workflows
        may = self._services.permissions.may
        return {w: known[w] for w in known if await may(user, Right.SEE, w, channel)}

    async def page(self, user: str, wanted: RunFilter) -> tuple[list[Run], bool]:
        """A page of what the person wants and may see, and whether there is more."""
        since = datetime.now(UTC) - wanted.since if wanted.since else None
        before = wanted.before
        found: list[Run] = []
        for _ in range(_BATCHES):
            batch = await self._services.workflows.latest(
                _BATCH,
                wanted.states,
                wanted.workflow,
                requester=wanted.requester,
                target=wanted.target,
                since=since,
                before=before,
            )
            found += await self.seen(user, batch)
            if len(found) > PAGE or len(batch) < _BATCH:
                break
            before = batch[-1].created_at
        return found[:PAGE], len(found) > PAGE
