"""What all guardrails together say about a run, now."""

from __future__ import annotations

from datetime import UTC, datetime

from core.records import Frozen
from core.security.policy import Roles
from core.workflows.guardrails import Approval, GuardrailResult, GuardrailState
from core.workflows.run import Run, situation
from core.workflows.signatures import Decision


class Verdict(Frozen):
    """The guardrails' results and what follows from them."""

    results: tuple[GuardrailResult, ...]
    approval: GuardrailState
    others: GuardrailState
    denied: bool
    expired: bool

    @property
    def met(self) -> bool:
        """Whether the run may go on."""
        return self.approval is GuardrailState.MET and self.others is GuardrailState.MET

    @property
    def obstacle(self) -> str:
        """The guardrail that stands in the way, with its evidence: rather one that forbids it
        than one that waits."""
        for state in (GuardrailState.BLOCKED, GuardrailState.WAITING):
            for result in self.results:
                if result.state is state:
                    return f"{result.description}: {result.evidence}"
        return ""


async def judge(run: Run, roles: Roles) -> Verdict:
    """Evaluate every guardrail of the run's plan, with the roles that its signers hold now."""
    held = {signature.user: await roles.of(signature.user) for signature in run.signatures}
    here = situation(run, datetime.now(UTC), held)
    pairs = [(guardrail, guardrail.evaluate(here)) for guardrail in run.plan.guardrails]
    approval = next((r.state for g, r in pairs if isinstance(g, Approval)), GuardrailState.MET)
    others = [result.state for g, result in pairs if not isinstance(g, Approval)]
    return Verdict(
        results=tuple(result for _, result in pairs),
        approval=approval,
        others=_worst(others),
        denied=any(s.decision is Decision.DENY for s in run.signatures),
        expired=run.expires_at is not None and here.now >= run.expires_at,
    )


def _worst(states: list[GuardrailState]) -> GuardrailState:
    for state in (GuardrailState.BLOCKED, GuardrailState.WAITING):
        if state in states:
            return state
    return GuardrailState.MET
