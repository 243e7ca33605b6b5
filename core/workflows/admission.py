"""Whether a run may begin now: what was signed must still be what would run, under every rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain

from pydantic import JsonValue

from core.errors import CountersignError
from core.state import AIWorkflow
from core.workflows.actions import ActionRegistry
from core.workflows.catalogue import Catalogue
from core.workflows.definition import StepKind, spoken
from core.workflows.difference import difference
from core.workflows.guardrails import AnyGuardrail, GuardrailResult, GuardrailState
from core.workflows.guardrails.base import Claims
from core.workflows.plan import PlannedStep
from core.workflows.planning import Planner, definition_of
from core.workflows.run import Run, RunState, situation
from core.workflows.signatures import Decision
from core.workflows.verdict import Verdict

_LONGEST_WAIT = timedelta(days=1)  # of what needs no signatures, and so has no expiry of its own
_PASSED = {GuardrailState.MET, GuardrailState.OVERRIDDEN}


@dataclass(frozen=True)
class Ruling:
    """What follows for an approved run.

    Attributes:
        after: RUNNING: it may begin, taking `claims`. APPROVED: not yet, for `reason`. BLOCKED or
            EXPIRED: never, for `reason`.
    """

    after: RunState
    reason: str = ""
    claims: Claims = field(default_factory=Claims)
    results: tuple[GuardrailResult, ...] = ()


class Admission:
    """Checks runs before their first step.

    Args:
        catalogue: the workflows as they are now.
        planner: says which guardrails the workflow and the policy ask for now.
        judge: evaluates the guardrails of a run's plan.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        planner: Planner,
        registry: ActionRegistry,
        judge: Callable[[Run], Awaitable[Verdict]],
    ) -> None:
        self._catalogue = catalogue
        self._planner = planner
        self._registry = registry
        self._judge = judge

    async def rule(self, run: Run) -> Ruling:
        """Digest, definition, policy, meaning of the actions, guardrails: all of it, anew."""
        for step in run.plan.steps:
            await self._registry.catch_up(step.action, step.pin)
        if obstacle := self.altered(run) or self._changed(run):
            return Ruling(RunState.BLOCKED, obstacle)
        verdict = await self._judge(run)
        waits = verdict.approval in _PASSED and verdict.others is GuardrailState.WAITING
        if not (verdict.met or waits):
            return Ruling(RunState.BLOCKED, verdict.obstacle)
        if verdict.expired:
            return Ruling(RunState.EXPIRED, "Its countersignatures were not used in time.")
        if not verdict.met and run.approval is None and _waited(run) > _LONGEST_WAIT:
            days = spoken(_LONGEST_WAIT)
            return Ruling(RunState.EXPIRED, f"It could not begin in {days}. {verdict.obstacle}")
        if verdict.met:
            claims = _claims(run, verdict)
            return Ruling(RunState.RUNNING, claims=claims, results=verdict.results)
        return Ruling(RunState.APPROVED, verdict.obstacle)

    async def still_signed(self, run: Run) -> str:
        """What speaks against going on with a run that has begun, in another direction: its plan
        was altered, or those who signed no longer may. Empty where nothing does."""
        if obstacle := self.altered(run):
            return obstacle
        verdict = await self._judge(run)
        return "" if verdict.approval in _PASSED and not verdict.denied else verdict.obstacle

    @staticmethod
    def altered(run: Run) -> str:
        """How the stored plan differs from what was signed, or nothing."""
        if run.intact:
            return ""
        return f"The plan is not the one that was signed ({run.plan.digest[:19]}…)."

    @staticmethod
    def unsigned(run: Run) -> str:
        """What a run that counts as begun lacks of what it cannot have begun without, or nothing.
        Whether those who signed may was asked when it began."""
        if run.begun_at is None:
            return "It counts as begun, and never was."
        decisions = {s.decision for s in run.signatures}
        if Decision.DENY in decisions:
            return "It was denied."
        signers = {s.user for s in run.signatures if s.decision is Decision.APPROVE}
        needed = run.approval.count if run.approval else 0
        if len(signers) < needed and Decision.BREAK_GLASS not in decisions:
            return f"It counts as begun, and {len(signers)} of {needed} have signed it."
        return ""

    def _changed(self, run: Run) -> str:
        if changed := next(filter(None, (self._changed_pin(step) for step in run.plan.steps)), ""):
            return changed
        workflow = self._catalogue.get(run.plan.workflow, run.plan.arguments)
        if workflow is None:
            return f"There is no workflow '{run.plan.workflow}' any more."
        if lines := difference(run.plan.definition, definition_of(workflow)):
            return "The workflow's file has changed: " + "; ".join(lines) + "."
        if lines := self._changed_rules(run, workflow):
            return "The policy has changed: " + "; ".join(lines) + "."
        return next(filter(None, (self._changed_meaning(step) for step in run.plan.steps)), "")

    def _changed_rules(self, run: Run, workflow: AIWorkflow) -> list[str]:
        now = self._planner.guardrails(workflow, run.plan.arguments, run.plan.steps)
        if now == run.plan.guardrails:
            return []
        return difference(_rules(run.plan.guardrails), _rules(now))

    def _changed_pin(self, step: PlannedStep) -> str:
        """How what the step calls is defined otherwise than it was, or nothing."""
        if step.pin is None:
            return ""
        try:
            action = self._registry.get(step.action)
        except CountersignError as error:
            return f"'{step.name}' cannot be done any more: {error}"
        if action.pin != step.pin:
            return f"'{step.name}' is not what was signed: {step.action} was defined anew since."
        return ""

    def _changed_meaning(self, step: PlannedStep) -> str:
        """How a step would now do something else than what was signed, or nothing."""
        if step.late or step.kind is not StepKind.ACTION:
            return ""  # its arguments are known only when it is its turn
        try:
            action = self._registry.get(step.action)
            typed = action.read(step.arguments)
            risk, description = action.risk_of(typed), action.describe(typed)
        except CountersignError as error:
            return f"'{step.name}' cannot be done any more: {error}"
        if risk.rank > step.risk.rank:
            return f"'{step.name}' is {risk} now, and {step.risk} was signed."
        if description != step.description:
            return f"'{step.name}' would now be “{description}”; signed was “{step.description}”."
        return ""


def _waited(run: Run) -> timedelta:
    return datetime.now(UTC) - run.created_at


def _rules(guardrails: tuple[AnyGuardrail, ...]) -> JsonValue:
    return {"guardrails": [rule.model_dump(mode="json", by_alias=True) for rule in guardrails]}


def _claims(run: Run, verdict: Verdict) -> Claims:
    """What the guardrails that are met take; what gives way takes nothing."""
    if not run.plan.guardrails:
        return Claims()
    here = situation(run, datetime.now(UTC), {})
    claims = [
        guardrail.claims(here)
        for guardrail, result in zip(run.plan.guardrails, verdict.results, strict=True)
        if result.state is GuardrailState.MET
    ]
    return Claims(
        locks=tuple(chain.from_iterable(claim.locks for claim in claims)),
        rates=tuple(chain.from_iterable(claim.rates for claim in claims)),
    )
