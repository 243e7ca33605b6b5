"""The modal in which a person fills in a workflow's inputs.

What the form was filled with beforehand stays on our side: the modal carries the offer's id.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, ValidationError
from slackblocks import (
    Block,
    ChannelSelectMenu,
    CheckboxGroup,
    Element,
    InputBlock,
    ModalView,
    NumberInput,
    Option,
    PlainText,
    PlainTextInput,
    RadioButtonGroup,
    StaticMultiSelectMenu,
    StaticSelectMenu,
)

from bot import names
from bot.blocks.layout import Json, bold, cut, note, paragraph, rich, text, without_made_up_id
from bot.blocks.run_form_values import (
    CONFIRM_BLOCK,
    ELEMENT,
    PARAMETER,
    PLACE_BLOCK,
    by_a_model,
)
from bot.blocks.run_parts import SOURCE, written
from core.errors import InvalidRequestError
from core.records import Frozen, Value
from core.state import AIWorkflow
from core.workflows.definition import Parameter
from core.workflows.plan import PlannedArgument

_LIST_CHARACTERS = 3_000
_MOST_TICKS = 10  # Slack's limit of checkboxes in a group


class FormState(Frozen):
    """What the modal carries in `private_metadata`; a person cannot gain anything by it.

    Attributes:
        channel: where the plan is posted; empty lets the person choose.
        offer: id of the offer that filled the form in beforehand.
    """

    workflow: str = Field(max_length=63)
    channel: str = Field(max_length=80)
    thread: str | None = Field(default=None, max_length=40)
    offer: str | None = Field(default=None, max_length=300)

    @classmethod
    def read(cls, metadata: str) -> FormState:
        """From `private_metadata`.

        Raises:
            InvalidRequestError: it is not one of ours.
        """
        try:
            return cls.model_validate_json(metadata)
        except ValidationError as error:
            raise InvalidRequestError("This form is not known any more; open it again.") from error


def run_form(workflow: AIWorkflow, state: FormState, given: Mapping[str, PlannedArgument]) -> Json:
    """The modal.

    Args:
        given: values to begin with, such as an offer's.
    """
    blocks: list[Block] = [rich(paragraph([text(workflow.objective)]))]
    untrusted = [name for name, argument in given.items() if not argument.provenance.trusted]
    if untrusted:
        words = f"Check these before you ask; nobody of the team wrote them: {', '.join(untrusted)}"
        blocks.append(rich(paragraph([bold(words)])))
    for name, parameter in workflow.parameters.items():
        blocks.append(_input(name, parameter, given.get(name)))
    if by_model := [name for name in workflow.parameters if by_a_model(given.get(name))]:
        blocks.append(_ticks({name: written(given[name].value) for name in by_model}))
    if not state.channel:
        blocks.append(
            InputBlock(
                PlainText("Channel"),
                ChannelSelectMenu(action_id=ELEMENT),
                block_id=PLACE_BLOCK,
                hint=PlainText("Where the plan is posted; I must be in it."),
            )
        )
    blocks.append(note("The plan is posted first; what needs countersignatures waits for them."))
    view: Json = ModalView(
        title=cut(workflow.name, 24),
        submit="Ask for this run",
        close="Close",
        callback_id=names.RUN_FORM,
        private_metadata=state.model_dump_json(),
        blocks=blocks,
    ).to_dict()
    return view | {"blocks": [without_made_up_id(block) for block in view["blocks"]]}


def refusal_view(words: str) -> Json:
    """What takes the form's place where it cannot be used any more."""
    view: Json = ModalView(
        title="Not possible", close="Close", blocks=[rich(paragraph([text(cut(words, 1_000))]))]
    ).to_dict()
    return view | {"blocks": [without_made_up_id(block) for block in view["blocks"]]}


def _input(name: str, parameter: Parameter, given: PlannedArgument | None) -> InputBlock:
    initial = parameter.default if given is None else given.value
    hint = parameter.description
    if given is not None:
        hint += f" — {SOURCE[given.provenance.kind]}{given.provenance.detail}"
        hint += "" if given.provenance.trusted else " (untrusted)"
    return InputBlock(
        PlainText(cut(name, 150)),
        _element(parameter, initial),
        block_id=PARAMETER + name,
        hint=PlainText(cut(hint, 500)),
        optional=parameter.default is not None,
    )


def _ticks(values: Mapping[str, str]) -> InputBlock:
    """For each model-written value a box in which a person takes it as theirs."""
    options = [
        Option(PlainText(cut(f"{name}: {value}", 75)), name)
        for name, value in list(values.items())[:_MOST_TICKS]
    ]
    return InputBlock(
        PlainText("I have checked what a model wrote"),
        CheckboxGroup(ELEMENT, options),
        block_id=CONFIRM_BLOCK,
        hint=PlainText("Nothing destructive takes a value that only a model wrote."),
        optional=True,
    )


def _element(parameter: Parameter, initial: Value | None) -> Element:
    if parameter.type == "list":
        return _list_element(parameter, initial if isinstance(initial, tuple) else ())
    if parameter.choices:
        options = _options([str(choice) for choice in parameter.choices])
        chosen = _chosen(options, None if initial is None else str(initial), parameter)
        return StaticSelectMenu(ELEMENT, options=options, initial_option=chosen)
    if parameter.type == "boolean":
        options = [Option(PlainText(word), word) for word in ("yes", "no")]
        word = None if initial is None else str(initial).lower()
        picked = {"true": options[0], "yes": options[0], "false": options[1], "no": options[1]}
        return RadioButtonGroup(ELEMENT, options, initial_option=picked.get(word or ""))
    if parameter.type in {"integer", "number"}:
        return NumberInput(
            is_decimal_allowed=parameter.type == "number",
            action_id=ELEMENT,
            initial_value=None if initial is None else str(initial),
            min_value=_bound(parameter, parameter.minimum),
            max_value=_bound(parameter, parameter.maximum),
        )
    return PlainTextInput(
        ELEMENT,
        initial_value=None
        if initial in {None, ""}
        else cut(str(initial), parameter.max_length, ""),
        multiline=parameter.max_length > 500,
        max_length=parameter.max_length,
    )


def _list_element(parameter: Parameter, initial: tuple[str, ...]) -> Element:
    """A menu of the choices, or a field with one item a line."""
    if parameter.choices:
        options = _options([str(choice) for choice in parameter.choices])
        pairs = zip(options, parameter.choices, strict=True)
        chosen = [option for option, choice in pairs if str(choice) in initial]
        return StaticMultiSelectMenu(ELEMENT, options=options, initial_options=chosen or None)
    return PlainTextInput(
        ELEMENT,
        initial_value=cut("\n".join(initial), _LIST_CHARACTERS, "") or None,
        placeholder=PlainText("one a line"),
        multiline=True,
        max_length=_LIST_CHARACTERS,
    )


def _options(choices: list[str]) -> list[Option]:
    """Options by position, because a value may be longer than an option's value can be."""
    return [
        Option(PlainText(cut(choice, 75) or "(empty)"), str(position))
        for position, choice in enumerate(choices)
    ]


def _chosen(options: list[Option], initial: str | None, parameter: Parameter) -> Option | None:
    for option, choice in zip(options, parameter.choices, strict=True):
        if str(choice) == initial:
            return option
    return None


def _bound(parameter: Parameter, bound: float | None) -> str | None:
    if bound is None:
        return None
    return str(int(bound)) if parameter.type == "integer" else format(bound, "f")
