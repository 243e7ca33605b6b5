"""What can be looked up: runs, workflows, assistants, schedules, models, the state of things."""

from __future__ import annotations

import re

from bot.blocks import lists
from bot.blocks.layout import Content
from bot.blocks.run_filter import RunFilter
from bot.blocks.run_list import run_list
from bot.handlers.sight import Sight
from bot.services import BotServices
from core.records import Place
from core.services.ai import OrchestratorError
from core.workflows.run import RunState

_RUN_ID = re.compile(r"[0-9a-f]{4,12}")
_LOOKED_AT = 200


class LookUps:
    """Answers for one person to read; nothing here changes anything."""

    def __init__(self, services: BotServices) -> None:
        self._services = services
        self._sight = Sight(services)

    async def runs(self, user: str, wanted: str) -> Content:
        """The runs that are wanted (`RunFilter`), or the card of one by its id.

        Raises:
            InvalidRequestError: what is wanted cannot be read.
            NotFoundError: there is no run `wanted`.
            NotAllowedError: the person may not see that one.
        """
        if _RUN_ID.fullmatch(wanted):
            return await self._services.cards.card(await self._sight.run(user, wanted))
        return await self.page(user, RunFilter.typed(wanted, user))

    async def page(self, user: str, wanted: RunFilter) -> Content:
        """One page of runs."""
        found, more = await self._sight.page(user, wanted)
        return run_list(found, wanted, more, self._services.settings.command)

    async def workflows(self, user: str, place: Place, wanted: str) -> Content:
        """The workflows that the person may see there, or the inputs of one."""
        known = await self._sight.workflows(user, place.channel)
        command = self._services.settings.command
        if wanted in known:
            return lists.workflow(known[wanted], command)
        return lists.workflows(list(known.values()), command)

    async def assistants(self) -> Content:
        """Who can be asked.

        Raises:
            PresentationError: Slack cannot be asked for the bot's name.
        """
        me = await self._services.directory.me()
        return lists.assistants(list(self._services.state.assistants.values()), f"@{me.name}")

    async def models(self) -> Content:
        """The models, and which can run now."""
        known = list(self._services.state.models.values())
        try:
            served = await self._services.orchestrator.models()
        except OrchestratorError as error:
            return lists.models(known, [], problem=str(error))
        return lists.models(known, served)

    async def status(self) -> Content:
        """Whether everything works."""
        health = await self._services.orchestrator.health()
        waiting = await self._services.workflows.latest(_LOOKED_AT, {RunState.AWAITING})
        state = self._services.state
        configured = (
            f"{len(state.workflows)} workflows, {len(state.assistants)} assistants, "
            f"{len(state.schedules)} schedules, {len(state.triggers)} triggers"
        )
        systems = {
            one.name: one.detail if one.ready else f"not ready: {one.detail}"
            for one in await self._services.systems.now()
        }
        return lists.status(health, len(waiting), {"Configured": configured} | systems)
