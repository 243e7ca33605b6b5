"""What the expressions of a step may refer to when it is its turn."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from core.workflows.arguments import scope_of
from core.workflows.definition import StepKind
from core.workflows.plan import Plan
from core.workflows.run import StepProgress, StepState

_KNOWN = {StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED}


def scope_at(plan: Plan, steps: Sequence[StepProgress], position: int) -> dict[str, JsonValue]:
    """The parameters, the item of the for-each, and the outcomes of the steps that have ended.

    A step's outcome is its values with its `summary` and `state`. Inside a for-each, `steps.X`
    is X for the same item; outside, it is a map from item to outcome.
    """
    step = plan.steps[position]
    scope = scope_of(plan.arguments)
    if step.each is not None:
        scope["each"] = step.each
    own = _suffix(step.id)
    outcomes: dict[str, JsonValue] = {}
    by_item: dict[str, dict[str, JsonValue]] = {}
    for planned, one in zip(plan.steps, steps, strict=True):
        if one.state not in _KNOWN:
            continue
        # What a person was shown and did not confirm is nobody's word.
        refused = planned.kind is StepKind.MANUAL and one.state is not StepState.SUCCEEDED
        values = {} if refused else one.values
        outcome: JsonValue = {**values, "summary": one.summary, "state": str(one.state)}
        base, suffix = one.step_id.partition("[")[0], _suffix(one.step_id)
        if own.startswith(suffix):
            outcomes[base] = outcome
        else:
            by_item.setdefault(base, {})[suffix[1:-1]] = outcome
    scope["steps"] = {**by_item, **outcomes}
    return scope


def _suffix(step_id: str) -> str:
    """`[web-1]` of `deploy[web-1]`; empty outside a for-each."""
    _, bracket, rest = step_id.removesuffix(".undo").partition("[")
    return bracket + rest
