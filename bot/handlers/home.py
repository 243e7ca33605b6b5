"""The App Home, and what greets a person in the bot's direct messages."""

from __future__ import annotations

from bot.blocks.home import WaitingRun, home
from bot.handlers.items import HomeItem
from bot.services import BotServices
from bot.slack.client import slack_errors
from bot.slack.messenger import RUN_KEY
from core.security.policy import Roles
from core.workflows.run import Run, RunState

_LOOKED_AT = 100
_LINKED = 10
_PROMPTS = 4
_BEGUN = {RunState.APPROVED, RunState.RUNNING, RunState.ATTENTION}


class Home:
    """Publishes the home tab, each time as it is now."""

    def __init__(self, services: BotServices) -> None:
        self._services = services

    async def opened(self, item: HomeItem) -> None:
        """Somebody looks.

        Raises:
            PresentationError: Slack cannot be reached.
        """
        if item.tab == "home":
            await self.publish(item.user)
        elif item.channel:
            await self._greet(item.channel)

    async def publish(self, user: str) -> None:
        """Draw the home tab of a person. Raises as `opened`."""
        services = self._services
        latest = await services.workflows.latest(_LOOKED_AT)
        waiting = [run for run in latest if await _may_sign(run, user, services.roles)]
        view = home(
            waiting=[await self._linked(run, n < _LINKED) for n, run in enumerate(waiting)],
            open_runs=[run for run in latest if run.state in _BEGUN],
            workflows=list(services.workflows.workflows.values()),
            assistants=list(services.state.assistants.values()),
            schedules=list(services.state.schedules.values()),
            upcoming=services.schedules.upcoming(),
        )
        with slack_errors("publish the home tab"):
            await services.client.views_publish(user_id=user, view=view)

    async def _linked(self, run: Run, linked: bool) -> WaitingRun:
        posted = await self._services.messenger.posted(RUN_KEY + run.id) if linked else None
        link = await self._services.messenger.permalink(posted) if posted else None
        return WaitingRun(run=run, link=link)

    async def _greet(self, channel: str) -> None:
        prompts = [
            {"title": prompt[:60], "message": prompt}
            for assistant in self._services.state.assistants.values()
            for prompt in assistant.suggested_prompts[:2]
        ]
        if not prompts:
            return
        with slack_errors("suggest prompts"):
            await self._services.client.assistant_threads_setSuggestedPrompts(
                channel_id=channel, title="For example", prompts=prompts[:_PROMPTS]
            )


async def _may_sign(run: Run, user: str, roles: Roles) -> bool:
    approval = run.approval
    if run.state is not RunState.AWAITING or approval is None:
        return False
    if approval.four_eyes and run.requester == user:
        return False
    signed = any(signature.user == user for signature in run.signatures)
    return not signed and not (await roles.of(user)).isdisjoint(approval.roles)
