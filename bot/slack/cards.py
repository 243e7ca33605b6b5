"""Draws runs with what is known about them now, beyond the run itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.blocks.layout import Content, Json
from bot.blocks.run_card import CardContext, run_card
from bot.blocks.run_details import run_details
from bot.slack.asking import Asking, askings
from core.security.policy import Policy
from core.workflows.run import Run, RunState
from core.workflows.verdict import Verdict

_JUDGED = frozenset({RunState.AWAITING, RunState.APPROVED})


class Cards:
    """Makes cards and details of runs.

    Args:
        policy: names the groups that hold the roles, and says whether the glass can be broken.
        judge: how a run's guardrails are now.
    """

    def __init__(self, policy: Policy, judge: Callable[[Run], Awaitable[Verdict]]) -> None:
        self._policy = policy
        self._judge = judge

    async def card(self, run: Run, file: bool = False) -> Content:
        """The message of a run.

        Args:
            file: the file with its long output stands in the thread.
        """
        judged, context = await self._now(run, file)
        return run_card(judged, context)

    async def details(self, run: Run, link: str | None) -> Json:
        """The modal of a run; `link` leads to its message."""
        judged, context = await self._now(run, file=False)
        return run_details(judged, context, link)

    def askings(self, run: Run) -> list[Asking]:
        """Who is to be called in its thread, as it is now."""
        return list(askings(run, self._policy))

    async def judged(self, run: Run) -> Run:
        """The run with its guardrails as they are now, where it has not begun."""
        return (await self._now(run, file=False))[0]

    async def _now(self, run: Run, file: bool) -> tuple[Run, CardContext]:
        roles, glass = self._policy.roles, self._policy.break_glass is not None
        if run.state not in _JUDGED:
            return run, CardContext(roles=roles, glass=glass, file=file)
        verdict = await self._judge(run)
        judged = run.model_copy(update={"guardrails": verdict.results})
        return judged, CardContext(roles=roles, missing=verdict.missing, glass=glass, file=file)
