"""From a workflow and its arguments to a plan: typed, rendered, previewed, guarded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk, storable_text
from core.security.policy import Policy, effective_approval
from core.state import AIWorkflow
from core.workflows.actions import ActionError, ActionRegistry
from core.workflows.arguments import fill_in, scope_of, targets_of
from core.workflows.definition import Retry, spoken
from core.workflows.expansion import Draft, Expansion
from core.workflows.guardrails import AnyGuardrail, Approval
from core.workflows.plan import (
    Plan,
    PlannedArgument,
    PlannedEscalation,
    PlannedRetry,
    PlannedStep,
)
from core.workflows.taint import MODEL, Taints, in_words
from core.workflows.template import references, render

_LATER = frozenset({"steps"})
_PREVIEW_LIMIT_S = 30.0
_PREVIEW_CHARACTERS = 6000
_PREVIEWS_AT_ONCE = 8
_MANUAL_LIMIT_S = 30 * 24 * 3600.0


class Planner:
    """Makes plans.

    Args:
        policy: the team's rules, by which the approval guardrail is tightened.
        registry: the actions that steps can name.
    """

    def __init__(self, policy: Policy, registry: ActionRegistry) -> None:
        self._policy = policy
        self._registry = registry

    async def plan(
        self,
        run_id: str,
        workflow: AIWorkflow,
        given: Mapping[str, PlannedArgument],
        requester: str,
    ) -> Plan:
        """Fill in `workflow`.

        Raises:
            InvalidRequestError: an argument is missing, unknown or wrong, a dry run failed, or
                something destructive would be told by a model what to do.
            NotFoundError: a step names an action that no integration offers.
        """
        arguments = fill_in(workflow, given)
        scope = scope_of(arguments)
        expansion = Expansion(scope)
        flow = expansion.add(workflow.steps)
        if not expansion.drafts:
            raise InvalidRequestError(
                f"{workflow.id} has nothing to do with these arguments: no step's condition holds."
            )
        expansion.add_undo()
        on_failure = expansion.add(workflow.on_failure) if workflow.on_failure else None
        steps = await self._steps(expansion.drafts, Taints(arguments))
        return Plan(
            run_id=run_id,
            workflow=workflow.id,
            name=workflow.name,
            objective=workflow.objective,
            definition=definition_of(workflow),
            environment=str(render(workflow.environment, scope, frozenset())),
            requester=requester,
            arguments=arguments,
            targets=tuple(targets_of(workflow, arguments)),
            steps=steps,
            flow=flow,
            on_failure=on_failure,
            guardrails=self.guardrails(workflow, arguments, steps),
            escalation=_escalation(workflow),
        )

    def guardrails(
        self,
        workflow: AIWorkflow,
        arguments: Mapping[str, PlannedArgument],
        steps: Iterable[PlannedStep],
    ) -> tuple[AnyGuardrail, ...]:
        """What guards a plan of these steps, by the workflow and the policy as they are now."""
        risk = max((step.risk for step in steps), key=lambda risk: risk.rank)
        own = next((g for g in workflow.guardrails if isinstance(g, Approval)), None)
        approval = effective_approval(self._policy, risk, own)
        scope = scope_of(arguments)
        others = tuple(
            guardrail.rendered(scope)
            for guardrail in workflow.guardrails
            if not isinstance(guardrail, Approval)
        )
        return (approval, *others) if approval else others

    async def _steps(self, drafts: list[Draft], taints: Taints) -> tuple[PlannedStep, ...]:
        undone_by = {draft.undoes: position for position, draft in enumerate(drafts)}
        steps = [self._step(draft, taints) for draft in drafts]
        gate = asyncio.Semaphore(_PREVIEWS_AT_ONCE)
        previews = await asyncio.gather(
            *(self._preview(d, s, gate) for d, s in zip(drafts, steps, strict=True))
        )
        return tuple(
            step.model_copy(update={"undo": undone_by.get(position), "preview": preview})
            for position, (step, preview) in enumerate(zip(steps, previews, strict=True))
        )

    def _step(self, draft: Draft, taints: Taints) -> PlannedStep:
        if draft.call is None:
            return _without_action(draft, taints)
        action = self._registry.get(draft.call.action)
        rendered = {
            key: render(value, draft.around.scope, _LATER)
            for key, value in draft.call.arguments.items()
        }
        untrusted = taints.within(draft.call.arguments, draft)
        taints.follow(draft, untrusted.values(), action.output_kind)
        late = next(references(rendered), None) is not None
        typed = None if late else action.read(rendered)
        risk = action.risk if typed is None else action.risk_of(typed)
        if risk is Risk.DESTRUCTIVE:
            _require_a_person(draft, untrusted)
        undoing = draft.undoes is not None
        return PlannedStep(
            id=draft.id,
            name=f"Undo: {draft.step.name}" if undoing else draft.step.name,
            action=draft.call.action,
            risk=risk,
            idempotency=action.idempotency if typed is None else action.idempotency_of(typed),
            when=draft.around.when,
            arguments=rendered,
            untrusted=in_words(untrusted),
            description=(
                f"{action.summary} (its arguments come from earlier steps)"
                if typed is None
                else action.describe(typed)
            ),
            preview=None,
            time_limit_s=draft.call.time_limit.total_seconds(),
            retry=None if undoing else _retry(draft.step.retry),
            each=draft.around.each,
            pin=action.pin,
        )

    async def _preview(
        self, draft: Draft, step: PlannedStep, gate: asyncio.Semaphore
    ) -> str | None:
        if draft.call is None or draft.undoes is not None or step.late or step.when is not None:
            return None  # what it would do now says nothing about what it will do then
        action = self._registry.get(step.action)
        try:
            async with gate, asyncio.timeout(_PREVIEW_LIMIT_S):
                preview = await action.preview(action.read(step.arguments))
        except ActionError as error:
            raise InvalidRequestError(f"The dry run of '{step.name}' failed: {error}") from error
        except TimeoutError as error:
            raise InvalidRequestError(
                f"The dry run of '{step.name}' took longer than {_PREVIEW_LIMIT_S:.0f} s."
            ) from error
        return None if preview is None else shown_preview(preview)


def shown_preview(output: str) -> str:
    """A dry run's output as the plan has it: storable, and with a mark where it is cut."""
    text = storable_text(output)
    if len(text) <= _PREVIEW_CHARACTERS:
        return text
    left_out = len(text) - _PREVIEW_CHARACTERS
    return f"{text[:_PREVIEW_CHARACTERS]}\n… {left_out} characters are left out"


