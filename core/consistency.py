"""Whether the records fit each other and the integrations: what `countersign check` says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.automation import AISchedule, AITrigger
from core.errors import ConfigurationError, CountersignError, InvalidRequestError
from core.records import Provenance, Risk
from core.security.policy import effective_approval
from core.state import AIWorkflow, ApplicationState
from core.workflows.actions import ActionRegistry
from core.workflows.definition import StepDefinition
from core.workflows.guardrails import Approval
from core.workflows.plan import PlannedArgument
from core.workflows.planning import fill_in
from core.workflows.template import references


def problems(state: ApplicationState, registry: ActionRegistry) -> list[str]:
    """Everything that does not fit, as `file: field: what and the mend` lines; empty if it does."""
    found = [*_policy(state), *_models(state), *_assistants(state)]
    for workflow in state.workflows.values():
        found += _workflow(state, registry, workflow)
    for trigger in state.triggers.values():
        found += _trigger(state, trigger)
    for schedule in state.schedules.values():
        found += _schedule(state, schedule)
    return found


def require_consistent(state: ApplicationState, registry: ActionRegistry) -> None:
    """Let pass a state in which everything fits.

    Raises:
        ConfigurationError: something does not; the message has a line for each.
    """
    if found := problems(state, registry):
        raise ConfigurationError("\n".join(found))


def _file(state: ApplicationState, kind: str, record_id: str) -> Path:
    return state.folder / kind / f"{record_id}.yaml"


def _policy(state: ApplicationState) -> Iterator[str]:
    for role in sorted(state.policy.unknown_roles()):
        yield f"{state.folder / 'policy.yaml'}: roles: define '{role}', or mend its spelling."


def _models(state: ApplicationState) -> Iterator[str]:
    for modality in ("text", "embeddings"):
        defaults = [m.id for m in state.models.values() if m.modality == modality and m.default]
        if len(defaults) != 1:
            named = ", ".join(defaults) or "none"
            yield (
                f"{state.folder / 'models'}: exactly one {modality} model needs 'default: true' "
                f"(now: {named})."
            )


def _assistants(state: ApplicationState) -> Iterator[str]:
    if not state.assistants:
        yield f"{state.folder / 'assistants'}: there must be at least one assistant."
    for assistant in state.assistants.values():
        file = _file(state, "assistants", assistant.id)
        for workflow in assistant.workflows:
            yield from _known(file, "workflows", workflow, state.workflows)
        if assistant.model is not None:
            yield from _known(file, "model", assistant.model, state.models)


def _workflow(
    state: ApplicationState, registry: ActionRegistry, workflow: AIWorkflow
) -> Iterator[str]:
    file = _file(state, "workflows", workflow.id)
    roles = {*workflow.start, *(workflow.escalation.roles if workflow.escalation else ())}
    own = next((g for g in workflow.guardrails if isinstance(g, Approval)), None)
    for role in sorted(roles | set(own.roles if own else ())):
        yield from _known(file, "role", role, state.policy.roles)
    scope = {"parameters": set(workflow.parameters), "steps": set()}
    for path in references(workflow.environment):
        yield from _reference(file, "environment", path, {"parameters": scope["parameters"]})
    risks = []
    for step in workflow.steps:
        for path in references(step.arguments):
            yield from _reference(file, f"steps.{step.id}", path, scope)
        scope["steps"].add(step.id)
        try:
            registry.get(step.action)
        except CountersignError as error:
            yield f"{file}: steps.{step.id}.action: {error}"
            continue
        yield from _literal_arguments(file, registry, step)
        if risk := _risk(registry, step):
            risks.append(risk)
    try:
        for risk in risks:
            effective_approval(state.policy, risk, own)
    except ConfigurationError as error:
        yield f"{file}: guardrails: {error}"


def _risk(registry: ActionRegistry, step: StepDefinition) -> Risk | None:
    """The step's risk, where its arguments are all written out and right."""
    if next(references(step.arguments), None) is not None:
        return None  # known when a plan is made, which refuses what nobody could sign
    action = registry.get(step.action)
    try:
        return action.risk_of(action.read(dict(step.arguments)))
    except InvalidRequestError:
        return None


def _literal_arguments(file: Path, registry: ActionRegistry, step: StepDefinition) -> Iterator[str]:
    """Steps whose arguments are all written out can be validated now; names always can."""
    action = registry.get(step.action)
    fields = {field.alias or name for name, field in action.arguments.model_fields.items()}
    for name in sorted(set(step.arguments) - fields):
        expected = ", ".join(sorted(fields))
        yield f"{file}: steps.{step.id}.with.{name}: {step.action} takes {expected}."
    if next(references(step.arguments), None) is None:
        try:
            action.read(dict(step.arguments))
        except InvalidRequestError as error:
            yield f"{file}: steps.{step.id}.with: {error}"


def _trigger(state: ApplicationState, trigger: AITrigger) -> Iterator[str]:
    file = _file(state, "triggers", trigger.id)
    yield from _known(file, "integration", trigger.integration, state.integrations)
    for offer in trigger.workflows:
        yield from _known(file, "workflows", offer.workflow, state.workflows)
        workflow = state.workflows.get(offer.workflow)
        if workflow is None:
            continue
        for name in offer.arguments:
            yield from _known(file, f"{offer.workflow}.with", name, workflow.parameters)
        for path in references(offer.arguments):
            if not re.fullmatch(r"event\.[A-Za-z_][\w-]*", path):
                yield f"{file}: {offer.workflow}.with: ${{{path}}} must be ${{event.NAME}}."


def _schedule(state: ApplicationState, schedule: AISchedule) -> Iterator[str]:
    file = _file(state, "schedules", schedule.id)
    if schedule.assistant is not None:
        yield from _known(file, "assistant", schedule.assistant, state.assistants)
    if schedule.workflow is None:
        return
    yield from _known(file, "workflow", schedule.workflow, state.workflows)
    if workflow := state.workflows.get(schedule.workflow):
        source = Provenance(kind="schedule", detail=schedule.name)
        given = {
            name: PlannedArgument(value=value, provenance=source)
            for name, value in schedule.arguments.items()
        }
        try:
            fill_in(workflow, given)
        except InvalidRequestError as error:
            yield f"{file}: with: {error}"


def _known(file: Path, field: str, name: str, known: Mapping[str, object]) -> Iterator[str]:
    if name not in known:
        there = ", ".join(known) or "none"
        yield f"{file}: {field}: there is no '{name}'; there is {there}."


def _reference(file: Path, field: str, path: str, scope: Mapping[str, set[str]]) -> Iterator[str]:
    head, _, rest = path.partition(".")
    name = rest.split(".")[0]
    if head not in scope or name not in scope[head]:
        there = ", ".join(f"{h}.{n}" for h, names in scope.items() for n in sorted(names))
        yield f"{file}: {field}: ${{{path}}} names nothing; there is {there or 'nothing'}."
