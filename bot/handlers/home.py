"""The App Home, and what greets a person in the bot's direct messages."""

from __future__ import annotations

from bot.blocks.home import WaitingRun, home
from bot.blocks.run_buttons import waiting_steps
from bot.handlers.items import HomeItem
from bot.handlers.sight import Sight
from bot.services import BotServices
from bot.slack.client import slack_errors
from bot.slack.messenger import RUN_KEY
from core.security.policy import Right
from core.security.reviews import Review
from core.workflows.run import Run, RunState

_LOOKED_AT = 100
_LINKED = 10
_PROMPTS = 4
_BEGUN = {RunState.APPROVED, RunState.RUNNING, RunState.ATTENTION}


class Home:
    """Publishes the home tab, each time as it is now."""

    def __init__(self, services: BotServices) -> None:
        self._services = services
        self._sight = Sight(services)

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
        latest = services.workflows.latest
        asked = await self._sight.seen(user, await latest(_LOOKED_AT, {RunState.AWAITING}))
        begun = await self._sight.seen(user, await latest(_LOOKED_AT, _BEGUN))
        waiting = [run for run in begun if await self._may_confirm(run, user)]
        waiting += [run for run in asked if await self._may_sign(run, user)]
        workflows = services.workflows.workflows
        view = home(
            waiting=[await self._linked(run, n < _LINKED) for n, run in enumerate(waiting)],
            open_runs=begun,
            workflows=[workflows[w] for w in workflows if await self._may_see(user, w)],
            assistants=list(services.state.assistants.values()),
            schedules=[one.schedule for one in await services.schedules.visible(user)],
            upcoming=services.schedules.upcoming(),
            systems=await services.systems.last(),
            reviews=[r for r in await services.reviews.open() if await self._may_review(r, user)],
        )
        with slack_errors("publish the home tab"):
            await services.client.views_publish(user_id=user, view=view)

    async def _linked(self, run: Run, linked: bool) -> WaitingRun:
        posted = await self._services.messenger.posted(RUN_KEY + run.id) if linked else None
        link = await self._services.messenger.permalink(posted) if posted else None
        return WaitingRun(run=run, link=link)

    async def _may_sign(self, run: Run, user: str) -> bool:
        """Whether a signature of the person, their own or for somebody who is away, is looked
        for; whether it would fill a place is said when they sign."""
        approval = run.approval
        if approval is None or any(signature.user == user for signature in run.signatures):
            return False
        if approval.four_eyes and run.requester == user:
            return False
        roles = self._services.roles
        held = await roles.of(user)
        for lent in (await roles.on_behalf(user)).values():
            held |= lent
        return not held.isdisjoint(approval.roles)

    async def _may_confirm(self, run: Run, user: str) -> bool:
        """Whether a manual step waits for the person."""
        own = run.approval.roles if run.approval else ()
        asked = {role for step in waiting_steps(run) for role in step.roles or own}
        return bool(asked) and not asked.isdisjoint(await self._services.roles.of(user))

    async def _may_review(self, review: Review, user: str) -> bool:
        """Whether the person may close a review."""
        if user in {review.user, review.requester}:
            return False
        where = (review.workflow, review.place.channel)
        may = self._services.permissions.may
        return await may(user, Right.APPROVE, *where) or await may(user, Right.ADMINISTER, *where)

    async def _may_see(self, user: str, workflow: str) -> bool:
        """Whether the person may see a workflow in at least one channel."""
        able = self._services.state.policy.roles_with(Right.SEE, workflow)
        return not (await self._services.roles.of(user)).isdisjoint(able)

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