def definition_of(workflow: AIWorkflow) -> dict[str, JsonValue]:
    """What of a workflow's file belongs to what people sign: all but its examples."""
    return workflow.model_dump(mode="json", by_alias=True, exclude={"examples"})


def _escalation(workflow: AIWorkflow) -> PlannedEscalation | None:
    if workflow.escalation is None:
        return None
    after_s = workflow.escalation.after.total_seconds()
    return PlannedEscalation(after_s=after_s, roles=workflow.escalation.roles)


def _retry(retry: Retry | None) -> PlannedRetry | None:
    if retry is None:
        return None
    return PlannedRetry(
        attempts=retry.attempts,
        backoff_s=retry.backoff.total_seconds(),
        factor=retry.factor,
        longest_s=retry.longest.total_seconds(),
    )


def _without_action(draft: Draft, taints: Taints) -> PlannedStep:
    """A wait, or something that a person does; what a person has confirmed is theirs."""
    step = draft.step
    shown = {key: render(value, draft.around.scope, _LATER) for key, value in step.show.items()}
    untrusted = taints.within(dict(step.show), draft)
    limit_s = step.time_limit.total_seconds() if step.time_limit else _MANUAL_LIMIT_S
    return PlannedStep(
        id=draft.id,
        kind=step.kind,
        name=step.name,
        action="",
        risk=Risk.READ,
        idempotency=Idempotency.NATURAL,
        when=draft.around.when,
        arguments=shown,
        untrusted=in_words(untrusted),
        description=(
            str(render(step.manual or "", draft.around.scope, _LATER))
            if step.wait is None
            else f"Wait {spoken(step.wait)}"
        ),
        preview=None,
        time_limit_s=limit_s,
        wait_s=None if step.wait is None else step.wait.total_seconds(),
        roles=step.roles,
        each=draft.around.each,
    )


def _require_a_person(draft: Draft, untrusted: Mapping[str, frozenset[str]]) -> None:
    written = [name for name, kinds in untrusted.items() if MODEL in kinds]
    if written:
        raise InvalidRequestError(
            f"'{draft.step.name}' is destructive, and a model wrote its {', '.join(written)}. "
            "A person must confirm the value: type it or tick it in the form, or let a manual "
            "step show it before."
        )
