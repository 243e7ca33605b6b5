"""The values with which a workflow is started, each with where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from core.errors import InvalidRequestError
from core.records import Provenance, Value
from core.state import AIWorkflow
from core.workflows.plan import PlannedArgument

_LONGEST_TARGET = 500


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


def scope_of(arguments: Mapping[str, PlannedArgument]) -> dict[str, JsonValue]:
    """What expressions know when a plan is made: the parameters."""
    return {"parameters": {name: _json(argument.value) for name, argument in arguments.items()}}


def _json(value: Value) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value


def targets_of(workflow: AIWorkflow, arguments: Mapping[str, PlannedArgument]) -> Iterator[str]:
    """What the plan touches: the values of the workflow's targets, each item of a list.

    Raises:
        InvalidRequestError: one is too long for an index, by which rates are counted.
    """
    for name in workflow.targets:
        value = arguments[name].value
        for target in value if isinstance(value, tuple) else (str(value),):
            if len(target) > _LONGEST_TARGET:
                raise InvalidRequestError(
                    f"{name} names a target of more than {_LONGEST_TARGET} characters."
                )
            yield target
