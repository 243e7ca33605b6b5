"""What does not fit in triggers and schedules."""

from __future__ import annotations

from collections.abc import Iterator

from core.automation import AISchedule, AITrigger, Offer
from core.consistency.places import Problem, Spot, file_of
from core.errors import ConfigurationError, InvalidRequestError
from core.ownership import read_owners
from core.records import Provenance, Scalar
from core.state import AIWorkflow, ApplicationState
from core.workflows.arguments import fill_in
from core.workflows.definition import Parameter
from core.workflows.plan import PlannedArgument
from core.workflows.template import Types, check_condition, check_text, templates

_EVENT = Types(event=True)


def trigger_problems(state: ApplicationState, trigger: AITrigger) -> Iterator[Problem]:
    """Names that are none, arguments that the workflow does not take, or lacks."""
    file = file_of(state.folder, "triggers", trigger.id)
    yield from file.at("integration").knows(trigger.integration, state.integrations)
    if trigger.when is not None:
        for problem in check_condition(trigger.when, _EVENT):
            yield file.at("when").says(problem)
    if trigger.quiet is not None and trigger.quiet.unless is not None:
        for problem in check_condition(trigger.quiet.unless, _EVENT):
            yield file.at("quiet", "unless").says(problem)
    if trigger.group is not None and trigger.group.by is not None:
        for problem in check_text(trigger.group.by, _EVENT):
            yield file.at("group", "by").says(problem)
    if trigger.owner is not None:
        for problem in check_text(trigger.owner.of, _EVENT):
            yield file.at("owner", "of").says(problem)
        try:
            read_owners(state.folder, trigger.owner)
        except ConfigurationError as error:
            yield file.at("owner", "file").says(str(error))
    for position, offer in enumerate(trigger.workflows):
        spot = file.at("workflows", position, label=f"workflows.{position + 1}")
        yield from spot.at("workflow").knows(offer.workflow, state.workflows)
        if workflow := state.workflows.get(offer.workflow):
            yield from _offer(spot, trigger, offer, workflow)


def _offer(spot: Spot, trigger: AITrigger, offer: Offer, workflow: AIWorkflow) -> Iterator[Problem]:
    for name, value in offer.arguments.items():
        given = spot.at("with", name)
        yield from given.knows(name, workflow.parameters)
        written = list(templates(value))
        for place, text in written:
            for problem in check_text(text, _EVENT):
                yield given.at(*place).says(problem)
        if name in workflow.parameters and not written:
            yield from _literal(given, name, workflow.parameters[name], value)
    lacking = [
        name
        for name, parameter in workflow.parameters.items()
        if parameter.default is None and name not in offer.arguments
    ]
    if trigger.mode == "start" and lacking:
        yield spot.says(
            f"{workflow.id} needs {', '.join(lacking)}: add it under 'with', or let a person fill "
            "it in with 'mode: offer'."
        )


def _literal(spot: Spot, name: str, parameter: Parameter, value: object) -> Iterator[Problem]:
    """A value that is written out can be read now."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = tuple(value)
    if not isinstance(value, Scalar | tuple):
        yield spot.says("write a plain value, or a list of texts.")
        return
    try:
        parameter.read(name, value)
    except InvalidRequestError as error:
        yield spot.says(str(error))


def schedule_problems(state: ApplicationState, schedule: AISchedule) -> Iterator[Problem]:
    """Names that are none, arguments that the workflow does not take, or lacks."""
    file = file_of(state.folder, "schedules", schedule.id)
    if schedule.assistant is not None:
        yield from file.at("assistant").knows(schedule.assistant, state.assistants)
    if schedule.workflow is None:
        return
    yield from file.at("workflow").knows(schedule.workflow, state.workflows)
    if workflow := state.workflows.get(schedule.workflow):
        source = Provenance(kind="schedule", detail=schedule.name)
        given = {
            name: PlannedArgument(value=value, provenance=source)
            for name, value in schedule.arguments.items()
        }
        try:
            fill_in(workflow, given)
        except InvalidRequestError as error:
            yield file.at("with").says(str(error))
