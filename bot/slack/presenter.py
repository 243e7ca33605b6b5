"""Shows runs: one card each, which always says what is so now."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.blocks.run_card import run_card
from bot.slack.messenger import RUN_KEY, SlackMessenger
from core.ports import PostedMessage
from core.security.policy import Policy, Roles
from core.workflows.run import Run, RunState
from core.workflows.verdict import judge


class SlackPresenter:
    """Implements `core.ports.RunPresenter`.

    Args:
        roles: to judge a waiting run's guardrails as they are now.
    """

    def __init__(self, messenger: SlackMessenger, policy: Policy, roles: Roles) -> None:
        self._messenger = messenger
        self._policy = policy
        self._roles = roles

    async def present(self, run: Run) -> PostedMessage:
        """Post the run's card in its thread or channel, or update it where it stands.

        Raises:
            PresentationError: it could not be shown now.
        """
        if run.state is RunState.AWAITING and not run.guardrails:
            verdict = await judge(run, self._roles)
            run = run.model_copy(update={"guardrails": verdict.results})
        card = run_card(run, datetime.now(UTC), self._policy.roles)
        posted, fresh = await self._messenger.post_or_find(run.place, card, RUN_KEY + run.id)
        if not fresh:
            await self._messenger.update(posted, card)
        return posted
