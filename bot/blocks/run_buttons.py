"""The buttons under a run's card: what a person can do about it as it is now."""

from __future__ import annotations

from typing import Literal

from slackblocks import (
    ActionsBlock,
    Block,
    Button,
    ConfirmationDialogue,
    Element,
    Option,
    OverflowMenu,
    PlainText,
)

from bot import names
from bot.blocks.layout import cut, note
from bot.blocks.run_outline import begun, title, undo_positions
from core.records import Risk
from core.workflows.definition import StepKind
from core.workflows.plan import PlannedStep
from core.workflows.run import Run, RunState, StepState
from core.workflows.steering import CutOff

Style = Literal["primary", "danger"]

_ASKED = 5


def buttons(run: Run, glass: bool) -> list[Block]:
    """The last blocks of a card.

    Args:
        glass: whether the policy lets anybody break the glass.
    """
    blocks = [] if run.state.final else _asked(run)
    elements = _about(run)
    if run.state is RunState.AWAITING and glass:
        options = [
            Option(PlainText("Details…"), names.MENU_DETAILS + run.id),
            Option(PlainText("Break the glass…"), names.MENU_GLASS + run.id),
        ]
        elements.append(OverflowMenu(names.MENU, options))
    else:
        elements.append(Button("Details…", names.DETAILS, value=run.id))
    return [*blocks, ActionsBlock(elements, block_id=f"run:{run.id}")]


def retryable(run: Run) -> bool:
    """Whether it could go on at the step that failed: nothing was taken back."""
    failed = any(step.state is StepState.FAILED for step in run.steps)
    states = {step.step_id: step for step in run.steps}
    undone = any(begun(states.get(run.plan.steps[at].id)) for at in undo_positions(run))
    return run.state is RunState.FAILED and failed and not undone


def step_value(run: Run, step: str) -> str:
    """What a button about one step carries."""
    return f"{run.id}/{step}"


def read_step_value(value: str) -> tuple[str, str]:
    """The run's id and the step's of such a button."""
    run, _, step = value.partition("/")
    return run, step


def cut_off_value(run: Run) -> str:
    """What the buttons about a step that was cut off carry: which, and in which attempt."""
    step = next(step for step in run.steps if step.state is StepState.UNKNOWN)
    return f"{run.id}/{step.attempts}/{step.step_id}"


def read_cut_off_value(value: str) -> tuple[str, CutOff | None]:
    """The run's id and the step of such a button; cards of earlier versions name the run only."""
    run, _, rest = value.partition("/")
    attempts, _, step = rest.partition("/")
    return run, CutOff(step, int(attempts)) if attempts.isdecimal() else None


def read_retry_value(value: str) -> tuple[str, int | None]:
    """The run's id and generation of a button that lets it go on."""
    run, _, generation = value.partition("/")
    return run, int(generation) if generation.isdecimal() else None


def waiting_steps(run: Run) -> list[PlannedStep]:
    """The manual steps that wait for a person."""
    waiting = {step.step_id for step in run.steps if step.state is StepState.WAITING}
    return [step for step in run.plan.steps if step.kind is StepKind.MANUAL and step.id in waiting]


def _about(run: Run) -> list[Element]:
    """Buttons about the run as a whole."""
    if run.state is RunState.AWAITING:
        return [_approve(run), _deny(run), _cancel(run)]
    if not run.state.final:
        return [_cancel(run)]
    again = Button("Run again with changes…", names.RERUN, value=run.id)
    return [_retry(run), again] if retryable(run) else [again]


def _asked(run: Run) -> list[Block]:
    """For each step that waits for a person's word the buttons that give it."""
    blocks: list[Block] = []
    cut_off = [step for step in run.steps if step.state is StepState.UNKNOWN]
    if cut_off:
        if len(cut_off) > 1:
            names_of = {step.id: title(step) for step in run.plan.steps}
            first = names_of[cut_off[0].step_id]
            blocks.append(note(f"{len(cut_off)} steps were cut off. First, about: {first}"))
        blocks.append(ActionsBlock(_resolutions(run), block_id=f"resolve:{run.id}"))
    waiting = waiting_steps(run)
    for position, step in enumerate(waiting[:_ASKED]):
        name = f": {title(step)}" if len(waiting) > 1 else ""
        value = step_value(run, step.id)
        pair: list[Element] = [
            Button(cut(f"Done{name}", 60), names.STEP_DONE, value=value, style="primary"),
            Button(
                cut(f"Not done{name}", 60),
                names.STEP_NOT_DONE,
                value=value,
                confirm=_confirm(
                    "It was not done?",
                    "The step counts as failed, and the run goes on as after a failure. To say "
                    "why, reply in the thread: confirm no REASON",
                    "Not done",
                    "danger",
                ),
            ),
        ]
        blocks.append(ActionsBlock(pair, block_id=f"step:{run.id}:{position}"))
    if len(waiting) > _ASKED:
        blocks.append(note(f"{len(waiting) - _ASKED} more wait after these."))
    return blocks


def _approve(run: Run) -> Button:
    destructive = run.plan.risk is Risk.DESTRUCTIVE
    style: Style = "danger" if destructive else "primary"
    if run.approval and run.approval.phrase:  # its form is the confirmation
        return Button("Approve…", names.APPROVE_BY_PHRASE, value=run.id, style=style)
    where = f" on {', '.join(run.plan.targets)}" if run.plan.targets else ""
    what = f"{run.plan.name}{where}, environment {run.plan.environment}."
    return Button(
        "Approve",
        names.APPROVE,
        value=run.id,
        style=style,
        confirm=_confirm(
            "Countersign this plan?",
            f"You sign exactly the plan on this card (risk: {run.plan.risk}). {what}",
            "Approve",
            style,
        ),
    )


def _deny(run: Run) -> Button:
    return Button(
        "Deny",
        names.DENY,
        value=run.id,
        confirm=_confirm(
            "Deny this run?",
            "That ends it. To give a reason, reply in the thread: deny REASON",
            "Deny",
            "danger",
        ),
    )


def _cancel(run: Run) -> Button:
    return Button(
        "Cancel run",
        names.CANCEL,
        value=run.id,
        confirm=_confirm(
            "Cancel this run?", "It stops before its next step; what was done stays.", "Cancel run"
        ),
    )


def _retry(run: Run) -> Button:
    return Button(
        "Retry the failed step",
        names.RETRY,
        value=f"{run.id}/{run.generation}",
        style="primary",
        confirm=_confirm(
            "Go on at the failed step?",
            "The same signed plan goes on there; what was done is not done again. Its guardrails "
            "must be met now.",
            "Retry",
        ),
    )


def _resolutions(run: Run) -> list[Element]:
    value = cut_off_value(run)
    return [
        Button("It was done", names.RESOLVE_DONE, value=value),
        Button(
            "Do it again",
            names.RESOLVE_REPEAT,
            value=value,
            confirm=_confirm(
                "Do the step again?",
                "Only if you know that it had no effect: otherwise it has two.",
                "Do it again",
                "danger",
            ),
        ),
        Button(
            "Stop",
            names.RESOLVE_STOP,
            value=value,
            style="danger",
            confirm=_confirm("Stop this run?", "No further step is done.", "Stop", "danger"),
        ),
    ]


def _confirm(title: str, body: str, yes: str, style: Style = "primary") -> ConfirmationDialogue:
    return ConfirmationDialogue(title, PlainText(cut(body, 300)), yes, "Not now", style=style)
