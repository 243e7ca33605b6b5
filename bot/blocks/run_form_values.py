"""How the values of a submitted run form are read, and where each came from."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bot.blocks.layout import Json, cut
from core.errors import InvalidRequestError
from core.records import Provenance, Scalar, Value
from core.state import AIWorkflow
from core.workflows.definition import Parameter
from core.workflows.plan import PlannedArgument

PARAMETER = "parameter:"
"""Beginning of the id of a parameter's block."""
ELEMENT = "value"
PLACE_BLOCK = "place"
CONFIRM_BLOCK = "confirm"


def read_form(
    workflow: AIWorkflow, values: Mapping[str, Mapping[str, Json]]
) -> tuple[dict[str, Value], dict[str, str]]:
    """The values of a submission, and for each input that is wrong what to change.

    Args:
        values: `view.state.values`: block id -> action id -> element.

    Returns:
        Values by parameter (those left empty are missing), and errors by block id.
    """
    found: dict[str, Value] = {}
    errors: dict[str, str] = {}
    for name, parameter in workflow.parameters.items():
        block = PARAMETER + name
        raw = _raw(values.get(block, {}).get(ELEMENT, {}))
        if raw is None:
            if parameter.default is None:
                errors[block] = f"{name} is needed: {cut(parameter.description, 150)}"
            continue
        try:
            found[name] = parameter.read(name, _chosen_values(parameter, raw))
        except InvalidRequestError as error:
            errors[block] = cut(str(error), 300)
    return found, errors


def read_place(values: Mapping[str, Mapping[str, Json]]) -> str:
    """The chosen channel, or nothing."""
    chosen = values.get(PLACE_BLOCK, {}).get(ELEMENT, {}).get("selected_channel")
    return chosen if isinstance(chosen, str) else ""


def read_ticks(values: Mapping[str, Mapping[str, Json]]) -> tuple[str, ...]:
    """The model-written values that the person has ticked, by name."""
    ticked = values.get(CONFIRM_BLOCK, {}).get(ELEMENT, {}).get("selected_options") or []
    return tuple(str(option.get("value", "")) for option in ticked)


def as_shown(
    workflow: AIWorkflow, given: Mapping[str, PlannedArgument]
) -> dict[str, PlannedArgument]:
    """What a form begins with, as it comes back where nobody changes it: in the parameters'
    types, and not longer than its fields."""
    shown = dict(given)
    for name, parameter in workflow.parameters.items():
        if (argument := given.get(name)) is None:
            continue
        value = argument.value
        if isinstance(value, str):
            value = cut(value, parameter.max_length, "")
        try:
            value = parameter.read(name, value)
        except InvalidRequestError:
            continue  # it cannot be sent as it is
        shown[name] = argument.model_copy(update={"value": value})
    return shown


def with_provenance(
    values: Mapping[str, Value],
    given: Mapping[str, PlannedArgument],
    user: str,
    ticked: Collection[str] = (),
) -> dict[str, PlannedArgument]:
    """Arguments of a submitted form: what was left as it was keeps where it came from.

    Args:
        ticked: of those values the ones that `user` has confirmed.
    """
    typed = Provenance(kind="person", detail=f"form, {user}")
    arguments = {}
    for name, value in values.items():
        argument = given.get(name)
        provenance = typed
        if argument is not None and _words(argument.value) == _words(value):
            provenance = argument.provenance
            if name in ticked and by_a_model(argument):
                provenance = provenance.model_copy(update={"confirmed_by": user})
        arguments[name] = PlannedArgument(value=value, provenance=provenance)
    return arguments


def by_a_model(argument: PlannedArgument | None) -> bool:
    """Whether a model has written a value and nobody has confirmed it."""
    if argument is None:
        return False
    return argument.provenance.kind == "model" and not argument.provenance.trusted


def _words(value: Value) -> Value | list[str]:
    """For comparing: a field may give its text back with other white space."""
    return value.split() if isinstance(value, str) else value


def _raw(element: Json) -> str | tuple[str, ...] | None:
    """What was typed or chosen: None where nothing was."""
    several = element.get("selected_options")
    if isinstance(several, list):
        return tuple(str(option.get("value")) for option in several) or None
    chosen = element.get("selected_option")
    value = chosen.get("value") if isinstance(chosen, dict) else element.get("value")
    return value if isinstance(value, str) and value != "" else None


def _chosen_values(parameter: Parameter, raw: str | tuple[str, ...]) -> Value:
    """What is meant, where `raw` holds positions of choices, or the lines of a list."""
    if parameter.type != "list":
        return _choice(parameter, raw if isinstance(raw, str) else "")
    if not parameter.choices and isinstance(raw, str):
        return tuple(item for line in raw.splitlines() for item in line.split(","))
    return tuple(str(_choice(parameter, item)) for item in raw)


def _choice(parameter: Parameter, raw: str) -> Scalar:
    """The chosen value, where `raw` is the position of a choice."""
    if not parameter.choices:
        return raw
    if not raw.isdecimal() or int(raw) >= len(parameter.choices):
        raise InvalidRequestError("That choice is not known any more; open the form again.")
    return parameter.choices[int(raw)]
