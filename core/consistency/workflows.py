"""What does not fit in a workflow: roles, guardrails, and what its parts refer to."""

from __future__ import annotations

from collections.abc import Iterator

from core.consistency.places import Part, Problem, Spot, file_of
from core.consistency.steps import StepCheck
from core.errors import ConfigurationError
from core.records import Risk
from core.security.policy import Right, effective_approval
from core.state import AIWorkflow, ApplicationState
from core.workflows.actions import ActionRegistry
from core.workflows.definition import StepDefinition
from core.workflows.guardrails import Approval
from core.workflows.guardrails.base import Written
from core.workflows.template import Types, check_text


def workflow_problems(
    state: ApplicationState, registry: ActionRegistry, workflow: AIWorkflow
) -> Iterator[Problem]:
    """Everything that would keep the workflow from being planned, signed or run."""
    file = file_of(state.folder, "workflows", workflow.id)
    parameters = {name: str(one.type) for name, one in workflow.parameters.items()}
    known = Types(parameters=parameters)
    for problem in check_text(workflow.environment, known):
        yield file.at("environment").says(problem)
    check = StepCheck(registry, state.policy.roles)
    done = yield from check.sequence(file.at("steps"), workflow.steps, known)
    # What follows a failure may ask any step for its outcome.
    anything = Types(parameters=parameters, steps=done)
    yield from check.sequence(file.at("on_failure"), workflow.on_failure, anything)
    yield from _guardrails(state, registry, workflow, file, parameters)
    yield from _roles(state, workflow, file)
    yield from _approval(state, workflow, file, check.risks)


def _guardrails(
    state: ApplicationState,
    registry: ActionRegistry,
    workflow: AIWorkflow,
    file: Spot,
    parameters: dict[str, str],
) -> Iterator[Problem]:
    steps = [part for step in (*workflow.steps, *workflow.on_failure) for part in step.walk()]
    written = Written(
        folder=state.folder,
        parameters=parameters,
        targets=workflow.targets,
        calls=tuple(_calls(steps)),
        actions=registry,
    )
    for position, guardrail in enumerate(workflow.guardrails):
        kind = type(guardrail).model_fields["type"].default
        spot = file.at("guardrails", position, label=f"guardrails.{kind}")
        for problem in guardrail.problems(written):
            field, colon, what = problem.partition(": ")
            parts: list[Part] = [int(word) if word.isdigit() else word for word in field.split(".")]
            yield spot.at(*parts).says(what) if colon else spot.says(problem)


def _calls(steps: list[StepDefinition]) -> Iterator[str]:
    for step in steps:
        if step.action is not None:
            yield step.action
        if step.undo is not None:
            yield step.undo.action


def _own_approval(workflow: AIWorkflow) -> tuple[int, Approval] | None:
    return next(
        ((at, rule) for at, rule in enumerate(workflow.guardrails) if isinstance(rule, Approval)),
        None,
    )


def _roles(state: ApplicationState, workflow: AIWorkflow, file: Spot) -> Iterator[Problem]:
    roles = state.policy.roles
    for position, role in enumerate(workflow.start):
        yield from file.at("start", position, label="start").knows(role, roles)
    starters = state.policy.roles_with(Right.START, workflow.id)
    if not starters or (workflow.start and not set(workflow.start) & set(starters)):
        yield file.at("start").says(
            f"nobody may start it: policy.yaml grants that to {', '.join(starters) or 'no role'}."
        )
    if own := _own_approval(workflow):
        position, rule = own
        spot = file.at("guardrails", position, label="guardrails.approval")
        for at, need in enumerate(rule.needs):
            for role in need.roles:
                yield from spot.at("needs", at, "roles", label="roles").knows(role, roles)
        for role in rule.delegable or ():
            yield from spot.at("delegable").knows(role, roles)
    for position, role in enumerate(workflow.escalation.roles if workflow.escalation else ()):
        spot = file.at("escalation", "roles", position, label="escalation.roles")
        yield from spot.knows(role, roles)


def _approval(
    state: ApplicationState, workflow: AIWorkflow, file: Spot, risks: frozenset[Risk]
) -> Iterator[Problem]:
    """Whether those who must sign can."""
    own = _own_approval(workflow)
    spot = file if own is None else file.at("guardrails", own[0], label="guardrails.approval")
    allowed = set(state.policy.roles_with(Right.APPROVE, workflow.id))
    needs: set[tuple[str, ...]] = set()
    for risk in sorted(risks, key=lambda one: one.rank):
        try:
            rule = effective_approval(state.policy, risk, own[1] if own else None)
        except ConfigurationError as error:
            yield spot.says(str(error))
            continue
        needs |= {need.roles for need in rule.needs} if rule else set()
    for roles in sorted(needs):
        if not allowed & set(roles) and set(roles) <= set(state.policy.roles):
            yield spot.says(
                f"nobody with the role {' or '.join(roles)} may countersign it: add a grant of "
                "'approve' to policy.yaml."
            )
    signers = {role for roles in needs for role in roles}
    called = workflow.escalation.roles if workflow.escalation else ()
    for position, role in enumerate(called):
        if signers and role not in signers and role in state.policy.roles:
            yield file.at("escalation", "roles", position, label="escalation.roles").says(
                f"'{role}' cannot sign; those who can are {', '.join(sorted(signers))}."
            )
