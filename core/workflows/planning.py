"""From a workflow and its arguments to a plan: typed, rendered, previewed, guarded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pydantic import BaseModel, JsonValue

from core.errors import InvalidRequestError
from core.records import Provenance, storable_text
from core.security.policy import Policy, effective_approval
from core.state import AIWorkflow
from core.workflows.actions import Action, ActionError, ActionRegistry
from core.workflows.definition import StepDefinition
from core.workflows.guardrails import AnyGuardrail, Approval
from core.workflows.plan import One, Plan, PlannedArgument, PlannedStep, Sequence
from core.workflows.template import references, render

_LATER = frozenset({"steps"})
_PREVIEW_LIMIT_S = 30.0
_PREVIEW_CHARACTERS = 6000


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
            InvalidRequestError: an argument is missing, unknown or wrong, or a dry run failed.
            NotFoundError: a step names an action that no integration offers.
        """
        arguments = fill_in(workflow, given)
        steps = tuple([await self._step(step, arguments) for step in workflow.steps])
        scope: dict[str, JsonValue] = {"parameters": {k: a.value for k, a in arguments.items()}}
        return Plan(
            run_id=run_id,
            workflow=workflow.id,
            name=workflow.name,
            objective=workflow.objective,
            definition=definition_of(workflow),
            environment=str(render(workflow.environment, scope, frozenset())),
            requester=requester,
            arguments=arguments,
            targets=tuple(str(arguments[name].value) for name in workflow.targets),
            steps=steps,
            flow=Sequence(nodes=tuple(One(step=position) for position in range(len(steps)))),
            guardrails=self._guardrails(workflow, steps),
        )

    async def _step(
        self, step: StepDefinition, arguments: Mapping[str, PlannedArgument]
    ) -> PlannedStep:
        action = self._registry.get(step.action)
        scope: dict[str, JsonValue] = {"parameters": {k: a.value for k, a in arguments.items()}}
        rendered = {key: render(value, scope, _LATER) for key, value in step.arguments.items()}
        later = next(references(rendered), None) is not None
        typed = None if later else action.read(rendered)
        return PlannedStep(
            id=step.id,
            name=step.name,
            action=step.action,
            risk=action.risk if typed is None else action.risk_of(typed),
            idempotency=(action.idempotency if typed is None else action.idempotency_of(typed)),
            arguments=rendered,
            untrusted=_untrusted(step, arguments),
            description=(
                f"{action.summary} (its arguments come from earlier steps)"
                if typed is None
                else action.describe(typed)
            ),
            preview=None if typed is None else await _preview(step, action, typed),
            time_limit_s=step.time_limit.total_seconds(),
        )

    def _guardrails(
        self, workflow: AIWorkflow, steps: tuple[PlannedStep, ...]
    ) -> tuple[AnyGuardrail, ...]:
        risk = max((step.risk for step in steps), key=lambda risk: risk.rank)
        own = next((g for g in workflow.guardrails if isinstance(g, Approval)), None)
        approval = effective_approval(self._policy, risk, own)
        others = tuple(g for g in workflow.guardrails if not isinstance(g, Approval))
        return (approval, *others) if approval else others


def definition_of(workflow: AIWorkflow) -> dict[str, JsonValue]:
    """What of a workflow's file belongs to what people sign: all but its examples."""
    return workflow.model_dump(mode="json", by_alias=True, exclude={"examples"})


def fill_in(
    workflow: AIWorkflow, given: Mapping[str, PlannedArgument]
) -> dict[str, PlannedArgument]:
    """Every parameter with a value of its type: the given one or the definition's default.

    Raises:
        InvalidRequestError: one is missing, unknown or wrong; the message shows what is expected.
    """
    if unknown := sorted(set(given) - set(workflow.parameters)):
        expected = ", ".join(workflow.parameters) or "none"
        raise InvalidRequestError(
            f"{workflow.id} has no parameter {', '.join(unknown)}; it has {expected}."
        )
    filled = {}
    for name, parameter in workflow.parameters.items():
        if name in given:
            argument = given[name]
            value = parameter.read(name, argument.value)
            filled[name] = PlannedArgument(value=value, provenance=argument.provenance)
        elif parameter.default is not None:
            default = Provenance(kind="definition", detail="default of the workflow")
            value = parameter.read(name, parameter.default)
            filled[name] = PlannedArgument(value=value, provenance=default)
        else:
            raise InvalidRequestError(
                f"{workflow.id} needs {name} ({parameter.description}): add {name}=…"
            )
    return filled


def _untrusted(step: StepDefinition, arguments: Mapping[str, PlannedArgument]) -> tuple[str, ...]:
    paths = {path for value in step.arguments.values() for path in references(value)}
    used = {path.split(".")[1] for path in paths if path.startswith("parameters.")}
    return tuple(sorted(name for name in used if not arguments[name].provenance.trusted))


async def _preview(step: StepDefinition, action: Action[BaseModel], typed: BaseModel) -> str | None:
    try:
        async with asyncio.timeout(_PREVIEW_LIMIT_S):
            preview = await action.preview(typed)
    except ActionError as error:
        raise InvalidRequestError(f"The dry run of '{step.name}' failed: {error}") from error
    except TimeoutError as error:
        raise InvalidRequestError(
            f"The dry run of '{step.name}' took longer than {_PREVIEW_LIMIT_S:.0f} s."
        ) from error
    return None if preview is None else storable_text(preview)[:_PREVIEW_CHARACTERS]
